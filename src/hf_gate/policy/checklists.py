"""Shows a rule as a checklist: which of its conditions a request meets, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from ..domain.display_text import clip_line, join_words
from .fact_conditions import parse_fact_condition
from .model import Abstention, Action, ConditionTrace, Opinion, PolicyMode, RuleTrace, Verdict
from .phrases import describe_expression, quote_expression
from .why import TraceSource, describe_found, find_nearest_accept_rule, inner_of_let

MAX_ITEMS: Final = 20
MAX_EXPRESSION: Final = 160  # the most columns of an expression
MAX_WORDS: Final = 4  # the most tests of one item in words; longer items are shown as code


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


def build_checklist(verdict: Verdict, traces: TraceSource) -> Checklist | None:
    """Return the checklist of the deciding rule; if that has no conditions, of the nearest accept rule (None without
    one).

    The nearest accept rule is the first that only one condition kept from matching, or else the first accept rule.
    """
    own = next((one for one in verdict.opinions if one.policy == verdict.policy), None)
    deciding = None if own is None else traces.deciding_rule(own)
    if deciding is not None and deciding.conditions:
        return _checklist_of(deciding, is_deciding=True)
    parts: list[Opinion | Abstention] = [own] if own is not None else []
    if own is None:
        parts += [each for each in verdict.abstentions if each.mode is PolicyMode.ENFORCE]
    if verdict.action not in (Action.HUMAN, Action.WAIT):
        return None
    nearest = find_nearest_accept_rule(parts, traces)
    if nearest is None:
        nearest = next((one for part in parts for one in traces.failed_accept_rules(part)), None)
    return None if nearest is None else _checklist_of(nearest, is_deciding=False)


def _checklist_of(trace: RuleTrace, *, is_deciding: bool) -> Checklist:
    items = [item for each in trace.conditions for item in _items_of(each, wanted=True)]
    return Checklist(
        trace.policy, trace.rule, trace.then, is_deciding, tuple(items[:MAX_ITEMS]), max(0, len(items) - MAX_ITEMS)
    )


def _items_of(trace: ConditionTrace, *, wanted: bool) -> Iterator[ChecklistItem]:
    """Yield an item for each condition that must be met."""
    inner = inner_of_let(trace)
    if inner is not None and "`" not in describe_trace(trace, wanted=wanted):
        yield from _items_of(inner, wanted=wanted)
    elif trace.op == "!":
        yield from _items_of(trace.parts[0], wanted=not wanted)
    elif (trace.op == "&&" and wanted) or (trace.op == "||" and not wanted):
        for part in trace.parts:
            yield from _items_of(part, wanted=wanted)
    else:
        holds = None if trace.value is None else trace.value is wanted
        words = describe_trace(trace, wanted=wanted)
        expression = clip_line(trace.expr if wanted else f"!({trace.expr})", MAX_EXPRESSION)
        yield ChecklistItem(holds, words, expression, _describe_difference(trace, words))


def _describe_difference(trace: ConditionTrace, words: str) -> str:
    """Return what was found if this says more than `words`."""
    condition = parse_fact_condition(trace.expr)
    if trace.value and condition is not None and condition.fact.endswith(".quality"):
        return ""  # "something written about use (too little written about use)" would contradict itself
    found = None if condition is None or trace.op else describe_found(condition, trace)
    opposites = {words, describe_expression(trace.expr), describe_expression(trace.expr, holds=False)}
    return "" if found is None or found in opposites else found


def describe_trace(trace: ConditionTrace, *, wanted: bool) -> str:
    """Describe what must be the case for a condition to have the value `wanted`."""
    inner = inner_of_let(trace)
    if inner is not None:
        words = describe_trace(inner, wanted=wanted)
        return words if "`" not in words else ("" if wanted else "not ") + quote_expression(trace.expr)
    if trace.op == "!":
        return describe_trace(trace.parts[0], wanted=not wanted)
    if trace.op not in ("&&", "||") or _count_leaves(trace.parts) > MAX_WORDS:
        return describe_expression(trace.expr, holds=wanted)
    words_of_parts = [describe_trace(part, wanted=wanted) for part in trace.parts]
    return join_words(words_of_parts, "and" if (trace.op == "&&") is wanted else "or")


def _count_leaves(parts: Iterable[ConditionTrace]) -> int:
    return sum(_count_leaves(part.parts) if part.parts else 1 for part in parts)
