"""Explains a verdict: the cause in one sentence (`Needs review: no university address.`), and a rule as a checklist.

The sentence names the conditions that made the rule match, or the one condition that kept the nearest accept rule from
matching. It never names a condition that has another value. Commands and pages only format these records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.display_text import clip_line
from hf_gate.base.timestamps import format_minute
from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import (
    Abstention,
    Action,
    ConditionTrace,
    Facts,
    Opinion,
    PolicyMode,
    Rule,
    RuleTrace,
    Verdict,
)
from hf_gate.policies.evaluation.evaluator import Evaluator
from hf_gate.policies.evaluation.opinions import why_people_decide
from hf_gate.policies.expressions.expressions import BoundFacts
from hf_gate.policies.expressions.fact_conditions import parse_fact_condition

from .phrases import describe_expression, describe_found, describe_test, is_single_name, name_fact, quote_expression
from .rule_phrases import describe_when

MAX_NAMED: Final = 3  # the most conditions in a sentence
MAX_ITEMS: Final = 20  # the most conditions in a checklist
MAX_EXPRESSION: Final = 160  # the most columns of an expression in a checklist
NO_RULE_MATCHES: Final = "no rule matches"
NO_POLICY: Final = "no policy covers this repo"
ONLY_SHADOW: Final = "policies in shadow mode decide nothing"
_CONSTANTS: Final = frozenset({"true", "false"})
_LEADS: Final[Mapping[Action, str]] = MappingProxyType(
    {
        Action.ACCEPT: "Would accept",
        Action.RESET: "Would send back",
        Action.REJECT: "Would reject",
        Action.WAIT: "On hold",
        Action.HUMAN: "Needs review",
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
    """The reason for a verdict. `lead` names the verdict (`Needs review`), `text` its cause, without a full stop."""

    lead: str
    text: str

    @property
    def ended_text(self) -> str:
        """The text with a full stop, unless the text already ends a sentence."""
        return self.text if self.text.endswith((".", "!", "?")) else f"{self.text}."

    def __str__(self) -> str:
        return f"{self.lead}: {self.ended_text}"


class ChecklistItem(Struct, frozen=True):
    """One condition of a rule. `holds` says whether it is met; None if unknown.

    `words` say what is needed. `found` says what the request has instead, or gives details; it may be empty.
    `expression` is the condition as written in the policy.
    """

    holds: bool | None
    words: str
    expression: str
    found: str = ""


class Checklist(Struct, frozen=True):
    """The conditions of one rule. `is_deciding` is false for an accept rule that did not match."""

    policy: str
    rule: str
    then: Action
    is_deciding: bool
    items: tuple[ChecklistItem, ...]
    more: int = 0  # number of items beyond MAX_ITEMS


class Explanation(Struct, frozen=True):
    """Why a request has its verdict, as of `now`. `verdict` has the rules that were tried.

    `shadow` has the sentence of each opinion in shadow mode.
    """

    verdict: Verdict
    now: datetime
    zone: tzinfo
    sentence: WhySentence
    shadow: tuple[tuple[Opinion, WhySentence], ...]

    @property
    def wait(self) -> str:
        """When the wait of the deciding rule is over, and what follows; empty if it does not wait."""
        end = self.verdict.wait_end
        if end is None:
            return ""
        lead = "The wait ended" if end.at <= self.now else "The wait ends"
        return f"{lead} {format_minute(end.at, self.zone)}. Then {_AFTER_WAIT.get(end.action, 'a person decides')}."

    @property
    def checklist(self) -> Checklist | None:
        """The deciding rule; if it has no conditions, the nearest accept rule (None without one).

        The nearest accept rule is the first that only one condition kept from matching, or else the first accept rule.
        """
        own = self.verdict.deciding
        deciding = None if own is None else own.deciding_trace
        if deciding is not None and deciding.conditions:
            return _make_checklist(deciding, is_deciding=True)
        if self.verdict.action not in _OPEN:
            return None
        failed = list(_failed_accept_rules(_deciding_parts(self.verdict)))
        nearest = next(filter(_is_near, failed), failed[0] if failed else None)
        return None if nearest is None else _make_checklist(nearest, is_deciding=False)


_OPEN: Final = (Action.HUMAN, Action.WAIT)
_Part = TypeVar("_Part", Opinion, Abstention)


# ---- sentences -------------------------------------------------------------------------------------------------------


def explain_verdict(verdict: Verdict, now: datetime, zone: tzinfo, status: str = Status.PENDING) -> Explanation:
    """Explain a verdict with traces. `status` is the status of the request."""
    leads = _LEADS_WITH_ACCESS if status == Status.ACCEPTED else _LEADS
    parts = _deciding_parts(verdict)
    if (why := why_people_decide(verdict, now, zone)) is not None:
        sentence = WhySentence(_LEADS[Action.HUMAN], why)
    elif parts:
        sentence = WhySentence(leads[verdict.action], _describe_cause(verdict, parts))
    else:
        has_shadow = verdict.shadow or verdict.abstentions
        sentence = WhySentence(leads[verdict.action], ONLY_SHADOW if has_shadow else NO_POLICY)
    shadow = tuple((one, WhySentence(_LEADS[one.action], _describe_cause(one, [one]))) for one in verdict.shadow)
    return Explanation(verdict, now, zone, sentence, shadow)


def trace_named_rules(
    evaluator: Evaluator,
    verdict: Verdict,
    facts: Facts,
    bound: Mapping[str, BoundFacts],
    redact: Callable[[RuleTrace], RuleTrace] | None = None,
) -> Verdict:
    """Return a verdict of `Evaluator.evaluate` with traces of the rules that its sentences name.

    Tracing all rules of fifty requests would take too long. `bound` are the facts that `evaluate` bound. `redact`
    hides what a trace must not show.
    """

    def trace_part(part: _Part) -> _Part:
        def trace(wanted: Callable[[Rule], bool], end: int | None = None) -> Iterator[RuleTrace]:
            traces = evaluator.trace_rules(facts, part.policy, wanted, end, bound[part.policy])
            return traces if redact is None else map(redact, traces)

        return replace(part, rule_traces=tuple(_trace_named_rules(part, trace)))

    own = verdict.policy
    return replace(
        verdict,
        opinions=tuple(trace_part(opinion) if opinion.policy == own else opinion for opinion in verdict.opinions),
        shadow=tuple(map(trace_part, verdict.shadow)),
        abstentions=tuple(map(trace_part, verdict.abstentions)) if own is None else verdict.abstentions,
    )


def _trace_named_rules(part: Opinion | Abstention, trace: Callable[..., Iterator[RuleTrace]]) -> list[RuleTrace]:
    """Return the trace of the deciding rule, and those of accept rules up to the nearest if a sentence needs them."""
    own = [] if isinstance(part, Abstention) else list(trace(lambda rule: rule.id == part.rule))
    if isinstance(part, Opinion) and (part.action not in _OPEN or any(map(find_support, own[0].conditions))):
        return own
    found = []
    for tried in trace(lambda rule: rule.then is Action.ACCEPT, part.rule_index if isinstance(part, Opinion) else None):
        found.append(tried)
        if _is_near(tried):
            break
    return [*found, *own]


def _describe_cause(known: Verdict | Opinion, parts: Sequence[Opinion | Abstention]) -> str:
    """Name what made the rule match; for a rule without conditions, what kept the request from an accept rule."""
    if known.missing or known.needs:
        return _describe_unknown(known)
    opinion = parts[0]
    if isinstance(opinion, Opinion):
        trace = opinion.deciding_trace
        if trace is not None and trace.says:
            return trace.says
        leaves = [] if trace is None else [leaf for condition in trace.conditions for leaf in find_support(condition)]
        if leaves:
            return _join_named(map(describe_leaf, leaves))
        if opinion.action not in _OPEN:
            return "the rule is for everybody else" if opinion.rule_index else "the rule is for everybody"
    nearest = next(filter(_is_near, _failed_accept_rules(parts)), None)
    return NO_RULE_MATCHES if nearest is None else _join_named(map(_describe_flipped, _blocking_leaves(nearest)))


def _deciding_parts(verdict: Verdict) -> list[Opinion | Abstention]:
    """Return the opinion that decided; without one, the enforced policies."""
    if verdict.deciding is not None:
        return [verdict.deciding]
    return [abstention for abstention in verdict.abstentions if abstention.mode is PolicyMode.ENFORCE]


def _failed_accept_rules(parts: Iterable[Opinion | Abstention]) -> Iterator[RuleTrace]:
    """Yield the accept rules that were tried before the deciding rule."""
    for part in parts:
        for trace in part.rule_traces:
            if isinstance(part, Opinion) and trace.rule == part.rule:
                break
            if trace.then is Action.ACCEPT:
                yield trace


def _is_near(trace: RuleTrace) -> bool:
    """Tell whether one condition alone kept a rule from matching."""
    return bool(trace.ways_to_match) and len(trace.ways_to_match[0]) == 1


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


def _blocking_leaves(trace: RuleTrace) -> Iterator[ConditionTrace]:
    """Yield the tests that would each, if flipped alone, make the rule match."""
    leaves = {leaf.expr: leaf for condition in trace.conditions for leaf in condition.leaves()}
    for way in trace.ways_to_match:
        if len(way) == 1:
            yield leaves.get(way[0].expr) or ConditionTrace(way[0].expr, not way[0].value)


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
    if trace.value is not None:
        return describe_test(trace.expr, trace.values, holds=trace.value)
    unknown = [name_fact(name) for name, value in trace.values.items() if value is None]
    return f"{unknown[0] if unknown else quote_expression(trace.expr)} not known"


def _describe_flipped(trace: ConditionTrace) -> str:
    """Describe a test that keeps a rule from matching: `account only 12 days old`."""
    words = describe_leaf(trace)
    condition = parse_fact_condition(trace.expr)
    if trace.value is None or condition is None or condition.fact != "person.account_days":
        return words
    is_upper_bound = (condition.op in ("<", "<=")) is (trace.value is not condition.is_negated)
    return words.replace("account ", "account only ", 1) if is_upper_bound and " old" in words else words


# ---- checklists ------------------------------------------------------------------------------------------------------


def _make_checklist(trace: RuleTrace, *, is_deciding: bool) -> Checklist:
    items = [item for condition in trace.conditions for item in _list_items(condition, trace.lets, wanted=True)]
    return Checklist(
        trace.policy, trace.rule, trace.then, is_deciding, tuple(items[:MAX_ITEMS]), max(0, len(items) - MAX_ITEMS)
    )


def _list_items(trace: ConditionTrace, lets: Mapping[str, str], *, wanted: bool) -> Iterator[ChecklistItem]:
    """Yield an item for each condition that must be met."""
    inner = inner_of_let(trace)
    words = describe_when(trace.expr, lets, holds=wanted)
    if inner is not None and "`" not in words:
        yield from _list_items(inner, lets, wanted=wanted)
    elif trace.op == "!":
        yield from _list_items(trace.parts[0], lets, wanted=not wanted)
    elif (trace.op == "&&" and wanted) or (trace.op == "||" and not wanted):
        for part in trace.parts:
            yield from _list_items(part, lets, wanted=wanted)
    else:
        holds = None if trace.value is None else trace.value is wanted
        found = describe_found(trace.expr, trace.values, holds=trace.value is True)
        opposites = {words, describe_expression(trace.expr), describe_expression(trace.expr, holds=False)}
        expression = clip_line(trace.expr if wanted else f"!({trace.expr})", MAX_EXPRESSION)
        yield ChecklistItem(holds, words, expression, "" if found is None or found in opposites else found)
