"""Explains a verdict in one sentence: `Needs you: no university address.`

The sentence names the cause: the conditions that made the rule match, or the one condition that kept the nearest accept
rule from matching. It never names a condition that has another value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import Final, Protocol

from msgspec import Struct, field

from ..domain.lifecycle import Status
from .evaluator import Evaluator
from .expressions import BoundFacts
from .fact_conditions import FactCondition, parse_fact_condition
from .model import (
    Abstention,
    Action,
    ConditionTrace,
    Facts,
    Opinion,
    PolicyMode,
    Rule,
    RuleTrace,
    Verdict,
    WaitEnd,
)
from .opinions import why_people_decide
from .phrases import (
    describe_expression,
    describe_value,
    is_single_name,
    name_fact,
    quote_expression,
)

MAX_NAMED: Final = 3  # the most conditions in a sentence
NO_RULE_MATCHES: Final = "no rule matches"
NO_POLICY: Final = "no policy covers this repo"
ONLY_SHADOW: Final = "policies in shadow mode decide nothing"
NO_REMINDER: Final = "no reminder reached this person; you decide"
_CONSTANTS: Final = frozenset({"true", "false"})
_LEADS: Final[Mapping[Action, str]] = MappingProxyType(
    {
        Action.ACCEPT: "Would accept",
        Action.RESET: "Would send back",
        Action.REJECT: "Would reject",
        Action.WAIT: "On hold",
        Action.HUMAN: "Needs you",
    }
)
_LEADS_WITH_ACCESS: Final[Mapping[Action, str]] = MappingProxyType(
    {
        **_LEADS,
        Action.RESET: "Would end access",
        Action.REJECT: "Would end access",
    }
)


class WhySentence(Struct, frozen=True):
    """The reason for a verdict. `lead` names the verdict (`Needs you`), `text` its cause, without a full stop."""

    lead: str
    text: str

    @property
    def ended_text(self) -> str:
        """The text with a full stop, unless the text already ends a sentence."""
        return self.text if self.text.endswith((".", "!", "?")) else f"{self.text}."

    def __str__(self) -> str:
        return f"{self.lead}: {self.ended_text}"


class TraceSource(Protocol):
    """A source of the traces of single rules."""

    def deciding_rule(self, opinion: Opinion) -> RuleTrace | None:
        """Return the trace of the rule that decided an opinion."""
        ...

    def failed_accept_rules(self, part: Opinion | Abstention) -> Iterator[RuleTrace]:
        """Yield the accept rules that were tried before the deciding rule, in order."""
        ...


class RecordedTraces:
    """The traces contained in a verdict of `evaluate_with_traces`."""

    def deciding_rule(self, opinion: Opinion) -> RuleTrace | None:
        return next((one for one in opinion.rule_traces if one.rule == opinion.rule), None)

    def failed_accept_rules(self, part: Opinion | Abstention) -> Iterator[RuleTrace]:
        own = part.rule if isinstance(part, Opinion) else None
        for one in part.rule_traces:
            if one.rule == own:
                return
            if one.then is Action.ACCEPT:
                yield one


class LazyTraces(Struct, frozen=True):
    """Traces only the rules that a sentence names, because tracing all rules of fifty requests would take too long."""

    evaluator: Evaluator
    facts: Facts
    bound: dict[str, BoundFacts] = field(default_factory=dict)  # the facts of each policy

    def deciding_rule(self, opinion: Opinion) -> RuleTrace | None:
        return next(self._trace(opinion.policy, lambda rule: rule.id == opinion.rule), None)

    def failed_accept_rules(self, part: Opinion | Abstention) -> Iterator[RuleTrace]:
        end = part.rule_index if isinstance(part, Opinion) else None
        return self._trace(part.policy, lambda rule: rule.then is Action.ACCEPT, end)

    def _trace(self, policy: str, wanted: Callable[[Rule], bool], end: int | None = None) -> Iterator[RuleTrace]:
        if policy not in self.bound and (found := self.evaluator.bind(self.facts, policy)) is not None:
            self.bound[policy] = found
        return self.evaluator.trace_rules(self.facts, policy, wanted, end=end, bound=self.bound.get(policy))


# ---- sentences -------------------------------------------------------------------------------------------------------


def explain_verdict_in_words(
    verdict: Verdict, traces: TraceSource, now: datetime, zone: tzinfo, status: str = Status.PENDING
) -> WhySentence:
    """Explain a verdict in one sentence. `status` is the status of the request."""
    lead = (_LEADS_WITH_ACCESS if status == Status.ACCEPTED else _LEADS)[verdict.action]
    own = next((one for one in verdict.opinions if one.policy == verdict.policy), None)
    if (why := why_people_decide(verdict, now, zone)) is not None:
        return WhySentence(_LEADS[Action.HUMAN], why)
    if verdict.missing or verdict.needs:
        return WhySentence(lead, _describe_unknown(verdict))
    if own is not None:
        return WhySentence(lead, NO_REMINDER if own.lacks_reminder else _describe_cause(own, traces))
    silent = [each for each in verdict.abstentions if each.mode is PolicyMode.ENFORCE]
    if not silent:
        return WhySentence(lead, ONLY_SHADOW if verdict.shadow or verdict.abstentions else NO_POLICY)
    return WhySentence(lead, _describe_obstacle(silent, traces) or NO_RULE_MATCHES)


def explain_opinion_in_words(opinion: Opinion, traces: TraceSource) -> WhySentence:
    """Explain the opinion of one policy in one sentence."""
    if opinion.lacks_reminder:
        return WhySentence(_LEADS[opinion.action], NO_REMINDER)
    is_unknown = opinion.missing or opinion.needs
    return WhySentence(
        _LEADS[opinion.action], _describe_unknown(opinion) if is_unknown else _describe_cause(opinion, traces)
    )


def explain_shadow_in_words(verdict: Verdict, traces: TraceSource) -> Iterator[tuple[str, WhySentence]]:
    """Yield each policy in shadow mode that has an opinion, with its sentence."""
    for opinion in verdict.shadow:
        yield opinion.policy, explain_opinion_in_words(opinion, traces)


def _describe_unknown(verdict: Verdict | Opinion) -> str:
    """Name the unknown facts and the rules that failed."""
    ending = "not known" if verdict.missing else "not read yet"
    found = [
        f"rule {quote_expression(name.removeprefix('rule '))} could not be evaluated"
        if name.startswith("rule ")
        else f"{name_fact(name)} {ending}"
        for name in verdict.missing or verdict.needs
    ]
    return _join_named(found)


def _describe_cause(opinion: Opinion, traces: TraceSource) -> str:
    """Name what made the rule match; for a rule without conditions, what kept the request from an accept rule."""
    trace = traces.deciding_rule(opinion)
    if trace is not None and trace.says:
        return trace.says
    leaves = [] if trace is None else [leaf for each in trace.conditions for leaf in find_support(each)]
    if leaves:
        return _join_named(map(describe_leaf, leaves))
    if opinion.action not in (Action.HUMAN, Action.WAIT):
        return "the rule is for everybody else" if opinion.rule_index else "the rule is for everybody"
    return _describe_obstacle((opinion,), traces) or NO_RULE_MATCHES


def _describe_obstacle(parts: Iterable[Opinion | Abstention], traces: TraceSource) -> str | None:
    """Name what kept the request from the first accept rule that one condition kept from matching."""
    nearest = find_nearest_accept_rule(parts, traces)
    return None if nearest is None else _join_named(map(_describe_flipped, _blocking_leaves(nearest)))


def find_nearest_accept_rule(parts: Iterable[Opinion | Abstention], traces: TraceSource) -> RuleTrace | None:
    """Return the first accept rule that one condition kept from matching."""
    failed = (one for part in parts for one in traces.failed_accept_rules(part))
    return next((one for one in failed if one.ways_to_match and len(one.ways_to_match[0]) == 1), None)


def _blocking_leaves(trace: RuleTrace) -> Iterator[ConditionTrace]:
    """Yield the tests that would each, if flipped alone, make the rule match."""
    leaves = {leaf.expr: leaf for each in trace.conditions for leaf in _all_leaves(each)}
    for way in trace.ways_to_match:
        if len(way) == 1:
            yield leaves.get(way[0].expr) or ConditionTrace(way[0].expr, not way[0].value)


def _all_leaves(trace: ConditionTrace) -> Iterator[ConditionTrace]:
    if not trace.op and not inner_of_let(trace):
        yield trace
    for part in trace.parts:
        yield from _all_leaves(part)


def _join_named(found: Iterable[str]) -> str:
    words = list(dict.fromkeys(found))
    more = f" and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
    return ", ".join(words[:MAX_NAMED]) + more


_AFTER_WAIT: Final[Mapping[Action, str]] = MappingProxyType(
    {
        Action.RESET: "the request is sent back",
        Action.REJECT: "the request is rejected",
        Action.HUMAN: "a person decides",
    }
)


def describe_wait_end(end: WaitEnd, now: datetime, zone: tzinfo) -> str:
    """Return when a wait is over, what it counts from, and what follows, as one or two sentences."""
    at, start = (format_minute(moment, zone) for moment in (end.at, end.counts_from))
    if end.lacks_reminder:
        if end.at <= now:
            return f"No reminder was accepted before {at}, so a person decides."
        return f"No reminder was accepted yet. Without one before {at}, a person decides."
    source = "the reminder that was accepted" if end.is_reminded else "the request"
    follows = _AFTER_WAIT.get(end.action, "a person decides")
    lead = "The wait ended" if end.at <= now else "The wait ends"
    return f"{lead} {at}, counted from {source} {start}. Then {follows}."


def format_minute(moment: datetime, zone: tzinfo) -> str:
    """Return a time to the minute with its zone."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


