"""Evaluates the policies of a repo on the facts of a request, and returns the verdict.

`Evaluator.evaluate` returns no traces, and requests with equal results share one verdict. `evaluate_with_traces` gives
the same verdict with the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.core.lifecycle import Status
from hf_gate.core.people.access_end import NO_HAND_TERMS, HandTerms
from hf_gate.core.policy_model import (
    Abstention,
    Action,
    FactEnd,
    Facts,
    FactValue,
    Opinion,
    Policy,
    PolicyMode,
    Rule,
    RuleTrace,
    Verdict,
    WaitEnd,
)
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.expressions import (
    BoundFacts,
    Expression,
    bind_values,
    compile_expression,
    compile_lets,
    evaluate_condition,
)
from hf_gate.policies.facts.fact_table import CelType
from hf_gate.policies.facts.facts import RequestFacts

from .accept_rules import AcceptMatch, AcceptRules, find_accept_match, find_accept_rules, terms_by_hand
from .opinions import (
    EVALUATED_STATUSES,
    Branch,
    EvaluationTime,
    combine_opinions,
    current_action,
    find_wait_end,
    form_opinion,
    unknown_branch,
)
from .rule_traces import trace_rule

_ASKED_AT = "request.asked_at"
_CACHE_SIZE = 10_000  # verdicts

_Branches: TypeAlias = tuple[tuple[Branch, ...], Branch | None]
"""The unknown rules, and the first rule that matched."""

_Results: TypeAlias = tuple[_Branches, AcceptMatch | None]
"""The branches of a policy, and its accept rule for decisions by hand (None if the policy sets no terms for them)."""


class CompiledPolicy(Struct, frozen=True):
    """A policy with its compiled expressions; `conditions` are in the order of the rules."""

    policy: Policy
    lets: Mapping[str, Expression]
    conditions: tuple[tuple[Expression | None, Expression | None], ...]
    facts: frozenset[str]
    keep: tuple[Expression | None, ...] = ()  # `keep_while` of each rule
    ends: frozenset[str] = frozenset()  # the facts that `until` names
    accept_rules: AcceptRules | None = None  # None if no accept rule limits the access


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
    return CompiledPolicy(policy, lets, conditions, facts, keep, ends, find_accept_rules(policy, conditions))


def _compile_condition(
    rule: Rule, key: str, source: str | None, declared: Mapping[str, CelType], lets: Mapping[str, Expression]
) -> Expression | None:
    if source is None:
        return None
    try:
        return compile_expression(source, declared, lets)
    except ExpressionProblem as problem:
        problem.rule = rule.id
        problem.key = key
        raise


# ---- one policy, rule by rule ----------------------------------------------------------------------------------------


def _evaluate_rules(compiled: CompiledPolicy, facts: Facts, moment: EvaluationTime) -> Opinion | Abstention:
    bound = bind_values(_find_known_in(facts), compiled.lets)
    unknown = list[Branch]()
    matched = None
    traces = list[RuleTrace]()
    for index, (rule, condition) in enumerate(zip(compiled.policy.rules, compiled.conditions, strict=True)):
        truth = evaluate_condition(condition, bound)
        traces.append(trace_rule(compiled.policy, rule, condition, truth, bound, facts))
        if truth.value is True:
            matched = Branch(index, current_action(rule, moment))
            break
        if truth.value is None:
            unknown.append(unknown_branch(index, current_action(rule, moment), rule, truth, facts))
    opinion = form_opinion(compiled.policy, unknown, matched, moment) or _abstain(compiled)
    return replace(opinion, rule_traces=tuple(traces))


def _possible_branches(compiled: CompiledPolicy, facts: Facts, bound: BoundFacts, moment: EvaluationTime) -> _Branches:
    """Return the same branches as `_evaluate_rules`, without traces."""
    unknown = list[Branch]()
    for index, condition in enumerate(compiled.conditions):
        truth = evaluate_condition(condition, bound)
        if truth.value is False:
            continue
        rule = compiled.policy.rules[index]
        if truth.value is True:
            return tuple(unknown), Branch(index, current_action(rule, moment))
        unknown.append(unknown_branch(index, current_action(rule, moment), rule, truth, facts))
    return tuple(unknown), None


def _find_kept_rules(compiled: CompiledPolicy, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the rules whose `keep_while` is true."""
    if any(compiled.keep):
        bound = bind_values(_find_known_in(facts), compiled.lets)
        for rule, keep in zip(compiled.policy.rules, compiled.keep, strict=True):
            if keep is not None and keep.evaluate(bound).value is True:
                yield compiled.policy.name, rule.id


