"""When the next call of one token may leave: windows that the Hub announces, ceilings that it does not, its bad hours.

Knows no clock, no threads and no chance: `now` (epoch seconds, of one clock that only goes forward) and random numbers
come in. A driver guards a `Pacer` with its lock and, while calls wait, asks again after each answer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from .limits import Ceiling, Window
from .messages import Answer, Lane, Lost, NoReply, Reply, Send
from .ratelimit_headers import Limit, read_limits, retry_after

MOST_LIMITS: Final = 32  # names of limits that are followed; each answer could announce others
POLL_S: Final = 0.05  # come back after this long when it is an answer that one waits for
LEAST_S: Final = 0.001  # a wait is never so small that adding it to the clock changes nothing
READS_TURN: Final = 4  # after so many writes went before a waiting read, one read goes first

# Each good answer lets one more call fly; that of a read three, where the limit is announced and no hidden one was met. It is
# the changes that the Hub limits without announcing it.
_MORE_WHERE_SURE: Final = 3

_BULK: Final = frozenset({Lane.BULK_WRITE, Lane.BULK_READ})
_WRITES: Final = frozenset({Lane.WRITE, Lane.BULK_WRITE})
_AWAY: Final = frozenset({Lost.CONNECT, Lost.TIMEOUT, Lost.BROKEN})

# Server errors: after so many in a row one call asks, first after 30 s, at last every 5 minutes.
_BREAKER_AT: Final = 5
_BREAKER_S, _BREAKER_CAP_S = 30.0, 300.0


class Why(StrEnum):
    """What a call waits for, in words for people."""

    NOTHING = ""
    PROBE = "one call asks first"
    WINDOW = "the Hub's limit is used up until it resets"
    RESERVE = "the rest of this window is left to other work"
    ASKED = "the Hub asked to wait"
    CEILING = "the Hub has a limit that it does not announce"
    AWAY = "the Hub answers with errors or not at all"


@dataclass(frozen=True, slots=True)
class Outlook:
    """The tightest announced window of a bucket (None: none heard of) and what bulk work waits for at this moment."""

    remaining: int | None
    quota: int | None
    window_s: float | None
    reset_in: float | None
    ceiling_per_s: float | None
    waiting_why: Why


@dataclass(slots=True)
class _Bucket:
    """Calls that share their fate. A new generation begins with one call alone; each good answer lets more fly."""

    names: set[str] = field(default_factory=set)  # the limits that its answers announced
    generation: int = 0
    width: int = 1
    flying: int = 0  # of this generation
    in_flight: int = 0  # of all
    errors: int = 0
    pause_until: float = -math.inf
    pause_why: Why = Why.NOTHING
    passed: int = 0  # writes that went since a read began to wait
    ceilings: dict[bool, Ceiling] = field(default_factory=lambda: {True: Ceiling(), False: Ceiling()})

    def alone(self) -> None:
        self.generation, self.width, self.flying = self.generation + 1, 1, 0

    def pause(self, until: float, why: Why) -> None:
        if until > self.pause_until:
            self.pause_until, self.pause_why = until, why


class Pacer:
    """The budget of one token in one process. `reserve` is the share of each window that bulk lanes leave free."""

    def __init__(self, reserve: float = 0.25) -> None:
        if not 0 <= reserve < 1:
            raise ValueError(f"reserve is a share of the window, 0 <= reserve < 1, not {reserve}")
        self._reserve = reserve
        self._buckets: dict[str, _Bucket] = {}
        self._windows: dict[str, Window] = {}
        self._flights: dict[Send, deque[tuple[float, int]]] = {}  # start and generation of each call on its way
        self._waiting: dict[int, Send] = {}
        self._tickets = 0

    def join(self, send: Send) -> int:
        """Say that `send` waits, so that others yield to it; whoever joins must `leave`, also when cancelled."""
        self._tickets += 1
        self._waiting[self._tickets] = send
        return self._tickets

    def leave(self, ticket: int) -> None:
        self._waiting.pop(ticket, None)

    def ask(self, now: float, send: Send) -> float:
        """0.0: go now, the call is counted. Else seconds after which to ask again; an earlier answer may free it."""
        wait = self.wait_of(now, send)
        if wait <= 0:
            self._start(now, self._bucket(send.bucket), send)
        return wait

    def wait_of(self, now: float, send: Send) -> float:
        """What `ask` would say; nothing is counted."""
        bucket = self._turned(now, send.bucket)
        wait, why = self._hold(now, bucket, send)
        if wait <= 0 and self._yields(now, bucket, send):
            return POLL_S
        if wait > 0:
            if why in {Why.WINDOW, Why.RESERVE}:
                for name in bucket.names:
                    self._windows[name].held = True
            bucket.ceilings[send.changes].pressed |= why is Why.CEILING
            return max(wait, LEAST_S)
        return 0.0

    def heard(self, now: float, send: Send, answer: Answer, chance: float) -> None:
        """Learn from the answer to a call that `ask` let go; `chance` in [0, 1) spreads what waits for a refusal."""
        bucket = self._turned(now, send.bucket)
        started, generation = self._land(bucket, send, now)
        is_current = generation == bucket.generation
        if isinstance(answer, NoReply):
            if answer.why in _AWAY and is_current:
                self._failed(now, bucket)
            return
        limits = read_limits(answer.headers)
        is_early = self._hear(now, started, bucket, limits)
        if answer.status == 429:
            self._refused(now, send, answer, limits, chance, is_current=is_current)
        elif answer.status >= 500:
            asked = retry_after(answer.headers, now)
            if asked is not None:
                bucket.pause(now + asked + chance, Why.ASKED)
            if is_current:
                self._failed(now, bucket)
        else:
            bucket.errors = 0
            if is_current:
                ceiling = bucket.ceilings[send.changes]
                is_sure = limits and not send.changes and ceiling.rate is None
                bucket.width += _MORE_WHERE_SURE if is_sure else 1
                ceiling.good(now)
        if is_early:
            bucket.alone()

    def dropped(self, send: Send) -> None:
        """A call that `ask` let go and of which nothing will be heard. The Hub may have counted it, so we do."""
        self._land(self._bucket(send.bucket), send, 0.0)

    def outlook(self, now: float, bucket: str = "api") -> Outlook:
        """For progress and ETA; sends and counts nothing."""
        state = self._turned(now, bucket)
        known = [w for w in (self._windows[name] for name in state.names) if w.remaining is not None]
        tight = min(known, key=lambda w: (w.remaining or 0) / (w.quota or 1), default=Window())
        rates = [c.rate for c in state.ceilings.values() if c.rate is not None]
        bulk = Send("", "POST", "/", lane=Lane.BULK_WRITE, bucket=bucket, changes=True)
        return Outlook(
            tight.remaining,
            tight.quota,
            tight.length,
            max(0.0, tight.over - now) if known else None,
            min(rates, default=None),
            self._hold(now, state, bulk)[1],
        )

    # ---- may it go? --------------------------------------------------------------------------------------------------

    def _hold(
        self, now: float, bucket: _Bucket, send: Send, ahead: Collection[Send] = (), ready: int = 0
    ) -> tuple[float, Why]:
        """How long `send` must wait and why, when `ahead` go before it, `ready` of them at once; changes nothing."""
        if now < bucket.pause_until:
            return bucket.pause_until - now, bucket.pause_why
        for window in (self._windows[name] for name in bucket.names):
            if window.remaining is None:
                continue
            left = window.remaining - len(ahead)
            if left < 1:
                return max(window.over - now, POLL_S), Why.WINDOW
            if send.lane in _BULK and left - window.kept(self._reserve) < 1:
                return max(window.over - now, POLL_S), Why.RESERVE
        ceiling = bucket.ceilings[send.changes]
        if now < ceiling.next_at:
            return ceiling.next_at - now, Why.CEILING
        if bucket.flying + ready >= bucket.width:
            return POLL_S, Why.PROBE
        return 0.0, Why.NOTHING

    def _yields(self, now: float, bucket: _Bucket, send: Send) -> bool:
        """Whether going now would take the place of waiting calls that come first."""
        is_write = send.lane in _WRITES
        if is_write == (bucket.passed < READS_TURN):
            return False
        rivals = [w for w in self._waiting.values() if w.bucket == send.bucket and (w.lane in _WRITES) != is_write]
        ready = [w for w in rivals if self._hold(now, bucket, w)[0] <= 0]
        if is_write:  # one read, and only when it can go
            rivals = ready = ready[:1]
        return bool(rivals) and self._hold(now, bucket, send, rivals, len(ready))[0] > 0

    def _start(self, now: float, bucket: _Bucket, send: Send) -> None:
        self._flights.setdefault(send, deque()).append((now, bucket.generation))
        bucket.flying += 1
        bucket.in_flight += 1
        bucket.ceilings[send.changes].start(now)
        for window in (self._windows[name] for name in bucket.names):
            if window.remaining is not None:
                window.remaining -= 1
        if send.lane not in _WRITES:
            bucket.passed = 0
        elif any(w.bucket == send.bucket and w.lane not in _WRITES for w in self._waiting.values()):
            bucket.passed += 1

    # ---- what does the answer teach? ---------------------------------------------------------------------------------

    def _hear(self, now: float, started: float, bucket: _Bucket, limits: tuple[Limit, ...]) -> bool:
        is_early = False
        for limit in limits:
            if limit.name not in self._windows and len(self._windows) >= MOST_LIMITS:
                continue
            window = self._windows.setdefault(limit.name, Window())
            bucket.names.add(limit.name)
            is_early |= window.hear(now, started, limit, self._in_flight(limit.name))
        return is_early

    def _refused(
        self, now: float, send: Send, answer: Reply, limits: tuple[Limit, ...], chance: float, *, is_current: bool
    ) -> None:
        bucket, asked = self._buckets[send.bucket], retry_after(answer.headers, now)
        empty = [self._windows[limit.name] for limit in limits if limit.remaining == 0 and limit.name in self._windows]
        if empty and asked is not None:  # it goes before t: when it is over, one call asks anew
            for window in empty:
                window.remaining, window.began = None, now
            bucket.pause(now + asked + chance, Why.ASKED)
        elif empty:
            bucket.pause(max(window.over for window in empty) + chance, Why.WINDOW)
        elif is_current:
            bucket.ceilings[send.changes].refused(now, chance, asked)
        if empty or is_current:
            bucket.alone()

    def _failed(self, now: float, bucket: _Bucket) -> None:
        bucket.errors += 1
        if bucket.errors >= _BREAKER_AT:
            again = min(bucket.errors - _BREAKER_AT, 10)
            bucket.pause(now + min(_BREAKER_CAP_S, _BREAKER_S * 2.0**again), Why.AWAY)
            bucket.alone()

    # ---- bookkeeping -------------------------------------------------------------------------------------------------

    def _bucket(self, name: str) -> _Bucket:
        return self._buckets.setdefault(name, _Bucket())

    def _turned(self, now: float, name: str) -> _Bucket:
        """The bucket, its windows brought up to `now`."""
        bucket = self._bucket(name)
        for limit in bucket.names:
            if self._windows[limit].turn(now, self._in_flight(limit)):
                for sharer in self._buckets.values():
                    if limit in sharer.names:
                        sharer.alone()
        return bucket

    def _in_flight(self, limit: str) -> int:
        return sum(bucket.in_flight for bucket in self._buckets.values() if limit in bucket.names)

    def _land(self, bucket: _Bucket, send: Send, now: float) -> tuple[float, int]:
        flights = self._flights.get(send)
        if not flights:
            return now, bucket.generation
        started, generation = flights.popleft()
        if not flights:
            del self._flights[send]
        bucket.in_flight -= 1
        bucket.flying -= generation == bucket.generation
        return started, generation
