"""The least that an applicant must control to be accepted by a rule: claims, the account, what others verified, or your own lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .expressions import Expression, bind
from .fact_table import declared
from .logic import all_lets
from .model import TRUST_ORDER, Action, FactValue, Policy, Trust

_SAID = {
    Trust.CLAIMED: "claimed, by the applicant alone",
    Trust.ACCOUNT: "account, what the Hub shows of it",
    Trust.VERIFIED: "verified, by the Hub",
    Trust.YOURS: "yours, by your own lists and history",
}
_NOBODYS = ("request.", "now")  # time and the Hub make these, nobody claims them


@dataclass(frozen=True, slots=True)
class Pass:
    """The easiest way through an accept rule, the rules above it included. `trust` None: there is nothing to pass."""

    rule: str
    trust: Trust | None
    facts: tuple[str, ...]

    @property
    def is_weak(self) -> bool:
        return self.trust in (None, Trust.CLAIMED)

    def __str__(self) -> str:
        if self.trust is None:
            return "nothing"
        return f"{_SAID[self.trust]} ({', '.join(self.facts)})"


@dataclass(frozen=True, slots=True)
class _Need:
    """What one outcome of a condition takes; `level` -1: nothing, or what no applicant can hinder."""

    level: int = -1
    facts: frozenset[str] = frozenset()


_FREE = _Need()


def is_claim(name: str) -> bool:
    """Whether a fact is the applicant's own word."""
    law = declared(name)
    return law is not None and law.trust is Trust.CLAIMED and not name.startswith(_NOBODYS)


def ways_in(policy: Policy, conditions: Mapping[tuple[str, str], Expression]) -> tuple[Pass, ...]:
    """For each accept rule the least that an applicant must control to be let in by it."""
    found, above = [], _FREE
    for rule in policy.rules:
        when, unless = conditions.get((rule.id, "when")), conditions.get((rule.id, "unless"))
        if rule.then is Action.ACCEPT:
            own = _all((_need(when, wanted=True), _need(unless, wanted=False)))
            need = _all((above, own))
            trust = TRUST_ORDER[need.level] if need.level >= 0 else None
            found.append(Pass(rule.id, trust, tuple(sorted(need.facts))))
        else:
            passed = [_need(when, wanted=False)] if when is not None else []
            passed += [_need(unless, wanted=True)] if unless is not None else []
            above = _all((above, _any(passed))) if passed else above
    return tuple(found)


def _need(condition: Expression | None, *, wanted: bool) -> _Need:
    """The least that it takes to make a condition come out as wanted."""
    if condition is None:
        return _FREE
    if condition.op == "!":
        return _need(condition.parts[0], wanted=not wanted)
    if condition.op in ("&&", "||"):
        join = _all if (condition.op == "&&") == wanted else _any
        return join([_need(part, wanted=wanted) for part in condition.parts])
    if condition.op == "?:":
        test, yes, no = condition.parts
        first = _all((_need(test, wanted=True), _need(yes, wanted=wanted)))
        return _any((first, _all((_need(test, wanted=False), _need(no, wanted=wanted)))))
    if len(condition.lets) == 1 and condition.source.strip("() ") == condition.lets[0]:
        return _need(condition.uses[condition.lets[0]], wanted=wanted)
    if condition.evaluate(bind(_STRANGER_HAS | _unlisted(condition), all_lets(condition))).value is wanted:
        return _FREE
    return _any([_fact(name) for name in sorted(condition.facts)])


_STRANGER_HAS: dict[str, FactValue] = {
    "request.attempt": 1,
    "history.accepted": 0,
    "history.rejected": 0,
    "history.resets": 0,
    "history.elsewhere": 0,
    "history.last_decision": "none",
}
"""What is true of an account that was made yesterday: it costs nothing to be in no list of yours."""


def _unlisted(condition: Expression) -> dict[str, FactValue]:
    tables = {name.split(".")[1] for name in condition.facts if name.startswith("tables.")}
    found: dict[str, FactValue] = {f"tables.{table}": False for table in tables}
    return found | {f"tables.{table}.state": "missing" for table in tables}


def _fact(name: str) -> _Need:
    law = declared(name)
    if law is None or name.startswith(_NOBODYS):
        return _FREE
    return _Need(TRUST_ORDER.index(law.trust), frozenset((name,)))


def _all(needs: Iterable[_Need]) -> _Need:
    """All of these are needed: the hardest counts."""
    listed = list(needs)
    level = max((each.level for each in listed), default=-1)
    return _Need(level, frozenset[str]().union(*(each.facts for each in listed if each.level == level and level >= 0)))


def _any(needs: Iterable[_Need]) -> _Need:
    """One of these is enough: the easiest counts."""
    listed = list(needs)
    if not listed:
        return _FREE
    level = min(each.level for each in listed)
    return next(each for each in listed if each.level == level)