# ---- what decided ----------------------------------------------------------------------------------------------------


def find_support(trace: ConditionTrace) -> list[ConditionTrace]:
    """Return the tests that give a condition its value; if several do so on their own, the first."""
    inner = inner_of_let(trace)
    if inner is not None:
        found = find_support(inner)
        return found if _have_words(found) else [trace]
    match trace.op:
        case "!":
            return find_support(trace.parts[0])
        case "&&" | "||":
            supports = [find_support(part) for part in trace.parts if part.value is trace.value]
            if (trace.op == "||") is trace.value:  # each test on its own is enough
                supports = sorted(supports, key=lambda found: not _have_words(found))[:1]
            return [leaf for found in supports for leaf in found]
        case "?:":
            condition, yes, no = trace.parts
            return find_support(condition) + (
                find_support(yes if condition.value else no) if condition.value is not None else []
            )
        case _:
            return [] if trace.expr in _CONSTANTS else [trace]


def _have_words(leaves: Iterable[ConditionTrace]) -> bool:
    return all("`" not in describe_leaf(leaf) for leaf in leaves)


def inner_of_let(trace: ConditionTrace) -> ConditionTrace | None:
    """Return the trace of a boolean `let` if a test consists of its name; None otherwise."""
    is_let = not trace.op and not trace.facts and len(trace.parts) == 1 and is_single_name(trace.expr)
    return trace.parts[0] if is_let and trace.parts[0].value is trace.value else None


