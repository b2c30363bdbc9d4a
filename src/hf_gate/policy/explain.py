"""A verdict in words, for `explain`, plan, ledger and desk alike: every rule tried, why, and what would have to differ.

Text from people, cards and the Hub is made visible and short here; whoever prints the lines need not know where it
came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from ..domain.moments import iso
from ..domain.text import clip, visible
from .combine import left_to_people
from .model import Action, Because, Fact, FactValue, Flip, Mode, Opinion, Tried, Verdict

VALUE_COLUMNS = 80  # of one value that is shown
EXPR_COLUMNS = 160


class Mark(StrEnum):
    """How a line came out."""

    YES = "✓"
    NO = "✗"
    UNKNOWN = "?"
    PLAIN = " "


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an explanation; `depth` 0 is the verdict itself."""

    depth: int
    mark: Mark
    text: str

    def __str__(self) -> str:
        lead = "" if self.mark is Mark.PLAIN else f"{self.mark} "
        return f"{'  ' * self.depth}{lead}{self.text}"


def explained(verdict: Verdict, now: datetime, zone: tzinfo = UTC) -> tuple[Line, ...]:
    """The verdict, then each policy with its rules; shadow policies last. Ages of facts are counted to `now`.

    `zone` is that of the desk, in which a day ends.
    """
    return tuple(_verdict(verdict, now, zone))


def headline(verdict: Verdict) -> str:
    """The verdict in one line: what, by which rule, on which terms, or what is missing."""
    by = f"rule `{verdict.rule}` of policy `{verdict.policy}`" if verdict.policy else "no enforced rule matches"
    return "; ".join([f"{verdict.action}: {by}", *_terms(verdict)])


def _terms(verdict: Verdict | Opinion) -> Iterator[str]:
    if verdict.until is not None:
        yield f"until {verdict.until}, then {verdict.at_end or Action.RESET}"
    if verdict.reviewers > 1:
        yield f"{verdict.reviewers} reviewers"
    if verdict.queue:
        yield f"queue {_line(verdict.queue)}"
    if verdict.needs:
        yield f"waits one cycle for {', '.join(verdict.needs)}"
    if verdict.missing:
        yield f"missing: {', '.join(verdict.missing)}"
    if verdict.possible:
        outcomes = [*verdict.possible, *(["no opinion"] if isinstance(verdict, Opinion) and verdict.or_none else [])]
        yield f"it could be {' or '.join(outcomes)}"


def _verdict(verdict: Verdict, now: datetime, zone: tzinfo) -> Iterator[Line]:
    yield Line(0, Mark.PLAIN, headline(verdict))
    if (why := left_to_people(verdict, now, zone)) is not None:
        yield Line(1, Mark.PLAIN, f"left to people: {why}")
    if verdict.reason:
        yield Line(1, Mark.PLAIN, f"reason: {_line(verdict.reason, EXPR_COLUMNS * 2)}")
    for opinion in (*verdict.opinions, *verdict.shadow):
        yield from _opinion(opinion, now)
    for silent in verdict.silent:
        yield Line(1, Mark.PLAIN, f"policy `{silent.policy}`{_beside(silent.mode)}: no rule matches, it has no opinion")
        for tried in silent.tried:
            yield from _tried(tried, now)


def _opinion(opinion: Opinion, now: datetime) -> Iterator[Line]:
    terms = "; ".join([f"{opinion.action} by rule `{opinion.rule}`", *_terms(opinion)])
    yield Line(1, Mark.PLAIN, f"policy `{opinion.policy}`{_beside(opinion.mode)}: {terms}")
    for tried in opinion.tried:
        yield from _tried(tried, now)


def _beside(mode: Mode) -> str:
    return ", shadow: recorded, never counted" if mode is Mode.SHADOW else ""


_MATCHED = {True: "matches", False: "does not match", None: "is unknown"}
_MARKS = {True: Mark.YES, False: Mark.NO, None: Mark.UNKNOWN}


def _tried(tried: Tried, now: datetime) -> Iterator[Line]:
    always = ", it always does" if tried.matched and not tried.because else ""
    yield Line(2, _MARKS[tried.matched], f"{tried.rule} ({tried.then}) {_MATCHED[tried.matched]}{always}")
    for because in tried.because:
        yield from _because(because, 3, now)
    if tried.matched is not True:
        yield Line(3, Mark.PLAIN, _differ(tried.differ))


def _because(because: Because, depth: int, now: datetime) -> Iterator[Line]:
    told_below = because.parts or any(fact.value is None for fact in because.facts.values())
    note = f" ({because.note})" if because.note and not told_below else ""
    mark = Mark.PLAIN if because.value is None and because.note.startswith("=") else _MARKS[because.value]
    yield Line(depth, mark, f"{_line(because.expr, EXPR_COLUMNS)}{note}")
    for name, fact in because.facts.items():
        yield Line(depth + 1, Mark.PLAIN, fact_line(name, fact, now))
    for part in because.parts:
        yield from _because(part, depth + 1, now)


def _differ(ways: tuple[tuple[Flip, ...], ...]) -> str:
    if not ways:
        return "no small change would make it match"
    return "it would match if " + "; or if ".join(_way(way) for way in ways)


def _way(way: Iterable[Flip]) -> str:
    return " and ".join(f"`{_line(flip.expr, EXPR_COLUMNS)}` were {str(flip.value).lower()}" for flip in way)


# ---- facts -----------------------------------------------------------------------------------------------------------------


def fact_line(name: str, fact: Fact, now: datetime) -> str:
    """`email.domain = "acme.org" (hub, account, 3 d old)`; of an unknown fact why it is unknown."""
    about = [_line(fact.source), fact.trust.value]
    if fact.as_of is not None:
        about.append(_age(now - fact.as_of))
    if fact.value is None:
        why = fact.why.value if fact.why else "unavailable"
        note = f": {_line(fact.note)}" if fact.note else ""
        return f"{name} {why}{note} ({', '.join(about)})"
    note = f"; {_line(fact.note)}" if fact.note else ""
    return f"{name} = {shown(fact.value)} ({', '.join(about)}{note})"


def shown(value: FactValue) -> str:
    """A value on one line, without anything that acts on a terminal, at most 80 columns."""
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, str):
        return f'"{_line(value)}"'
    if isinstance(value, Mapping):
        return _line("{" + ", ".join(f'"{key}": "{each}"' for key, each in value.items()) + "}")
    return _line("[" + ", ".join(f'"{each}"' for each in value) + "]")


def _line(text: str, columns: int = VALUE_COLUMNS) -> str:
    return clip(visible(text[: columns * 8], one_line=True), columns)


def _age(age: timedelta) -> str:
    if age < timedelta(minutes=2):
        return "just read"
    if age < timedelta(hours=2):
        return f"{age // timedelta(minutes=1)} min old"
    if age < timedelta(days=2):
        return f"{age // timedelta(hours=1)} h old"
    return f"{age.days} d old"
