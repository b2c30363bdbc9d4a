"""From facts to a verdict: each policy's rules from the top, in three values, then the strictest of all policies.

Two ways lead to the same verdict: `quick` runs many rules as one program and tells no reasons, `verdict` tries rule by
rule and keeps the whole tree. Where anything is unknown or goes wrong the quick way takes the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import TypeAlias

from ..domain.lifecycle import Status
from .combine import JUDGED, combine
from .expressions import Bound, Expression, ExpressionProblem, bind, compile_expression, compile_lets
from .fact_table import CelType
from .facts import ReadFacts
from .merging import NONE_HOLDS, Merged, merge
from .model import Action, Because, Facts, FactValue, Opinion, Policy, Rule, Silent, Tried, Verdict
from .opinions import Moment, Way, action_of, open_way, opinion_of
from .tracing import branches, traced
from .truth import Truth, joined

_ASKED_AT = "request.asked_at"
_REMEMBERED = 10_000  # verdicts

_Found: TypeAlias = tuple[tuple[Way, ...], Way | None]
"""The rules that came out unknown, and the first that matched."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One policy with its expressions. `conditions`: of each rule its `when` (None: always) and `unless` (None: never)."""

    policy: Policy
    lets: Mapping[str, Expression]
    conditions: tuple[tuple[Expression | None, Expression | None], ...]
    facts: frozenset[str]
    merged: Merged | None


def compile_policy(policy: Policy, declared: Mapping[str, CelType]) -> Compiled:
    """Raises ExpressionProblem at the first mistake; its `let`, or `rule` and `key`, say where."""
    lets = compile_lets(policy.let, declared)
    conditions = tuple(
        (_compiled(rule, "when", rule.when, declared, lets), _compiled(rule, "unless", rule.unless, declared, lets))
        for rule in policy.rules
    )
    used = [each for pair in conditions for each in pair if each is not None]
    facts = frozenset[str]().union(*(each.facts for each in (*used, *lets.values())))
    return Compiled(policy, lets, conditions, facts, merge(conditions, declared, lets))


def _compiled(
    rule: Rule, key: str, source: str | None, declared: Mapping[str, CelType], lets: Mapping[str, Expression]
) -> Expression | None:
    if source is None:
        return None
    try:
        return compile_expression(source, declared, lets)
    except ExpressionProblem as problem:
        problem.rule, problem.key = rule.id, key
        raise


# ---- one policy, rule by rule --------------------------------------------------------------------------------------------


def _truth(condition: tuple[Expression | None, Expression | None], bound: Bound) -> Truth:
    """`when && !unless` as CEL joins them: one side that is surely false is enough."""
    when, unless = condition
    held = when.evaluate(bound) if when else Truth(True)
    if held.value is False or unless is None:
        return held
    barred = unless.evaluate(bound)
    if barred.value is True:
        return Truth(False)
    if held.value is True and barred.value is False:
        return held
    return joined((held, barred))


def judge(compiled: Compiled, facts: Facts, moment: Moment) -> Opinion | None:
    """What one policy says, with all rules that were tried; None: no rule matches, it has no opinion."""
    said = _judged(compiled, facts, moment)
    return said if isinstance(said, Opinion) else None


def _judged(compiled: Compiled, facts: Facts, moment: Moment) -> Opinion | Silent:
    bound = bind(_known(facts, compiled.facts), compiled.lets)
    ways, last, tried = list[Way](), None, list[Tried]()
    for place, (rule, condition) in enumerate(zip(compiled.policy.rules, compiled.conditions, strict=True)):
        truth = _truth(condition, bound)
        tried.append(traced(compiled.policy.name, rule, condition, truth, bound, facts))
        if truth.value is True:
            last = Way(place, action_of(rule, moment))
            break
        if truth.value is None:
            ways.append(open_way(place, action_of(rule, moment), rule, truth, facts))
    said = opinion_of(compiled.policy, ways, last, moment) or _silent(compiled)
    return replace(said, tried=tuple(tried))


def _ways(compiled: Compiled, facts: Facts, bound: Bound, moment: Moment) -> _Found:
    """The same ways as rule by rule, looking closely only at rules that are not surely false."""
    rules, merged = compiled.policy.rules, compiled.merged
    sure = merged.first(bound) if merged else None
    if sure is not None:
        return (), None if sure == NONE_HOLDS else Way(sure, action_of(rules[sure], moment))
    ways, place = list[Way](), 0
    while place < len(rules):
        next_one = merged.first_not_false(bound, place) if merged else None
        if next_one == NONE_HOLDS:
            break
        place = place if next_one is None else next_one
        truth, rule = _truth(compiled.conditions[place], bound), rules[place]
        if truth.value is True:
            return tuple(ways), Way(place, action_of(rule, moment))
        if truth.value is None:
            ways.append(open_way(place, action_of(rule, moment), rule, truth, facts))
        place += 1
    return tuple(ways), None