def describe_leaf(trace: ConditionTrace) -> str:
    """Describe what is the case: the value that was found, or whether the test holds."""
    if trace.value is None:
        return _describe_unknown_leaf(trace)
    condition = parse_fact_condition(trace.expr)
    found = None if condition is None else describe_found(condition, trace)
    return found or describe_expression(trace.expr, holds=trace.value)


def _describe_flipped(trace: ConditionTrace) -> str:
    """Describe a test that keeps a rule from matching: `account only 12 days old`."""
    words = describe_leaf(trace)
    condition = parse_fact_condition(trace.expr)
    if trace.value is None or condition is None or condition.fact != "person.account_days":
        return words
    is_upper_bound = (condition.op in ("<", "<=")) is (trace.value is not condition.is_negated)
    return words.replace("account ", "account only ", 1) if is_upper_bound and " old" in words else words


def describe_found(condition: FactCondition, trace: ConditionTrace) -> str | None:
    """Describe the value of the tested fact; None if it is unknown or should not be repeated."""
    fact = trace.facts.get(condition.fact)
    if fact is None or fact.value is None or condition.key is not None or condition.has_size:
        return None
    return describe_value(condition.fact, fact.value)


def _describe_unknown_leaf(trace: ConditionTrace) -> str:
    names = [name for name, fact in trace.facts.items() if fact.value is None]
    return f"{name_fact(names[0])} not known" if names else f"{quote_expression(trace.expr)} not known"
