"""Evaluates the policies of a repo on the facts of a request, and returns the verdict.

`Evaluator.evaluate` runs many rules as one program and returns no traces; `evaluate_with_traces` evaluates each rule.
Both give the same verdict: if a value is unknown or fails, `evaluate` evaluates the affected rule separately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import TypeAlias

from ..domain.lifecycle import Status
from .expression_problems import ExpressionProblem
from .expressions import BoundFacts, Expression, IntegerProgram, bind_facts, compile_expression, compile_lets
from .fact_table import CelType
from .facts import RequestFacts
from .model import (
    Abstention,
    Action,
    ConditionTrace,
    FactEnd,
    Facts,
    FactValue,
    Opinion,
    Policy,
    Rule,
    RuleTrace,
    TruthValue,
    Verdict,
    combine_unknowns,
)
from .opinions import (
    EVALUATED_STATUSES,
    Branch,
    EvaluationTime,
    combine_opinions,
    current_action,
    form_opinion,
    unknown_branch,
)
from .rule_traces import trace_conditions, trace_rule

CHUNK_SIZE = 15  # the most conditions in one program; longer chains exceed the engine's depth limit
NO_MATCH = -1

Condition: TypeAlias = "tuple[Expression | None, Expression | None]"
"""`when` (None: always) and `unless` (None: never)."""


class MergedConditions:
    """The conditions of a policy merged into few programs of the form `r1 ? 1 : r2 ? 2 : ... : 0`.

    The result is the same as that of the separate conditions, but faster.
    """

    __slots__ = ("_certain", "_conditions", "_declared", "_lets", "_possible")

    def __init__(
        self, conditions: Sequence[Condition], declared: Mapping[str, CelType], lets: Mapping[str, Expression]
    ) -> None:
        """Compile the conditions. Raises ValueError if they are nested too deeply for the engine."""
        self._conditions, self._declared, self._lets = tuple(conditions), declared, lets
        self._certain = self._compile_chain(0, "{}")
        self._possible: dict[int, tuple[IntegerProgram, ...]] = {}

    def first_match(self, bound: BoundFacts) -> int | None:
        """Return the index of the first true condition or NO_MATCH; None if an earlier value is unknown."""
        return _run_programs(self._certain, bound)

    def first_possible_match(self, bound: BoundFacts, start: int) -> int | None:
        """Return the index of the first true or unknown condition from `start`, or NO_MATCH; None if undecided."""
        numbers = self._possible.get(start)
        if numbers is None:
            try:
                # This function is true for unknown values, so rules must not call it. Here, it finds candidates.
                numbers = self._compile_chain(start, "__not_strictly_false__({})")
            except ValueError:
                numbers = ()
            self._possible[start] = numbers
        return _run_programs(numbers, bound) if numbers or start >= len(self._conditions) else None

    def _compile_chain(self, start: int, around: str) -> tuple[IntegerProgram, ...]:
        numbers = []
        for first in range(start, len(self._conditions), CHUNK_SIZE):
            some = self._conditions[first : first + CHUNK_SIZE]
            chain = "".join(
                f"{around.format(_condition_source(*pair))}\n? {first + place + 1} : "
                for place, pair in enumerate(some)
            )
            numbers.append(IntegerProgram(chain + "0", self._declared, self._lets))
        return tuple(numbers)


def merge_conditions(
    conditions: Sequence[Condition],
    declared: Mapping[str, CelType],
    lets: Mapping[str, Expression] = MappingProxyType({}),
) -> MergedConditions | None:
    """Merge the conditions; return None if they are nested too deeply for the engine."""
    try:
        return MergedConditions(conditions, declared, lets)
    except ValueError:
        return None


def _run_programs(numbers: Sequence[IntegerProgram], bound: BoundFacts) -> int | None:
    for number in numbers:
        found = number.run(bound)
        if found is None:
            return None
        if found:
            return found - 1
    return NO_MATCH


def _condition_source(when: Expression | None, unless: Expression | None) -> str:
    """Join `when` and `unless` into one condition.

    A line end closes a comment, and parentheses protect operators of lower precedence.
    """
    if when and not unless and when.op != "?:":
        return f"{when.full_source}\n"
    parts = [f"({when.full_source}\n)"] if when else []
    if unless:
        parts.append(f"!({unless.full_source}\n)")
    return " && ".join(parts) or "true"


_ASKED_AT = "request.asked_at"
_CACHE_SIZE = 10_000  # verdicts

_Branches: TypeAlias = tuple[tuple[Branch, ...], Branch | None]
"""The unknown rules, and the first rule that matched."""


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy with its compiled expressions; `conditions` are in the order of the rules."""

    policy: Policy
    lets: Mapping[str, Expression]
    conditions: tuple[tuple[Expression | None, Expression | None], ...]
    facts: frozenset[str]
    merged: MergedConditions | None
    keep: tuple[Expression | None, ...] = ()  # `keep_while` of each rule
    ends: frozenset[str] = frozenset()  # the facts that `until` names


