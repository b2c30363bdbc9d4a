"""Computes the least that a requester must control for a rule to accept them: a claim, the account, or your lists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from hf_gate.core.policy_model import TRUST_ORDER, Action, FactValue, Policy, Trust
from hf_gate.policies.expressions.constant_conditions import collect_lets
from hf_gate.policies.expressions.expressions import Expression, bind_facts
from hf_gate.policies.facts.fact_table import find_declaration, tables_of

_TRUST_WORDS = {
    Trust.ACCOUNT: "account data from the Hub",
    Trust.VERIFIED: "data verified by the Hub",
    Trust.YOURS: "an entry in your own table or history",
}
_UNCLAIMED = ("request.", "now")  # the Hub or the clock sets these facts, so they are no claims
_SHOWN = 3  # the most words of a claim shown in a message


class AcceptRequirement(Struct, frozen=True):
    """The easiest way to satisfy an accept rule. `trust` is None if there is nothing to satisfy.

    A rule without a condition requires whatever the rules above it let through. `words` are the texts that a claim must
    contain; `above` is a stronger requirement of the rules above.
    """

    rule: str
    trust: Trust | None
    facts: tuple[str, ...]
    words: tuple[str, ...] = ()
    above: tuple[Trust, tuple[str, ...]] | None = None

    @property
    def is_weak(self) -> bool:
        """Tell whether anybody can satisfy the rule, at most by making a claim."""
        return self.trust in (None, Trust.CLAIMED)

    def __str__(self) -> str:
        if self.trust is None:
            return "nothing: everybody is accepted"
        text = (
            f"{self._describe_claim()} ({', '.join(self.facts)})"
            if self.is_weak
            else _describe_trust(self.trust, self.facts)
        )
        return text if self.above is None else f"{text}; the rules above also require {_describe_trust(*self.above)}"

    def _describe_claim(self) -> str:
        if not self.words:
            return "the requester's own claims: everybody can satisfy it"
        shown = ", ".join(json.dumps(word[:60], ensure_ascii=False) for word in self.words[:_SHOWN])
        more = f" or {len(self.words) - _SHOWN} more" if len(self.words) > _SHOWN else ""
        return f"the requester's own claims: anyone who writes {shown}{more} is accepted"


def _describe_trust(trust: Trust, facts: Iterable[str]) -> str:
    return f"{_TRUST_WORDS[trust]} ({', '.join(facts)})"


class _Requirement(Struct, frozen=True):
    """What one outcome of a condition requires. A `level` of -1 requires nothing."""

    level: int = -1
    facts: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()

    @property
    def trust(self) -> Trust | None:
        return TRUST_ORDER[self.level] if self.level >= 0 else None


_FREE = _Requirement()


def is_claim(name: str) -> bool:
    """Tell whether a fact is a claim of the requester."""
    declaration = find_declaration(name)
    return declaration is not None and declaration.trust is Trust.CLAIMED and not name.startswith(_UNCLAIMED)


def accept_requirements(
    policy: Policy, conditions: Mapping[tuple[str, str], Expression]
) -> tuple[AcceptRequirement, ...]:
    """Return, for each accept rule, the least that a requester must control to satisfy the rule."""
    needs = _RequirementFinder(conditions.values())
    found = []
    above = _FREE
    for rule in policy.rules:
        when = conditions.get((rule.id, "when"))
        unless = conditions.get((rule.id, "unless"))
        if rule.then is Action.ACCEPT:
            own = _require_all((needs.requirement_of(when, wanted=True), needs.requirement_of(unless, wanted=False)))
            found.append(_accept_requirement(rule.id, own, above))
        else:
            passed = [needs.requirement_of(when, wanted=False)] if when is not None else []
            passed += [needs.requirement_of(unless, wanted=True)] if unless is not None else []
            above = _require_all((above, _require_any(passed))) if passed else above
    return tuple(found)


def _accept_requirement(rule: str, own: _Requirement, above: _Requirement) -> AcceptRequirement:
    if own.trust is None:
        return AcceptRequirement(rule, above.trust, tuple(sorted(above.facts)), above.words)
    harder = (above.trust, tuple(sorted(above.facts))) if above.trust and above.level > own.level else None
    return AcceptRequirement(rule, own.trust, tuple(sorted(own.facts)), own.words, harder)


class _RequirementFinder:
    """Finds what the conditions of one policy require."""

    def __init__(self, conditions: Iterable[Expression]) -> None:
        lets: dict[str, Expression] = {}
        facts = set[str]()
        for condition in conditions:
            lets |= collect_lets(condition)
            facts |= condition.facts
        self._stranger = bind_facts(_STRANGER_FACTS | _stranger_tables(facts), lets)

    def requirement_of(self, condition: Expression | None, *, wanted: bool) -> _Requirement:
        """Return the weakest requirement for a condition to evaluate to `wanted`."""
        if condition is None:
            return _FREE
        if condition.op == "!":
            return self.requirement_of(condition.parts[0], wanted=not wanted)
        if condition.op in ("&&", "||"):
            join = _require_all if (condition.op == "&&") == wanted else _require_any
            return join([self.requirement_of(part, wanted=wanted) for part in condition.parts])
        if condition.op == "?:":
            test, yes, no = condition.parts
            first = _require_all((self.requirement_of(test, wanted=True), self.requirement_of(yes, wanted=wanted)))
            return _require_any(
                (first, _require_all((self.requirement_of(test, wanted=False), self.requirement_of(no, wanted=wanted))))
            )
        if len(condition.lets) == 1 and condition.source.strip("() ") == condition.lets[0]:
            return self.requirement_of(condition.used_lets[condition.lets[0]], wanted=wanted)
        if condition.evaluate(self._stranger).value is wanted:
            return _FREE
        words = tuple(dict.fromkeys(_words_to_write(condition))) if wanted else ()
        return _require_any([_fact_requirement(name, words) for name in sorted(condition.facts)])


_WRITTEN = ("==", "in", "contains", "startsWith", "endsWith")


def _words_to_write(condition: Expression) -> Iterator[str]:
    """Yield the words that a requester must write to satisfy a condition on answers."""
    for comparison in condition.comparisons:
        if comparison.op in _WRITTEN and (comparison.fact.endswith(".text") or comparison.fact == "person.fullname"):
            yield from (value for value in comparison.values if isinstance(value, str))


_STRANGER_FACTS: dict[str, FactValue] = {
    "request.attempt": 1,
    "history.accepted": 0,
    "history.rejected": 0,
    "history.resets": 0,
    "history.elsewhere": 0,
    "history.last_decision": "none",
    "email.present": True,
    "email.disposable": False,
}
"""The facts of a new account with a free mailbox. Conditions that these facts meet require nothing of a requester."""


def _stranger_tables(facts: Iterable[str]) -> dict[str, FactValue]:
    tables = tables_of(facts)
    found: dict[str, FactValue] = {f"tables.{table}": False for table in tables}
    return found | {f"tables.{table}.state": "missing" for table in tables}


def _fact_requirement(name: str, words: tuple[str, ...]) -> _Requirement:
    declaration = find_declaration(name)
    if declaration is None or name.startswith(_UNCLAIMED):
        return _FREE
    return _Requirement(
        TRUST_ORDER.index(declaration.trust), frozenset((name,)), words if declaration.trust is Trust.CLAIMED else ()
    )


def _require_all(needs: Iterable[_Requirement]) -> _Requirement:
    """Combine requirements that must all be met: the strongest counts."""
    listed = list(needs)
    level = max((each.level for each in listed), default=-1)
    hardest = [each for each in listed if each.level == level and level >= 0]
    facts = frozenset[str]().union(*(each.facts for each in hardest))
    return _Requirement(level, facts, tuple(dict.fromkeys(word for each in hardest for word in each.words)))


def _require_any(needs: Iterable[_Requirement]) -> _Requirement:
    """Combine alternatives: the weakest counts."""
    listed = list(needs)
    if not listed:
        return _FREE
    level = min(each.level for each in listed)
    return next(each for each in listed if each.level == level)
