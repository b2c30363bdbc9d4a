"""Tracks one rate limit: a window that the Hub announces, or a ceiling that is learned from refusals."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from .ratelimit_headers import MAX_WAIT_S, AnnouncedLimit

# Growth of a ceiling a second, by the share of the rate of the last refusal that it has reached.
_GROWTH_RATES: Final = ((0.95, 0.05), (1.02, 0.0015), (math.inf, 0.02))
_FIRST_CUT, _LATER_CUT = 0.5, 0.9
_MIN_RATE_PER_S: Final = 1 / 60
_CATCH_UP_S: Final = 0.05  # a driver that wakes late can catch up by this much
_MAX_JITTER_S: Final = 60.0


@dataclass(slots=True)
class LimitWindow:
    """One announced limit. `announced_end` is the earliest (received + t); `reset_at` adds a margin to it."""

    quota: int | None = None
    length_s: float | None = None
    size: int = 0  # the quota, or the most calls ever left
    remaining: int | None = None  # None: unknown, one call finds out
    announced_end: float = -math.inf
    started_at: float = -math.inf  # by the local clock
    has_waiters: bool = False  # a call waits for the end
    is_irregular: bool = False  # a window ended later than announced (t rounded down, or no fixed rhythm)

    @property
    def reset_at(self) -> float:
        return (
            self.announced_end + min(1.0, 0.003 * (self.length_s or MAX_WAIT_S)) + (1.0 if self.is_irregular else 0.0)
        )

    def reserved_calls(self, share: float) -> int:
        """Return how many calls bulk work leaves free; bulk work always gets at least one."""
        return max(0, min(math.ceil(self.size * share), self.size - 1))

    def roll_over(self, now: float, in_flight: int) -> bool:
        """Move on to the window of `now`; return True if one call must go alone first."""
        if self.remaining is None or now < self.reset_at:
            return False
        should_probe, self.has_waiters, self.started_at = self.has_waiters, False, now
        if self.is_irregular or self.quota is None or self.length_s is None:
            self.remaining = None
            return True
        self.announced_end += (math.floor((now - self.reset_at) / self.length_s) + 1) * self.length_s
        self.remaining = max(0, self.quota - in_flight)  # may count in either window
        return should_probe

    def update(self, now: float, started: float, limit: AnnouncedLimit, in_flight: int) -> bool:
        """Learn from the answer to a call of time `started`; return True if this window rolled over before the Hub's."""
        self.quota, self.length_s = limit.quota or self.quota, limit.window_s or self.length_s
        self.size = self.quota or max(self.size, limit.remaining + 1)
        self.is_irregular = self.is_irregular or limit.reset_s == 0
        end, half = now + limit.reset_s, (self.length_s or max(limit.reset_s, 1)) / 2
        if self.remaining is None or end > self.announced_end + half:  # the first answer of this window
            if started >= self.started_at:
                self.remaining, self.announced_end, self.started_at = max(0, limit.remaining - in_flight), end, now
        elif end < self.announced_end - half:  # of the previous window: a late answer, or it has not ended
            if started >= self.started_at:
                self.remaining, self.announced_end, self.is_irregular = limit.remaining, end, True
                return True
        else:
            self.remaining = min(self.remaining, limit.remaining)
            self.announced_end = max(min(self.announced_end, end), started + limit.reset_s - 1)
        return False


@dataclass(slots=True)
class Ceiling:
    """An unannounced limit, learned from refusals. The rate grows slowly, is cut by a refusal, and spaces calls evenly."""

    rate: float | None = None  # calls a second; None: no refusal yet, no limit
    refused_rate: float = 0.0
    next_at: float = -math.inf
    grew_at: float = 0.0
    is_binding: bool = False  # a call waited for it
    refusals_in_a_row: int = 0
    success_times: deque[float] = field(default_factory=lambda: deque(maxlen=2000))

    def record_start(self, now: float) -> None:
        if self.rate is not None:
            self.next_at = max(self.next_at, now - _CATCH_UP_S) + 1 / self.rate

    def record_success(self, now: float) -> None:
        self.refusals_in_a_row = 0
        if self.rate is not None and self.is_binding:
            speed = next(speed for share, speed in _GROWTH_RATES if self.rate < share * self.refused_rate)
            self.rate *= min(2.0, 1 + speed * min(now - self.grew_at, 2 / self.rate))
            self.is_binding = False
        self.grew_at = now
        self.success_times.append(now)

    def record_refusal(self, now: float, chance: float, asked: float | None) -> None:
        if self.rate is None:
            self.refused_rate = max(1.0, self._successes_per_s(now, 1.0))
            self.rate = self.refused_rate * _FIRST_CUT
        elif not self.refusals_in_a_row:
            self.refused_rate = min(self.rate, max(self._successes_per_s(now, 10.0), self.rate * _FIRST_CUT))
            self.rate = max(_MIN_RATE_PER_S, self.refused_rate * _LATER_CUT)
        elif (
            now - self.success_times[-1] > 1 if self.success_times else True
        ):  # a per-second limit would have let this call pass
            self.refused_rate, self.rate = self.rate, max(_MIN_RATE_PER_S, self.rate * _FIRST_CUT)
        pause = chance * min(_MAX_JITTER_S, 2.0 ** min(self.refusals_in_a_row, 6)) if asked is None else asked + chance
        self.refusals_in_a_row += 1
        self.next_at = self.grew_at = now + max(pause, min(1.0, 1 / self.rate))

    def _successes_per_s(self, now: float, span: float) -> float:
        if not self.success_times:
            return 0.0
        return sum(at > now - span for at in self.success_times) / max(1.0, min(span, now - self.success_times[0]))