def compile_policy(policy: Policy, declared: Mapping[str, CelType]) -> CompiledPolicy:
    """Compile a policy.

    Raises ExpressionProblem at the first mistake, with the `let`, or the `rule` and `key`, that contains it.
    """
    lets = compile_lets(policy.let, declared)
    conditions = tuple(
        (
            _compile_condition(rule, "when", rule.when, declared, lets),
            _compile_condition(rule, "unless", rule.unless, declared, lets),
        )
        for rule in policy.rules
    )
    keep = tuple(_compile_condition(rule, "keep_while", rule.keep_while, declared, lets) for rule in policy.rules)
    used = [each for pair in (*conditions, keep) for each in pair if each is not None]
    ends = frozenset(rule.until.name for rule in policy.rules if isinstance(rule.until, FactEnd))
    facts = ends.union(*(each.facts for each in (*used, *lets.values())))
    return CompiledPolicy(policy, lets, conditions, facts, merge_conditions(conditions, declared, lets), keep, ends)


def _compile_condition(
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


def _evaluate_condition(condition: tuple[Expression | None, Expression | None], bound: BoundFacts) -> TruthValue:
    """Evaluate `when && !unless`; a false side makes the result false even if the other is unknown."""
    when, unless = condition
    matches = when.evaluate(bound) if when else TruthValue(True)
    if matches.value is False or unless is None:
        return matches
    excluded = unless.evaluate(bound)
    if excluded.value is True:
        return TruthValue(False)
    if matches.value is True and excluded.value is False:
        return matches
    return combine_unknowns((matches, excluded))


def _evaluate_rules(compiled: CompiledPolicy, facts: Facts, moment: EvaluationTime) -> Opinion | Abstention:
    bound = bind_facts(_known_values(facts, compiled.facts), compiled.lets)
    unknown, matched, traces = list[Branch](), None, list[RuleTrace]()
    for index, (rule, condition) in enumerate(zip(compiled.policy.rules, compiled.conditions, strict=True)):
        truth = _evaluate_condition(condition, bound)
        traces.append(trace_rule(compiled.policy.name, rule, condition, truth, bound, facts))
        if truth.value is True:
            matched = Branch(index, current_action(rule, moment))
            break
        if truth.value is None:
            unknown.append(unknown_branch(index, current_action(rule, moment), rule, truth, facts))
    opinion = form_opinion(compiled.policy, unknown, matched, moment) or _abstain(compiled)
    return replace(opinion, rule_traces=tuple(traces))


def _possible_branches(compiled: CompiledPolicy, facts: Facts, bound: BoundFacts, moment: EvaluationTime) -> _Branches:
    """Return the same branches as `_evaluate_rules`, but skip the rules that are certainly false."""
    rules, merged = compiled.policy.rules, compiled.merged
    certain = merged.first_match(bound) if merged else None
    if certain is not None:
        return (), None if certain == NO_MATCH else Branch(certain, current_action(rules[certain], moment))
    unknown, index = list[Branch](), 0
    while index < len(rules):
        next_one = merged.first_possible_match(bound, index) if merged else None
        if next_one == NO_MATCH:
            break
        index = index if next_one is None else next_one
        truth, rule = _evaluate_condition(compiled.conditions[index], bound), rules[index]
        if truth.value is True:
            return tuple(unknown), Branch(index, current_action(rule, moment))
        if truth.value is None:
            unknown.append(unknown_branch(index, current_action(rule, moment), rule, truth, facts))
        index += 1
    return tuple(unknown), None


def _find_kept_rules(compiled: CompiledPolicy, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the rules whose `keep_while` is true."""
    if any(compiled.keep):
        bound = bind_facts(_known_values(facts, compiled.facts), compiled.lets)
        for rule, keep in zip(compiled.policy.rules, compiled.keep, strict=True):
            if keep is not None and keep.evaluate(bound).value is True:
                yield compiled.policy.name, rule.id


def _may_accept(branches: _Branches) -> bool:
    unknown, matched = branches
    return any(branch.action is Action.ACCEPT for branch in (*unknown, *([matched] if matched else [])))


def _abstain(compiled: CompiledPolicy) -> Abstention:
    return Abstention(compiled.policy.name, compiled.policy.digest, compiled.policy.mode)


def _known_values(facts: Facts, names: Iterable[str]) -> dict[str, FactValue]:
    """Return the known values; unknown facts are left out, never filled in."""
    if isinstance(facts, RequestFacts):
        return facts.known_values(names)
    known = {}
    for name in names:
        fact = facts.get(name)
        if fact is not None and fact.value is not None:
            known[name] = fact.value
    return known


# ---- all policies ----------------------------------------------------------------------------------------------------------


class Evaluator:
    """Evaluates the policies of one repo.

    Pass all facts named in `facts`: a fact that is not passed counts as unavailable.
    """

    def __init__(self, policies: Iterable[CompiledPolicy], *, zone: tzinfo = UTC) -> None:
        self.policies = tuple(sorted(policies, key=lambda each: each.policy.name))
        self.zone = zone
        names = frozenset[str]().union(*(each.facts for each in self.policies))
        self.facts: frozenset[str] = names | {_ASKED_AT} if self._has_wait_rule() else names
        self._shared_facts = frozenset[str]().union(*(each.facts for each in self.policies if not each.lets))
        self._ends = frozenset[str]().union(*(each.ends for each in self.policies))
        self._has_terms = bool(self._ends) or any(keep for each in self.policies for keep in each.keep)
        self._cache: dict[tuple[object, ...], Verdict] = {}
        self._cached_at: datetime | None = None

    def _has_wait_rule(self) -> bool:
        return any(rule.then is Action.WAIT for each in self.policies for rule in each.policy.rules)

    def policies_for(self, status: str) -> tuple[CompiledPolicy, ...]:
        """Return the policies for requests with this status; there are none for rejected and reset requests."""
        if status not in EVALUATED_STATUSES:
            return ()
        return tuple(each for each in self.policies if status in each.policy.judges)

    def evaluate_with_traces(
        self, facts: Facts, *, now: datetime, status: str = Status.PENDING, since: datetime | None = None
    ) -> Verdict | None:
        """Return the verdict with rule traces. `since` is the start of a wait, by default the time of the request.

        Returns None if no policy covers the status. A pending request without a policy needs review.
        """
        policies = self.policies_for(status)
        if not policies and status != Status.PENDING:
            return None
        moment = self.evaluation_time(facts, now, since, policies)
        return self._combine((_evaluate_rules(each, facts, moment) for each in policies), moment)

    def evaluate(
        self, facts: Facts, *, now: datetime, status: str = Status.PENDING, since: datetime | None = None
    ) -> Verdict | None:
        """Return the verdict without rule traces. Requests with equal results share one object."""
        policies = self.policies_for(status)
        if not policies and status != Status.PENDING:
            return None
        moment = self.evaluation_time(facts, now, since)
        key = self._find_branches(policies, facts, moment)
        if self._has_terms and any(_may_accept(branches) for branches in key):
            moment = self.evaluation_time(facts, now, since, policies)
        terms = (*sorted(moment.ends.items()), *sorted(moment.kept))
        if self._cached_at != now or len(self._cache) > _CACHE_SIZE:
            self._cache.clear()
            self._cached_at = now
        found = self._cache.get((status, key, terms))
        if found is None:
            opinions = (
                form_opinion(each.policy, *branches, moment) for each, branches in zip(policies, key, strict=True)
            )
            found = self._combine((each or _abstain(of) for each, of in zip(opinions, policies, strict=True)), moment)
            self._cache[status, key, terms] = found
        return found

    def trace_conditions(self, facts: Facts, policy: str, rule: str) -> tuple[ConditionTrace, ...]:
        """Trace the conditions of one rule, without the cost of tracing the other rules."""
        for each in self.policies:
            for one, condition in zip(each.policy.rules, each.conditions, strict=True):
                if (each.policy.name, one.id) == (policy, rule):
                    return trace_conditions(condition, bind_facts(_known_values(facts, each.facts), each.lets), facts)
        return ()

    def bind(self, facts: Facts, policy: str) -> BoundFacts | None:
        """Return the known facts in the form that a policy's rules take; None if there is no such policy."""
        for each in self.policies:
            if each.policy.name == policy:
                return bind_facts(_known_values(facts, each.facts), each.lets)
        return None

    def trace_rules(
        self,
        facts: Facts,
        policy: str,
        wanted: Callable[[Rule], bool],
        *,
        end: int | None = None,
        bound: BoundFacts | None = None,
    ) -> Iterator[RuleTrace]:
        """Trace the wanted rules of a policy before index `end`, without the cost of tracing the other rules.

        `bound` are the facts returned by `bind` for this policy.
        """
        for each in self.policies:
            if each.policy.name == policy:
                bound = bound or bind_facts(_known_values(facts, each.facts), each.lets)
                for rule, condition in zip(each.policy.rules[:end], each.conditions[:end], strict=True):
                    if wanted(rule):
                        yield trace_rule(policy, rule, condition, _evaluate_condition(condition, bound), bound, facts)

    def evaluation_time(
        self, facts: Facts, now: datetime, since: datetime | None = None, policies: Iterable[CompiledPolicy] = ()
    ) -> EvaluationTime:
        """Return the time of an evaluation, with what the terms of these policies depend on."""
        if since is None:
            asked = facts.get(_ASKED_AT)
            since = asked.value if asked is not None and isinstance(asked.value, datetime) else None
        own = tuple(policies) if self._has_terms else ()
        known = _known_values(facts, self._ends) if own else {}
        ends = {name: value for name, value in known.items() if isinstance(value, datetime)}
        return EvaluationTime(
            now, since, self.zone, ends, frozenset(key for each in own for key in _find_kept_rules(each, facts))
        )

    def _find_branches(
        self, policies: tuple[CompiledPolicy, ...], facts: Facts, moment: EvaluationTime
    ) -> tuple[_Branches, ...]:
        """Return the branches of each policy. Policies without `let` share the bound facts."""
        shared: BoundFacts | None = None
        found = []
        for each in policies:
            if each.lets:
                bound = bind_facts(_known_values(facts, each.facts), each.lets)
            else:
                bound = shared = shared or bind_facts(_known_values(facts, self._shared_facts))
            found.append(_possible_branches(each, facts, bound, moment))
        return tuple(found)

    def _combine(self, results: Iterable[Opinion | Abstention], moment: EvaluationTime) -> Verdict:
        opinions, silent = list[Opinion](), list[Abstention]()
        for each in results:
            if isinstance(each, Opinion):
                opinions.append(each)
            else:
                silent.append(each)
        return combine_opinions(opinions, moment.now, self.zone, abstaining=silent)
