"""What is known of one limit: a window that the Hub announces, or a ceiling that only its refusals teach."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from .ratelimit_headers import LONGEST_S, Limit

# Ceilings: where the rate stands between nothing and the wall (the rate of the last refusal) -> growth a second.
_GROWTH: Final = ((0.95, 0.05), (1.02, 0.0015), (math.inf, 0.02))
_FIRST_CUT, _LATER_CUT = 0.5, 0.9
_SLOWEST_PER_S: Final = 1 / 60
_CATCH_UP_S: Final = 0.05  # a driver that wakes late may make up for so much
_JITTER_CAP_S: Final = 60.0


@dataclass(slots=True)
class Window:
    """One announced limit. `end` is raw, the least of (received + t); `over` is when we dare to believe it."""

    quota: int | None = None
    length: float | None = None
    size: int = 0  # the quota, or the most that was ever left
    remaining: int | None = None  # None: not known, one call asks
    end: float = -math.inf
    began: float = -math.inf  # when it turned on our clock
    held: bool = False  # somebody waits for the end
    wary: bool = False  # the end came later than told (t rounded down, or no fixed rhythm): trust only this window's t

    @property
    def over(self) -> float:
        return self.end + min(1.0, 0.003 * (self.length or LONGEST_S)) + (1.0 if self.wary else 0.0)

    def kept(self, share: float) -> int:
        """Calls of this window that bulk work leaves alone; one is always left for it."""
        return max(0, min(math.ceil(self.size * share), self.size - 1))

    def turn(self, now: float, in_flight: int) -> bool:
        """Pass into the window of `now`; True when that was a turn after which one call must ask first."""
        if self.remaining is None or now < self.over:
            return False
        alone, self.held, self.began = self.held, False, now
        if self.wary or self.quota is None or self.length is None:
            self.remaining = None
            return True
        self.end += (math.floor((now - self.over) / self.length) + 1) * self.length
        self.remaining = max(0, self.quota - in_flight)  # a call on its way may be counted here or before
        return alone

    def hear(self, now: float, started: float, limit: Limit, in_flight: int) -> bool:
        """Learn from an answer to a call begun at `started`; True when we had turned before the Hub did."""
        self.quota, self.length = limit.quota or self.quota, limit.window_s or self.length
        self.size = self.quota or max(self.size, limit.remaining + 1)
        self.wary = self.wary or limit.reset_s == 0
        end, half = now + limit.reset_s, (self.length or max(limit.reset_s, 1)) / 2
        if self.remaining is None or end > self.end + half:  # the first word on this window
            if started >= self.began:
                self.remaining, self.end, self.began = max(0, limit.remaining - in_flight), end, now
        elif end < self.end - half:  # about the window before: late news, or news that it is not over
            if started >= self.began:
                self.remaining, self.end, self.wary = limit.remaining, end, True
                return True
        else:
            self.remaining = min(self.remaining, limit.remaining)
            self.end = max(min(self.end, end), started + limit.reset_s - 1)
        return False


@dataclass(slots=True)
class Ceiling:
    """A limit that nobody announced, as far as refusals have taught it: grows slowly, is cut, spaces calls evenly."""

    rate: float | None = None  # calls a second; None: no refusal yet, no throttle
    wall: float = 0.0
    next_at: float = -math.inf
    grown_at: float = 0.0
    pressed: bool = False  # somebody waited for it, so it is what binds
    in_a_row: int = 0
    good_at: deque[float] = field(default_factory=lambda: deque(maxlen=2000))

    def start(self, now: float) -> None:
        if self.rate is not None:
            self.next_at = max(self.next_at, now - _CATCH_UP_S) + 1 / self.rate

    def good(self, now: float) -> None:
        self.in_a_row = 0
        if self.rate is not None and self.pressed:
            speed = next(speed for share, speed in _GROWTH if self.rate < share * self.wall)
            self.rate *= min(2.0, 1 + speed * min(now - self.grown_at, 2 / self.rate))
            self.pressed = False
        self.grown_at = now
        self.good_at.append(now)

    def refused(self, now: float, chance: float, asked: float | None) -> None:
        if self.rate is None:
            self.wall = max(1.0, self._good_per_s(now, 1.0))
            self.rate = self.wall * _FIRST_CUT
        elif not self.in_a_row:
            self.wall = min(self.rate, max(self._good_per_s(now, 10.0), self.rate * _FIRST_CUT))
            self.rate = max(_SLOWEST_PER_S, self.wall * _LATER_CUT)
        elif now - self.good_at[-1] > 1 if self.good_at else True:  # a limit by the second had let this one pass
            self.wall, self.rate = self.rate, max(_SLOWEST_PER_S, self.rate * _FIRST_CUT)
        pause = chance * min(_JITTER_CAP_S, 2.0 ** min(self.in_a_row, 6)) if asked is None else asked + chance
        self.in_a_row += 1
        self.next_at = self.grown_at = now + max(pause, min(1.0, 1 / self.rate))

    def _good_per_s(self, now: float, span: float) -> float:
        if not self.good_at:
            return 0.0
        return sum(at > now - span for at in self.good_at) / max(1.0, min(span, now - self.good_at[0]))
