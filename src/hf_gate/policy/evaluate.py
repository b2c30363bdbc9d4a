"""From facts to a verdict: each policy's rules from the top, in three values, then the strictest of all policies.

Two ways lead to the same verdict: `quick` runs many rules as one program and tells no reasons, `verdict` tries rule by
rule and keeps the whole tree. Where anything is unknown or goes wrong the quick way takes the other one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from ..domain.lifecycle import Status
from .combine import JUDGED, combine
from .expressions import Bound, Expression, ExpressionProblem, bind, compile_expression, compile_lets
from .fact_table import CelType
from .merging import NONE_HOLDS, Merged, merge
from .model import Action, Facts, FactValue, Opinion, Policy, Rule, Silent, Tried, Verdict
from .opinions import Moment, Way, action_of, open_way, opinion_of
from .tracing import traced
from .truth import Truth, joined

_ASKED_AT = "request.asked_at"


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


def judge(compiled: Compiled, facts: Facts, moment: Moment, *, explain: bool = True) -> Opinion | None:
    """What one policy says; None: no rule matches, it has no opinion."""
    said = _judged(compiled, facts, moment, explain=explain)
    return said if isinstance(said, Opinion) else None


def _judged(compiled: Compiled, facts: Facts, moment: Moment, *, explain: bool) -> Opinion | Silent:
    bound = bind(_known(facts, compiled.facts), compiled.lets)
    ways: list[Way] = []
    last: Way | None = None
    tried: list[Tried] = []
    for place, (rule, condition) in enumerate(zip(compiled.policy.rules, compiled.conditions, strict=True)):
        truth = _truth(condition, bound)
        action = action_of(rule, moment)
        if explain:
            tried.append(traced(compiled.policy.name, rule, condition, truth, bound, facts))
        if truth.value is True:
            last = Way(place, action)
            break
        if truth.value is None:
            ways.append(open_way(place, action, rule, truth, facts))
    said = opinion_of(compiled.policy, ways, last, moment) or _silent(compiled)
    return replace(said, tried=tuple(tried)) if explain else said


def _silent(compiled: Compiled) -> Silent:
    return Silent(compiled.policy.name, compiled.policy.digest, compiled.policy.mode)


def _known(facts: Facts, names: Iterable[str]) -> dict[str, FactValue]:
    """Only what is known: an unknown fact is left out, never filled in."""
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
        self._memory: dict[tuple[object, ...], Verdict] = {}
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
        return self._slow(facts, now, status, since, explain=True)

    def quick(
        self, facts: Facts, *, now: datetime, status: str = Status.PENDING, since: datetime | None = None
    ) -> Verdict | None:
        """The same verdict without `tried`. The object may be shared by many requests."""
        judging = self.judging(status)
        if not judging:
            return self._slow(facts, now, status, since, explain=False)
        moment = self._moment(facts, now, since)
        key = self._key(judging, facts, moment)
        if key is None:
            return self._slow(facts, now, status, since, explain=False)
        if self._remembered != now:
            self._memory.clear()
            self._remembered = now
        found = self._memory.get(key)
        if found is None:
            found = self._memory[key] = self._said(judging, key, moment)
        return found

    def _moment(self, facts: Facts, now: datetime, since: datetime | None) -> Moment:
        if since is None:
            asked = facts.get(_ASKED_AT)
            since = asked.value if asked is not None and isinstance(asked.value, datetime) else None
        return Moment(now, since, self.zone)

    def _key(
        self, judging: tuple[Compiled, ...], facts: Facts, moment: Moment
    ) -> tuple[tuple[str, int, Action | None], ...] | None:
        """Of each policy the rule that decides and what it wants; None: that is not known for all."""
        shared: Bound | None = None
        key = []
        for each in judging:
            if each.merged is None:
                return None
            if each.lets:
                bound = bind(_known(facts, each.facts), each.lets)
            else:
                bound = shared = shared or bind(_known(facts, self._plain))
            place = each.merged.first(bound)
            if place is None:
                return None
            action = None if place == NONE_HOLDS else action_of(each.policy.rules[place], moment)
            key.append((each.policy.name, place, action))
        return tuple(key)

    def _said(
        self, judging: tuple[Compiled, ...], key: tuple[tuple[str, int, Action | None], ...], moment: Moment
    ) -> Verdict:
        said = []
        for each, (_, place, action) in zip(judging, key, strict=True):
            last = Way(place, action) if action is not None else None
            said.append(opinion_of(each.policy, (), last, moment) or _silent(each))
        return self._combined(said, moment)

    def _combined(self, said: Iterable[Opinion | Silent], moment: Moment) -> Verdict:
        opinions, silent = list[Opinion](), list[Silent]()
        for each in said:
            if isinstance(each, Opinion):
                opinions.append(each)
            else:
                silent.append(each)
        return combine(opinions, moment.now, self.zone, silent=silent)

    def _slow(
        self, facts: Facts, now: datetime, status: str, since: datetime | None, *, explain: bool
    ) -> Verdict | None:
        judging = self.judging(status)
        if not judging and status != Status.PENDING:
            return None
        moment = self._moment(facts, now, since)
        return self._combined((_judged(each, facts, moment, explain=explain) for each in judging), moment)