def _silent(compiled: Compiled) -> Silent:
    return Silent(compiled.policy.name, compiled.policy.digest, compiled.policy.mode)


def _known(facts: Facts, names: Iterable[str]) -> dict[str, FactValue]:
    """Only what is known: an unknown fact is left out, never filled in."""
    if isinstance(facts, ReadFacts):
        return facts.known(names)
    known = {}
    for name in names:
        fact = facts.get(name)
        if fact is not None and fact.value is not None:
            known[name] = fact.value
    return known


# ---- all policies ----------------------------------------------------------------------------------------------------------


class Judge:
    """The policies of one repo. `facts` are all that they name; give no fewer, for what is not given is unavailable."""

    def __init__(self, policies: Iterable[Compiled], *, zone: tzinfo = UTC) -> None:
        self.policies = tuple(sorted(policies, key=lambda each: each.policy.name))
        self.zone = zone
        names = frozenset[str]().union(*(each.facts for each in self.policies))
        self.facts: frozenset[str] = names | {_ASKED_AT} if self._wait() else names
        self._plain = frozenset[str]().union(*(each.facts for each in self.policies if not each.lets))
        self._memory: dict[tuple[str, tuple[_Found, ...]], Verdict] = {}
        self._remembered: datetime | None = None

    def _wait(self) -> bool:
        return any(rule.then is Action.WAIT for each in self.policies for rule in each.policy.rules)

    def judging(self, status: str) -> tuple[Compiled, ...]:
        """The policies that judge requests of that status: none, ever, of rejected or reset ones."""
        if status not in JUDGED:
            return ()
        return tuple(each for each in self.policies if status in each.policy.judges)

    def verdict(
        self, facts: Facts, *, now: datetime, status: str = Status.PENDING, since: datetime | None = None
    ) -> Verdict | None:
        """With every rule that was tried. `since`: when it began to wait, by default when the person asked.

        None: requests of that status are not judged. A pending one that no policy judges goes to a human.
        """
        judging = self.judging(status)
        if not judging and status != Status.PENDING:
            return None
        moment = self._moment(facts, now, since)
        return self._combined((_judged(each, facts, moment) for each in judging), moment)

    def quick(
        self, facts: Facts, *, now: datetime, status: str = Status.PENDING, since: datetime | None = None
    ) -> Verdict | None:
        """The same verdict without `tried`. The object may be shared by many requests."""
        judging = self.judging(status)
        if not judging and status != Status.PENDING:
            return None
        moment = self._moment(facts, now, since)
        key = self._found(judging, facts, moment)
        if self._remembered != now or len(self._memory) > _REMEMBERED:
            self._memory.clear()
            self._remembered = now
        found = self._memory.get((status, key))
        if found is None:
            said = (opinion_of(each.policy, *ways, moment) for each, ways in zip(judging, key, strict=True))
            found = self._combined((each or _silent(of) for each, of in zip(said, judging, strict=True)), moment)
            self._memory[status, key] = found
        return found

    def because(self, facts: Facts, policy: str, rule: str) -> tuple[Because, ...]:
        """Why one rule comes out as it does: what `tried` of the same verdict has of it, without the price of the others."""
        for each in self.policies:
            for one, condition in zip(each.policy.rules, each.conditions, strict=True):
                if (each.policy.name, one.id) == (policy, rule):
                    return branches(condition, bind(_known(facts, each.facts), each.lets), facts)
        return ()

    def tried(self, facts: Facts, policy: str, wanted: Callable[[Rule], bool]) -> Iterator[Tried]:
        """The wanted rules of a policy as `tried` of the same verdict has them, without the price of the others."""
        for each in self.policies:
            if each.policy.name == policy:
                bound = bind(_known(facts, each.facts), each.lets)
                for rule, condition in zip(each.policy.rules, each.conditions, strict=True):
                    if wanted(rule):
                        yield traced(policy, rule, condition, _truth(condition, bound), bound, facts)

    def _moment(self, facts: Facts, now: datetime, since: datetime | None) -> Moment:
        if since is None:
            asked = facts.get(_ASKED_AT)
            since = asked.value if asked is not None and isinstance(asked.value, datetime) else None
        return Moment(now, since, self.zone)

    def _found(self, judging: tuple[Compiled, ...], facts: Facts, moment: Moment) -> tuple[_Found, ...]:
        """Of each policy the ways that are left. Policies without `let` share what is bound."""
        shared: Bound | None = None
        found = []
        for each in judging:
            if each.lets:
                bound = bind(_known(facts, each.facts), each.lets)
            else:
                bound = shared = shared or bind(_known(facts, self._plain))
            found.append(_ways(each, facts, bound, moment))
        return tuple(found)

    def _combined(self, said: Iterable[Opinion | Silent], moment: Moment) -> Verdict:
        opinions, silent = list[Opinion](), list[Silent]()
        for each in said:
            if isinstance(each, Opinion):
                opinions.append(each)
            else:
                silent.append(each)
        return combine(opinions, moment.now, self.zone, silent=silent)