def _may_accept(results: _Results) -> bool:
    """Tell whether the terms of an accept rule are needed: of the verdict, or of an acceptance by hand."""
    (unknown, matched), by_hand = results
    is_accepting = any(branch.action is Action.ACCEPT for branch in (*unknown, *([matched] if matched else [])))
    return is_accepting or (by_hand is not None and by_hand[0] is not None)


def _abstain(compiled: CompiledPolicy) -> Abstention:
    return Abstention(compiled.policy.name, compiled.policy.digest, compiled.policy.mode)


def _find_known_in(facts: Facts) -> Callable[[str], FactValue | None]:
    """Return the function that finds a known value; it returns None for an unknown fact, which is never filled in."""
    if isinstance(facts, RequestFacts):
        return facts.find_known
    return lambda name: None if (fact := facts.get(name)) is None else fact.value


def _find_wait_end(policies: Iterable[CompiledPolicy], verdict: Verdict, moment: EvaluationTime) -> WaitEnd | None:
    """Return the end of the wait of the rule that decided; None if that rule does not wait."""
    for compiled in policies:
        for rule in compiled.policy.rules:
            if (compiled.policy.name, rule.id) == (verdict.policy, verdict.rule):
                return find_wait_end(rule, moment)
    return None


def _sets_terms(compiled: CompiledPolicy) -> bool:
    """Tell whether a policy can limit an acceptance by hand: a policy in shadow mode cannot."""
    return compiled.accept_rules is not None and compiled.policy.mode is PolicyMode.ENFORCE


def _hand_terms_of(
    policies: Sequence[CompiledPolicy], results: Sequence[_Results], moment: EvaluationTime
) -> HandTerms:
    pairs = zip(policies, results, strict=True)
    return terms_by_hand([(each.policy, match) for each, (_, match) in pairs if match is not None], moment)


# ---- all policies ----------------------------------------------------------------------------------------------------


