"""From facts to a verdict: each policy's rules from the top, in three values, then the strictest of all policies.

Two ways lead to the same verdict: `quick` runs many rules as one program and tells no reasons, `verdict` tries rule by
rule and keeps the whole tree. Where anything is unknown or goes wrong the quick way takes the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import TypeAlias

from ..domain.lifecycle import Status
from .expressions import (
    BoundFacts,
    Expression,
    ExpressionProblem,
    IntegerProgram,
    bind_facts,
    compile_expression,
    compile_lets,
)
from .fact_table import CelType
from .facts import RequestFacts
from .model import (
    Abstention,
    Action,
    ConditionTrace,
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
from .tracing import trace_conditions, trace_rule

CHUNK_SIZE = 15  # conditions in one program: longer chains meet the engine's limit of depth
NONE_HOLDS = -1

Condition: TypeAlias = "tuple[Expression | None, Expression | None]"
"""`when` (None: always) and `unless` (None: never)."""


class MergedConditions:
    """The conditions of a policy, `r1 ? 1 : r2 ? 2 : ... : 0`, in chunks."""

    __slots__ = ("_conditions", "_declared", "_lets", "_open", "_plain")

    def __init__(
        self, conditions: Sequence[Condition], declared: Mapping[str, CelType], lets: Mapping[str, Expression]
    ) -> None:
        """Raises ValueError when the engine finds it too deep."""
        self._conditions, self._declared, self._lets = tuple(conditions), declared, lets
        self._plain = self._chain(0, "{}")
        self._open: dict[int, tuple[IntegerProgram, ...]] = {}

    def first_match(self, bound: BoundFacts) -> int | None:
        """The place of the first condition that holds, NONE_HOLDS, or None: something on the way is not known."""
        return _run_programs(self._plain, bound)

    def first_possible_match(self, bound: BoundFacts, start: int) -> int | None:
        """From there on the first that holds or is unknown, NONE_HOLDS, or None: that cannot be told this way."""
        numbers = self._open.get(start)
        if numbers is None:
            try:
                # True of what is unknown, so no rule may call it; here it only says where to look closer.
                numbers = self._chain(start, "__not_strictly_false__({})")
            except ValueError:
                numbers = ()
            self._open[start] = numbers
        return _run_programs(numbers, bound) if numbers or start >= len(self._conditions) else None

    def _chain(self, start: int, around: str) -> tuple[IntegerProgram, ...]:
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
    """None: the engine finds it too deep."""
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
    return NONE_HOLDS


def _condition_source(when: Expression | None, unless: Expression | None) -> str:
    """The pair as one condition. A line end closes a comment; what binds less than `?` goes into brackets."""
    if when and not unless and when.op != "?:":
        return f"{when.full_source}\n"
    parts = [f"({when.full_source}\n)"] if when else []
    if unless:
        parts.append(f"!({unless.full_source}\n)")
    return " && ".join(parts) or "true"


_ASKED_AT = "request.asked_at"
_REMEMBERED = 10_000  # verdicts

_Found: TypeAlias = tuple[tuple[Branch, ...], Branch | None]
"""The rules that came out unknown, and the first that matched."""


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """One policy with its expressions. `conditions`: of each rule its `when` (None: always) and `unless` (None: never)."""

    policy: Policy
    lets: Mapping[str, Expression]
    conditions: tuple[tuple[Expression | None, Expression | None], ...]
    facts: frozenset[str]
    merged: MergedConditions | None


def compile_policy(policy: Policy, declared: Mapping[str, CelType]) -> CompiledPolicy:
    """Raises ExpressionProblem at the first mistake; its `let`, or `rule` and `key`, say where."""
    lets = compile_lets(policy.let, declared)
    conditions = tuple(
        (
            _compile_condition(rule, "when", rule.when, declared, lets),
            _compile_condition(rule, "unless", rule.unless, declared, lets),
        )
        for rule in policy.rules
    )
    used = [each for pair in conditions for each in pair if each is not None]
    facts = frozenset[str]().union(*(each.facts for each in (*used, *lets.values())))
    return CompiledPolicy(policy, lets, conditions, facts, merge_conditions(conditions, declared, lets))


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
    """`when && !unless` as CEL joins them: one side that is surely false is enough."""
    when, unless = condition
    held = when.evaluate(bound) if when else TruthValue(True)
    if held.value is False or unless is None:
        return held
    barred = unless.evaluate(bound)
    if barred.value is True:
        return TruthValue(False)
    if held.value is True and barred.value is False:
        return held
    return combine_unknowns((held, barred))


def evaluate_policy(compiled: CompiledPolicy, facts: Facts, moment: EvaluationTime) -> Opinion | None:
    """What one policy says, with all rules that were tried; None: no rule matches, it has no opinion."""
    said = _evaluate_rules(compiled, facts, moment)
    return said if isinstance(said, Opinion) else None


def _evaluate_rules(compiled: CompiledPolicy, facts: Facts, moment: EvaluationTime) -> Opinion | Abstention:
    bound = bind_facts(_known_values(facts, compiled.facts), compiled.lets)
    ways, last, tried = list[Branch](), None, list[RuleTrace]()
    for place, (rule, condition) in enumerate(zip(compiled.policy.rules, compiled.conditions, strict=True)):
        truth = _evaluate_condition(condition, bound)
        tried.append(trace_rule(compiled.policy.name, rule, condition, truth, bound, facts))
        if truth.value is True:
            last = Branch(place, current_action(rule, moment))
            break
        if truth.value is None:
            ways.append(unknown_branch(place, current_action(rule, moment), rule, truth, facts))
    said = form_opinion(compiled.policy, ways, last, moment) or _abstain(compiled)
    return replace(said, rule_traces=tuple(tried))


def _possible_branches(compiled: CompiledPolicy, facts: Facts, bound: BoundFacts, moment: EvaluationTime) -> _Found:
    """The same ways as rule by rule, looking closely only at rules that are not surely false."""
    rules, merged = compiled.policy.rules, compiled.merged
    sure = merged.first_match(bound) if merged else None
    if sure is not None:
        return (), None if sure == NONE_HOLDS else Branch(sure, current_action(rules[sure], moment))
    ways, place = list[Branch](), 0
    while place < len(rules):
        next_one = merged.first_possible_match(bound, place) if merged else None
        if next_one == NONE_HOLDS:
            break
        place = place if next_one is None else next_one
        truth, rule = _evaluate_condition(compiled.conditions[place], bound), rules[place]
        if truth.value is True:
            return tuple(ways), Branch(place, current_action(rule, moment))
        if truth.value is None:
            ways.append(unknown_branch(place, current_action(rule, moment), rule, truth, facts))
        place += 1
    return tuple(ways), None


def _abstain(compiled: CompiledPolicy) -> Abstention:
    return Abstention(compiled.policy.name, compiled.policy.digest, compiled.policy.mode)


def _known_values(facts: Facts, names: Iterable[str]) -> dict[str, FactValue]:
    """Only what is known: an unknown fact is left out, never filled in."""
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
    """The policies of one repo. `facts` are all that they name; give no fewer, for what is not given is unavailable."""

    def __init__(self, policies: Iterable[CompiledPolicy], *, zone: tzinfo = UTC) -> None:
        self.policies = tuple(sorted(policies, key=lambda each: each.policy.name))
        self.zone = zone
        names = frozenset[str]().union(*(each.facts for each in self.policies))
        self.facts: frozenset[str] = names | {_ASKED_AT} if self._has_wait_rule() else names
        self._plain = frozenset[str]().union(*(each.facts for each in self.policies if not each.lets))
        self._memory: dict[tuple[str, tuple[_Found, ...]], Verdict] = {}
        self._remembered: datetime | None = None

    def _has_wait_rule(self) -> bool:
        return any(rule.then is Action.WAIT for each in self.policies for rule in each.policy.rules)

    def policies_for(self, status: str) -> tuple[CompiledPolicy, ...]:
        """The policies that judge requests of that status: none, ever, of rejected or reset ones."""
        if status not in EVALUATED_STATUSES:
            return ()
        return tuple(each for each in self.policies if status in each.policy.judges)

    def evaluate_with_traces(
        self, facts: Facts, *, now: datetime, status: str = Status.PENDING, since: datetime | None = None
    ) -> Verdict | None:
        """With every rule that was tried. `since`: when it began to wait, by default when the person asked.

        None: requests of that status are not judged. A pending one that no policy judges goes to a human.
        """
        judging = self.policies_for(status)
        if not judging and status != Status.PENDING:
            return None
        moment = self._evaluation_time(facts, now, since)
        return self._combine((_evaluate_rules(each, facts, moment) for each in judging), moment)

    def evaluate(
        self, facts: Facts, *, now: datetime, status: str = Status.PENDING, since: datetime | None = None
    ) -> Verdict | None:
        """The same verdict without `tried`. The object may be shared by many requests."""
        judging = self.policies_for(status)
        if not judging and status != Status.PENDING:
            return None
        moment = self._evaluation_time(facts, now, since)
        key = self._find_branches(judging, facts, moment)
        if self._remembered != now or len(self._memory) > _REMEMBERED:
            self._memory.clear()
            self._remembered = now
        found = self._memory.get((status, key))
        if found is None:
            said = (form_opinion(each.policy, *ways, moment) for each, ways in zip(judging, key, strict=True))
            found = self._combine((each or _abstain(of) for each, of in zip(said, judging, strict=True)), moment)
            self._memory[status, key] = found
        return found

    def trace_conditions(self, facts: Facts, policy: str, rule: str) -> tuple[ConditionTrace, ...]:
        """Why one rule comes out as it does: what `tried` of the same verdict has of it, without the price of the others."""
        for each in self.policies:
            for one, condition in zip(each.policy.rules, each.conditions, strict=True):
                if (each.policy.name, one.id) == (policy, rule):
                    return trace_conditions(condition, bind_facts(_known_values(facts, each.facts), each.lets), facts)
        return ()

    def trace_rules(self, facts: Facts, policy: str, wanted: Callable[[Rule], bool]) -> Iterator[RuleTrace]:
        """The wanted rules of a policy as `tried` of the same verdict has them, without the price of the others."""
        for each in self.policies:
            if each.policy.name == policy:
                bound = bind_facts(_known_values(facts, each.facts), each.lets)
                for rule, condition in zip(each.policy.rules, each.conditions, strict=True):
                    if wanted(rule):
                        yield trace_rule(policy, rule, condition, _evaluate_condition(condition, bound), bound, facts)

    def _evaluation_time(self, facts: Facts, now: datetime, since: datetime | None) -> EvaluationTime:
        if since is None:
            asked = facts.get(_ASKED_AT)
            since = asked.value if asked is not None and isinstance(asked.value, datetime) else None
        return EvaluationTime(now, since, self.zone)

    def _find_branches(
        self, judging: tuple[CompiledPolicy, ...], facts: Facts, moment: EvaluationTime
    ) -> tuple[_Found, ...]:
        """Of each policy the ways that are left. Policies without `let` share what is bound."""
        shared: BoundFacts | None = None
        found = []
        for each in judging:
            if each.lets:
                bound = bind_facts(_known_values(facts, each.facts), each.lets)
            else:
                bound = shared = shared or bind_facts(_known_values(facts, self._plain))
            found.append(_possible_branches(each, facts, bound, moment))
        return tuple(found)

    def _combine(self, said: Iterable[Opinion | Abstention], moment: EvaluationTime) -> Verdict:
        opinions, silent = list[Opinion](), list[Abstention]()
        for each in said:
            if isinstance(each, Opinion):
                opinions.append(each)
            else:
                silent.append(each)
        return combine_opinions(opinions, moment.now, self.zone, silent=silent)
