"""Charts as geometry: bars and lines of weekly counts, which a template draws as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 190
_LEFT: Final = 56  # room for the numbers of the axis
_RIGHT: Final = 4
_TOP: Final = 10
_BOTTOM: Final = 22  # room for the dates
_LABEL_EVERY: Final = 4  # weeks
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Series:
    """One value a week with the class that colours it. None: hidden from this reader, drawn as nothing."""

    name: str
    css: str
    values: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle, in units of the view box."""

    css: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class AxisLabel:
    """A text at a position of one axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
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
    totals = [sum(one.values[n] or 0 for one in series) for n in range(len(starts))]
    scale = _Scale(len(starts), max(totals, default=0))
    bars, below = [], [0] * len(starts)
    for one in series:
        for n, value in enumerate(one.values):
            if value:
                top = scale.y(below[n] + value)
                height = scale.y(below[n]) - top
                bars.append(Bar(one.css, _round(scale.x(n)), _round(top), _round(scale.bar), _round(height)))
                below[n] += value
    return Chart(series, bars, (), scale.value_labels(), scale.date_labels(starts))


def draw_lines(starts: Sequence[str], series: Sequence[Series]) -> Chart:
    """Draw one line a series. A hidden value interrupts its line."""
    scale = _Scale(len(starts), max((value or 0 for one in series for value in one.values), default=0))
    lines = [(one.css, points) for one in series for points in _segments(scale, one.values)]
    return Chart(series, (), lines, scale.value_labels(), scale.date_labels(starts))


def _segments(scale: _Scale, values: Sequence[int | None]) -> list[str]:
    segments: list[list[str]] = [[]]
    for n, value in enumerate(values):
        if value is None:
            segments.append([])
        else:
            segments[-1].append(f"{_round(scale.x(n) + scale.bar / 2)},{_round(scale.y(value))}")
    return [" ".join(points) for points in segments if points]


class _Scale:
    """Maps weeks and counts to the view box. The axis ends at a round number above every count."""

    def __init__(self, weeks: int, highest: int) -> None:
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
        return [AxisLabel(_round(self.x(n) + self.bar / 2), starts[n][5:]) for n in sorted(shown)]


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