class Evaluator:
    """Evaluates the policies of one repo.

    Pass all facts named in `facts`: a fact that is not passed counts as unavailable.
    """

    def __init__(self, policies: Iterable[CompiledPolicy], *, zone: tzinfo = UTC) -> None:
        self.policies = tuple(sorted(policies, key=lambda each: each.policy.name))
        self.zone = zone
        names = frozenset[str]().union(*(compiled.facts for compiled in self.policies))
        self.facts: frozenset[str] = names | {_ASKED_AT} if self._has_wait_rule() else names
        self._ends = frozenset[str]().union(*(compiled.ends for compiled in self.policies))
        self._has_terms = bool(self._ends) or any(keep for compiled in self.policies for keep in compiled.keep)
        self._cache: dict[tuple[object, ...], Verdict] = {}
        self._cached_at: datetime | None = None

    def _has_wait_rule(self) -> bool:
        return any(rule.then is Action.WAIT for compiled in self.policies for rule in compiled.policy.rules)

    def policies_for(self, status: str) -> tuple[CompiledPolicy, ...]:
        """Return the policies for requests with this status; there are none for rejected and reset requests."""
        if status not in EVALUATED_STATUSES:
            return ()
        return tuple(compiled for compiled in self.policies if status in compiled.policy.judges)

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
        verdict = self._combine((_evaluate_rules(compiled, facts, moment) for compiled in policies), moment)
        verdict = replace(verdict, wait_end=_find_wait_end(policies, verdict, moment))
        if status != Status.PENDING:
            return verdict
        return replace(verdict, by_hand=self.terms_by_hand(facts, now=now, since=since))

    def evaluate(
        self,
        facts: Facts,
        *,
        now: datetime,
        status: str = Status.PENDING,
        since: datetime | None = None,
        bound: dict[str, BoundFacts] | None = None,
    ) -> Verdict | None:
        """Return the verdict without rule traces. Requests with equal results share one object.

        The bound facts of each policy are added to `bound`, from which its rules can be traced.
        """
        policies = self.policies_for(status)
        if not policies and status != Status.PENDING:
            return None
        moment = self.evaluation_time(facts, now, since)
        key = self._find_results(policies, facts, moment, by_hand=status == Status.PENDING, kept=bound)
        if self._has_terms and any(_may_accept(results) for results in key):
            moment = self.evaluation_time(facts, now, since, policies)
        terms = (*sorted(moment.ends.items()), *sorted(moment.kept))
        if self._cached_at != now or len(self._cache) > _CACHE_SIZE:
            self._cache.clear()
            self._cached_at = now
        found = self._cache.get((status, key, terms))
        if found is None:
            opinions = (
                form_opinion(each.policy, *branches, moment) for each, (branches, _) in zip(policies, key, strict=True)
            )
            found = self._combine((each or _abstain(of) for each, of in zip(opinions, policies, strict=True)), moment)
            found = replace(found, by_hand=_hand_terms_of(policies, key, moment))
            self._cache[status, key, terms] = found
        return found

    @property
    def sets_terms_by_hand(self) -> bool:
        """Whether any policy can limit an acceptance by hand."""
        return any(_sets_terms(each) for each in self.policies_for(Status.PENDING))

    def terms_by_hand(self, facts: Facts, *, now: datetime, since: datetime | None = None) -> HandTerms:
        """Return the terms of an acceptance by hand, of a request in any status."""
        policies = tuple(each for each in self.policies_for(Status.PENDING) if _sets_terms(each))
        if not policies:
            return NO_HAND_TERMS
        moment = self.evaluation_time(facts, now, since, policies)
        return _hand_terms_of(policies, self._find_results(policies, facts, moment, by_hand=True), moment)

    def depends_on(self, name: str, facts: RequestFacts, *, now: datetime, status: str) -> bool:
        """Tell whether the verdict may be another one if a fact had another value.

        It is not if the same rules match, or are unknown for the same reasons, without the fact.
        """
        policies = self.policies_for(status)
        found = []
        for some in (facts, facts.without(name)):
            moment = self.evaluation_time(some, now, None, policies)
            found.append((self._find_results(policies, some, moment, by_hand=True), moment.ends, moment.kept))
        return found[0] != found[1]

    def trace_rules(
        self,
        facts: Facts,
        policy: str,
        wanted: Callable[[Rule], bool],
        end: int | None = None,
        bound: BoundFacts | None = None,
    ) -> Iterator[RuleTrace]:
        """Trace the wanted rules of a policy before index `end`, without the cost of tracing the other rules.

        `bound` are the facts that `evaluate` bound for this policy.
        """
        for each in self.policies:
            if each.policy.name == policy:
                bound = bound or bind_values(_find_known_in(facts), each.lets)
                for rule, condition in zip(each.policy.rules[:end], each.conditions[:end], strict=True):
                    if wanted(rule):
                        yield trace_rule(
                            each.policy, rule, condition, evaluate_condition(condition, bound), bound, facts
                        )

    def evaluation_time(
        self, facts: Facts, now: datetime, since: datetime | None = None, policies: Iterable[CompiledPolicy] = ()
    ) -> EvaluationTime:
        """Return the time of an evaluation, with what the terms of these policies depend on."""
        if since is None:
            asked = facts.get(_ASKED_AT)
            since = asked.value if asked is not None and isinstance(asked.value, datetime) else None
        own = tuple(policies) if self._has_terms else ()
        find_known = _find_known_in(facts)
        known = ((name, find_known(name)) for name in (self._ends if own else ()))
        ends = {name: value for name, value in known if isinstance(value, datetime)}
        kept = frozenset(key for each in own for key in _find_kept_rules(each, facts))
        return EvaluationTime(now, since, self.zone, ends, kept)

    def _find_results(
        self,
        policies: tuple[CompiledPolicy, ...],
        facts: Facts,
        moment: EvaluationTime,
        *,
        by_hand: bool,
        kept: dict[str, BoundFacts] | None = None,
    ) -> tuple[_Results, ...]:
        """Return the branches of each policy, and `by_hand` its accept rule.

        Policies without `let` share bound facts.
        """
        shared: BoundFacts | None = None
        results = list[_Results]()
        for compiled in policies:
            if compiled.lets:
                bound = bind_values(_find_known_in(facts), compiled.lets)
            else:
                bound = shared = shared or bind_values(_find_known_in(facts))
            if kept is not None:
                kept[compiled.policy.name] = bound
            branches = _possible_branches(compiled, facts, bound, moment)
            rules = compiled.accept_rules if by_hand and _sets_terms(compiled) else None
            results.append((branches, None if rules is None else find_accept_match(rules, bound, *branches)))
        return tuple(results)

    def _combine(self, results: Iterable[Opinion | Abstention], moment: EvaluationTime) -> Verdict:
        opinions = list[Opinion]()
        silent = list[Abstention]()
        for result in results:
            if isinstance(result, Opinion):
                opinions.append(result)
            else:
                silent.append(result)
        return combine_opinions(opinions, moment.now, self.zone, abstaining=silent)
