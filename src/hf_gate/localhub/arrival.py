"""Models when requests arrive: launches and their decline, working hours on three continents, quiet weekends."""

from __future__ import annotations

from bisect import bisect_right
from math import exp
from typing import Final

DAY: Final = 86_400_000
HOUR: Final = 3_600_000
MINUTE: Final = 60_000
_MONDAY: Final = 4 * DAY  # 1970-01-05
_WEEKEND: Final = 0.6
# Activity at each hour of the local day, and the share of people at each offset from UTC.
_AWAKE: Final = (2, 1, 1, 1, 1, 2, 3, 5, 8, 11, 12, 12, 10, 10, 12, 12, 12, 11, 9, 8, 8, 8, 6, 4)
_OFFSETS: Final = ((-6, 35), (1, 25), (7, 40))


def _build_day_curve() -> tuple[float, ...]:
    hours = [sum(share * _AWAKE[(hour + offset) % 24] for offset, share in _OFFSETS) for hour in range(24)]
    total, edges = sum(hours), [0.0]
    for hour in hours:
        edges.append(edges[-1] + hour / total)
    edges[-1] = 1.0
    return tuple(edges)


_CURVE: Final = _build_day_curve()


def _share_before(ms_of_day: int) -> float:
    hour, rest = divmod(ms_of_day, HOUR)
    return _CURVE[hour] + (_CURVE[hour + 1] - _CURVE[hour]) * rest / HOUR


def _time_of_day(share: float) -> int:
    hour = min(23, bisect_right(_CURVE, share) - 1)
    return int((hour + (share - _CURVE[hour]) / (_CURVE[hour + 1] - _CURVE[hour])) * HOUR)


class Timeline:
    """The inverse of a repo's arrival curve: `at(share)` is when that share of its requests had arrived."""

    __slots__ = ("_edges", "_first", "_lead", "_scale", "start")

    def __init__(
        self, start_ms: int, now_ms: int, launches: tuple[tuple[float, float, float], ...], base: float
    ) -> None:
        """`launches` are (days after the start, height of the peak, days until it has fallen to a third)."""
        self.start = start_ms
        self._first = start_ms // DAY
        days = now_ms // DAY - self._first + 1
        self._edges = [0.0]
        self._lead: list[float] = []
        self._scale: list[float] = []
        for day in range(days):
            low = _share_before(start_ms % DAY) if day == 0 else 0.0
            high = _share_before(now_ms % DAY) if day == days - 1 else 1.0
            self._lead.append(low)
            self._scale.append(max(0.0, high - low))
            self._edges.append(self._edges[-1] + self._weight(day, launches, base) * self._scale[-1])

    def _weight(self, day: int, launches: tuple[tuple[float, float, float], ...], base: float) -> float:
        weekday = (((self._first + day) * DAY - _MONDAY) // DAY) % 7
        weight = base
        for begin, height, fall in launches:
            if day >= begin:
                weight += height * exp((begin - day) / fall) + 0.12 * height / (day - begin + 1)
        return weight * (_WEEKEND if weekday >= 5 else 1.0)

    def get_time(self, share: float) -> int:
        """Return milliseconds since 1970 for a `share` in [0, 1)."""
        edges = self._edges
        wanted = share * edges[-1]
        day = min(len(self._scale), bisect_right(edges, wanted)) - 1
        width = edges[day + 1] - edges[day]
        within = (wanted - edges[day]) / width if width else 0.0
        return (self._first + day) * DAY + _time_of_day(min(0.999999999, self._lead[day] + within * self._scale[day]))
