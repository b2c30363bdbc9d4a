"""The overview page: waits, decisions of 26 weeks with their charts, and ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from hf_gate.base.timestamps import format_day
from hf_gate.desk.decisions.approvals import describe_open_alarms
from hf_gate.desk.http_context import HttpContext
from hf_gate.reports.service.overview import (
    OverviewRecord,
    read_overview,
)


def page(context: HttpContext) -> Response:
    """Show the numbers of the repos that this member sees."""
    overview = _read_numbers(context)
    return context.render(
        "overview.html",
        title="Overview",
        overview=overview,
        alarm_text=describe_open_alarms(context),
        decisions=decisions_chart(overview),
        asked=asked_chart(overview),
        links=_list_queries(overview),
        ends_total=sum(week.ends for week in overview.ends),
    )


def _list_queries(overview: OverviewRecord) -> dict[str, str]:
    """Return the queries that find the counted requests: of each week by its Monday, of all ends, and of who still
    waits.

    The weeks are those of UTC; days in a query are days of the workspace's zone.
    """
    starts = [week.starts for week in overview.ends]
    found = {start: _between(start, start) for start in starts} | {"ends": _between(starts[0], starts[-1])}
    return found | {"open": f"status:pending asked:>={overview.weeks[0].starts}"}


def _between(first: str, last: str) -> str:
    """Return the query for access that ends in the weeks of these Mondays."""
    return f"ends:>={first} ends:<={date.fromisoformat(last) + timedelta(days=6)}"


def _read_numbers(context: HttpContext) -> OverviewRecord:
    member = context.member
    repos = None if member.repos is None else {row.repo for row in context.app_state.membership.repos(member)}
    return read_overview(context.workspace.store, context.now, repos)


def decisions_chart(overview: OverviewRecord) -> Chart:
    """Draw the decisions of each week, by who made them."""
    weeks = overview.weeks
    series = [
        Series("by people", "ch-people", [week.by_people for week in weeks]),
        Series("by rules", "ch-rules", [week.by_rules for week in weeks]),
        Series("elsewhere", "ch-outside", [week.outside for week in weeks]),
    ]
    return draw_stacked_bars([week.starts for week in weeks], series)


def asked_chart(overview: OverviewRecord) -> Chart:
    """Draw how many asked and how many were answered each week."""
    weeks = overview.weeks
    series = [
        Series("asked", "ch-asked", [week.asked for week in weeks]),
        Series("answered", "ch-answered", [week.answered for week in weeks]),
    ]
    return draw_lines([week.starts for week in weeks], series)


# ---- charts ----------------------------------------------------------------------------------------------------------


WIDTH: Final = 720
HEIGHT: Final = 190
_LEFT: Final = 56  # room for the numbers of the axis
_RIGHT: Final = 12  # room for half a date
_TOP: Final = 14  # room for the highest number of the axis
_BOTTOM: Final = 22  # room for the dates
_LABEL_EVERY: Final = 4  # weeks
_STEPS: Final = (1, 2, 5)


class Series(Struct, frozen=True):
    """One value a week with the class that colours it."""

    name: str
    css: str
    values: Sequence[int]


class Bar(Struct, frozen=True):
    """One rectangle, in units of the view box."""

    css: str
    x: float
    y: float
    width: float
    height: float


class AxisLabel(Struct, frozen=True):
    """A text at a position of one axis."""

    at: float
    text: str


class Chart(Struct, frozen=True):
    """Everything that a template needs to draw a chart. `lines`: class and points of each line."""

    series: Sequence[Series]
    bars: Sequence[Bar]
    lines: Sequence[tuple[str, str]]
    values: Sequence[AxisLabel]
    dates: Sequence[AxisLabel]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    text_y: int = HEIGHT - 6


def draw_stacked_bars(starts: Sequence[str], series: Sequence[Series]) -> Chart:
    """Draw one bar a week, with the values of all series on top of each other."""
    totals = [sum(one.values[n] for one in series) for n in range(len(starts))]
    scale = _Scale(len(starts), totals)
    bars = []
    below = [0] * len(starts)
    for one in series:
        for n, value in enumerate(one.values):
            if value:
                top = scale.y(below[n] + value)
                height = scale.y(below[n]) - top
                bars.append(Bar(one.css, _round(scale.x(n)), _round(top), _round(scale.bar), _round(height)))
                below[n] += value
    return Chart(series, bars, (), scale.value_labels(), scale.date_labels(starts))


def draw_lines(starts: Sequence[str], series: Sequence[Series]) -> Chart:
    """Draw one line a series."""
    scale = _Scale(len(starts), [value for one in series for value in one.values])
    lines = [(one.css, _points(scale, one.values)) for one in series]
    return Chart(series, (), lines, scale.value_labels(), scale.date_labels(starts))


def _points(scale: _Scale, values: Sequence[int]) -> str:
    return " ".join(f"{_round(scale.x(n) + scale.bar / 2)},{_round(scale.y(value))}" for n, value in enumerate(values))


class _Scale:
    """Maps weeks and counts to the view box. The axis ends at a round number above every count."""

    def __init__(self, weeks: int, counts: Sequence[int]) -> None:
        highest = max(counts, default=0)
        self.step = _nice_step(highest)
        self.top = self.step * max(1, -(-highest // self.step))
        self._slot = (WIDTH - _LEFT - _RIGHT) / max(1, weeks)
        self.bar = self._slot * 0.72

    def x(self, week: int) -> float:
        return _LEFT + self._slot * week + (self._slot - self.bar) / 2

    def y(self, count: int) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * count / self.top

    def value_labels(self) -> list[AxisLabel]:
        return [AxisLabel(_round(self.y(count)), f"{count:,}") for count in range(0, self.top + 1, self.step)]

    def date_labels(self, starts: Sequence[str]) -> list[AxisLabel]:
        shown = range(len(starts) - 1, -1, -_LABEL_EVERY)
        days = {n: date.fromisoformat(starts[n]) for n in sorted(shown)}
        return [AxisLabel(_round(self.x(n) + self.bar / 2), format_day(day, day.year)) for n, day in days.items()]


def _nice_step(highest: int) -> int:
    """Return a step of 1, 2 or 5 times a power of ten with at most five steps."""
    power = 1
    while True:
        for step in _STEPS:
            if highest <= 5 * step * power:
                return step * power
        power *= 10


def _round(value: float) -> float:
    return round(value, 1)
