"""Renders an explanation as lines of text: each rule, its conditions, its facts, and what would make it match.

Hostile text is made visible and short here, so callers can print the lines unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum

from msgspec import Struct

from hf_gate.base.display_text import clip_line
from hf_gate.base.timestamps import format_day, format_minute, format_span
from hf_gate.core.lifecycle import AT_END, label_action
from hf_gate.core.people.grants import format_last_day
from hf_gate.core.policy_model import (
    Action,
    ConditionFlip,
    ConditionTrace,
    Fact,
    FactEnd,
    FactValue,
    Opinion,
    PolicyMode,
    RuleTrace,
    UnknownReason,
    Until,
    Verdict,
)
from hf_gate.policies.evaluation.opinions import why_people_decide

from .explanations import Explanation

VALUE_COLUMNS = 80  # columns of one value
EXPR_COLUMNS = 160


class LineMark(StrEnum):
    """The mark in front of a line."""

    YES = "✓"
    NO = "✗"
    UNKNOWN = "?"
    PLAIN = " "


class ExplanationLine(Struct, frozen=True):
    """One line of an explanation; the verdict has `depth` 0."""

    depth: int
    mark: LineMark
    text: str

    def __str__(self) -> str:
        lead = "" if self.mark is LineMark.PLAIN else f"{self.mark} "
        return f"{'  ' * self.depth}{lead}{self.text}"


def summarize_verdict(verdict: Verdict, zone: tzinfo) -> str:
    """Return the verdict in one line: action, rule and policy, terms, and what is missing."""
    by = f"rule `{verdict.rule}` of policy `{verdict.policy}`" if verdict.policy else "no enforced rule matches"
    return "; ".join([f"{label_action(verdict.action)}: {by}", *_describe_terms(verdict, zone)])


def _describe_terms(verdict: Verdict | Opinion, zone: tzinfo) -> Iterator[str]:
    if verdict.until is not None:
        yield f"until {_describe_end(verdict.until, zone)}, then {AT_END[verdict.at_end or Action.RESET]}"
    if verdict.reviewers > 1:
        yield f"{verdict.reviewers} reviewers"
    if verdict.needs:
        yield f"waits until the next turn reads {', '.join(verdict.needs)}"
    if verdict.missing:
        yield f"missing: {', '.join(verdict.missing)}"
    if verdict.possible:
        outcomes = [
            *verdict.possible,
            *(["no opinion"] if isinstance(verdict, Opinion) and verdict.can_abstain else []),
        ]
        yield f"possible: {' or '.join(outcomes)}"


def _describe_end(until: Until, zone: tzinfo) -> str:
    """Return the end: `26 Nov 2027` (the last day of access), or `1y` after the acceptance."""
    if isinstance(until, FactEnd):
        return f"the date in {until.name}" if until.at is None else format_last_day(until.at, zone)
    return format_day(until) if isinstance(until, date) else str(until)


def render_explanation(explanation: Explanation) -> Iterator[ExplanationLine]:
    """Yield the verdict, then each policy with its rules, policies in shadow mode last."""
    verdict = explanation.verdict
    yield ExplanationLine(0, LineMark.PLAIN, summarize_verdict(verdict, explanation.zone))
    if (why := why_people_decide(verdict, explanation.now, explanation.zone)) is not None:
        yield ExplanationLine(1, LineMark.PLAIN, f"people decide: {why}")
    if verdict.reason:
        yield ExplanationLine(1, LineMark.PLAIN, f"reason: {clip_line(verdict.reason, EXPR_COLUMNS * 2)}")
    for part in verdict.parts:
        words = "no rule matches, so it has no opinion"
        if isinstance(part, Opinion):
            words = "; ".join([f"{part.action} by rule `{part.rule}`", *_describe_terms(part, explanation.zone)])
        shadow = ", shadow: recorded only" if part.mode is PolicyMode.SHADOW else ""
        yield ExplanationLine(1, LineMark.PLAIN, f"policy `{part.policy}`{shadow}: {words}")
        for trace in part.rule_traces:
            yield from render_rule(trace, explanation.now)


_MATCHED = {True: "matches", False: "does not match", None: "is unknown"}
_MARKS = {True: LineMark.YES, False: LineMark.NO, None: LineMark.UNKNOWN}


def render_rule(trace: RuleTrace, now: datetime, depth: int = 2) -> Iterator[ExplanationLine]:
    """Yield the result of a rule, its conditions with their facts, and what would make it match."""
    always = ", because it has no condition" if trace.matched and not trace.conditions else ""
    yield ExplanationLine(
        depth, _MARKS[trace.matched], f"{trace.rule} ({trace.then}) {_MATCHED[trace.matched]}{always}"
    )
    for condition in trace.conditions:
        yield from _condition_lines(condition, depth + 1, now)
    if trace.matched is False or trace.ways_to_match:
        ways = "; or if ".join(map(_describe_flips, trace.ways_to_match))
        words = f"it matches if {ways}" if ways else "no small change makes it match"
        yield ExplanationLine(depth + 1, LineMark.PLAIN, words)


def _condition_lines(trace: ConditionTrace, depth: int, now: datetime) -> Iterator[ExplanationLine]:
    is_explained_below = trace.parts or any(fact.value is None for fact in trace.facts.values())
    note = f" ({trace.note})" if trace.note and not is_explained_below else ""
    mark = LineMark.PLAIN if trace.value is None and trace.note.startswith("=") else _MARKS[trace.value]
    yield ExplanationLine(depth, mark, f"{clip_line(trace.expr, EXPR_COLUMNS)}{note}")
    for name, fact in trace.facts.items():
        yield ExplanationLine(depth + 1, LineMark.PLAIN, format_fact(name, fact, now))
    for part in trace.parts:
        yield from _condition_lines(part, depth + 1, now)


def _describe_flips(way: Iterable[ConditionFlip]) -> str:
    return " and ".join(f"`{clip_line(flip.expr, EXPR_COLUMNS)}` is {str(flip.value).lower()}" for flip in way)


# ---- facts -----------------------------------------------------------------------------------------------------------


def format_fact(name: str, fact: Fact, now: datetime) -> str:
    """Format a fact: `email.domain = "acme.org" (hub, account, 3 d old)`, or the reason why it is unknown."""
    about = [clip_line(fact.source, VALUE_COLUMNS), fact.trust.value]
    note = clip_line(fact.note, VALUE_COLUMNS)
    if fact.as_of is not None:
        age = now - fact.as_of
        about.append("just read" if age < timedelta(minutes=2) else f"{format_span(age)} old")
    if fact.value is None:
        return f"{name} {fact.why or UnknownReason.UNAVAILABLE}{f': {note}' if note else ''} ({', '.join(about)})"
    return f"{name} = {format_value(fact.value)} ({', '.join(about)}{f'; {note}' if note else ''})"


def format_value(value: FactValue) -> str:
    """Format a value on one line of at most 80 columns, safe for a terminal."""
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, datetime):
        return format_minute(value)
    if isinstance(value, str):
        return f'"{clip_line(value, VALUE_COLUMNS)}"'
    if isinstance(value, Mapping):
        return clip_line("{" + ", ".join(f'"{key}": "{each}"' for key, each in value.items()) + "}", VALUE_COLUMNS)
    return clip_line("[" + ", ".join(f'"{each}"' for each in value) + "]", VALUE_COLUMNS)
