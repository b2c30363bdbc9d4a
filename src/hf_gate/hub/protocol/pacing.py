"""Decides when the next call of a token may be sent: from announced windows, learned ceilings and outages of the Hub.

The module has no clock, threads or randomness: `now` (epoch seconds of a monotonic clock) and random numbers are
arguments. A driver guards a `Pacer` with a lock and, while calls wait, asks again after each answer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from .messages import Answer, FailureReason, HubCall, Lane, NoReply, Reply
from .ratelimit_headers import MAX_WAIT_S, AnnouncedLimit, parse_retry_after, read_limits

MAX_LIMITS: Final = 32  # the most limits to track; hostile answers could announce new ones forever
POLL_S: Final = 0.05  # ask again after this time when waiting for an answer
MIN_WAIT_S: Final = 0.001  # a smaller wait would not advance the clock
WRITES_PER_READ: Final = 4  # after this many writes, a waiting read goes first

# Each success allows one more parallel call; a read allows three more if the limit is announced and no ceiling is
# known. The Hub's unannounced limits apply to changes.
_GROWTH_IF_SURE: Final = 3

_BULK: Final = frozenset({Lane.BULK_WRITE, Lane.BULK_READ})
_WRITES: Final = frozenset({Lane.WRITE, Lane.BULK_WRITE})
_UNREACHABLE: Final = frozenset({FailureReason.CONNECT, FailureReason.TIMEOUT, FailureReason.BROKEN})

# Circuit breaker: after this many server errors in a row, one call tests the Hub after 30 s, later every 5 minutes.
_BREAKER_THRESHOLD: Final = 5
_BREAKER_S = 30.0
_MAX_BREAKER_S = 300.0

# Growth of a ceiling per second, by the share that it has reached of the rate at the last refusal.
_GROWTH_RATES: Final = ((0.95, 0.05), (1.02, 0.0015), (math.inf, 0.02))
_FIRST_CUT = 0.5
_LATER_CUT = 0.9
_MIN_RATE_PER_S: Final = 1 / 60
_CATCH_UP_S: Final = 0.05  # how much a driver that wakes late can catch up
_MAX_JITTER_S: Final = 60.0


class WaitReason(StrEnum):
    """Why a call waits, as text for users."""

    NONE = ""
    PROBE = "waiting for the answer of an earlier call"
    WINDOW = "the Hub's rate limit is used up until it resets"
    RESERVE = "the rest of the rate limit is reserved for other work"
    RETRY_AFTER = "the Hub asked to wait"
    CEILING = "the Hub has an unannounced rate limit"
    UNAVAILABLE = "the Hub answers with errors, or not at all"


@dataclass(frozen=True, slots=True)
class Outlook:
    """The tightest announced window of a bucket (None: unknown), and why bulk work waits now."""

    remaining: int | None
    quota: int | None
    window_s: float | None
    reset_in: float | None
    waiting_why: WaitReason


class LimitWindow(Struct):
    """One announced limit. `announced_end` is the earliest announced end (received + t); `reset_at` adds a margin."""

    quota: int | None = None
    length_s: float | None = None
    size: int = 0  # the quota, or the highest number of remaining calls ever announced
    remaining: int | None = None  # None: unknown until the next answer
    announced_end: float = -math.inf
    started_at: float = -math.inf  # by the local clock
    has_waiters: bool = False  # a call waits for the end
    is_irregular: bool = False  # the window ended later than announced (t was rounded down, or windows are irregular)

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
        should_probe = self.has_waiters
        self.has_waiters = False
        self.started_at = now
        if self.is_irregular or self.quota is None or self.length_s is None:
            self.remaining = None
            return True
        self.announced_end += (math.floor((now - self.reset_at) / self.length_s) + 1) * self.length_s
        self.remaining = max(0, self.quota - in_flight)  # the Hub may count the call in either window
        return should_probe

    def update(self, now: float, started: float, limit: AnnouncedLimit, in_flight: int) -> bool:
        """Learn from the answer to a call started at `started`; return True if this window rolled over before the
        Hub's.
        """
        self.quota = limit.quota or self.quota
        self.length_s = limit.window_s or self.length_s
        self.size = self.quota or max(self.size, limit.remaining + 1)
        self.is_irregular = self.is_irregular or limit.reset_s == 0
        end = now + limit.reset_s
        half = (self.length_s or max(limit.reset_s, 1)) / 2
        if self.remaining is None or end > self.announced_end + half:  # the first answer of this window
            if started >= self.started_at:
                self.remaining = max(0, limit.remaining - in_flight)
                self.announced_end = end
                self.started_at = now
        elif (
            end < self.announced_end - half
        ):  # an answer from the previous window: it arrived late, or the window has not ended
            if started >= self.started_at:
                self.remaining = limit.remaining
                self.announced_end = end
                self.is_irregular = True
                return True
        else:
            self.remaining = min(self.remaining, limit.remaining)
            self.announced_end = max(min(self.announced_end, end), started + limit.reset_s - 1)
        return False


class Ceiling(Struct):
    """An unannounced limit, learned from refusals.

    The rate grows slowly, is cut by a refusal, and spaces calls evenly.
    """

    rate: float | None = None  # calls per second; None: no refusal yet, so no limit
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
        pause = chance * min(_MAX_JITTER_S, 2.0 ** min(self.refusals_in_a_row, 6)) if asked is None else asked + chance
        self.refusals_in_a_row += 1
        self.next_at = self.grew_at = now + max(pause, min(1.0, 1 / self.rate))

    def _successes_per_s(self, now: float, span: float) -> float:
        if not self.success_times:
            return 0.0
        return sum(at > now - span for at in self.success_times) / max(1.0, min(span, now - self.success_times[0]))


class _Bucket(Struct):
    """Calls with shared limits. A generation starts with one call alone; each success allows more in parallel."""

    names: set[str] = field(default_factory=set)  # the limits that its answers announced
    generation: int = 0
    max_in_flight: int = 1
    generation_in_flight: int = 0  # calls of this generation
    in_flight: int = 0  # calls of all generations
    errors_in_a_row: int = 0
    pause_until: float = -math.inf
    pause_reason: WaitReason = WaitReason.NONE
    writes_before_read: int = 0  # writes sent since a read started to wait
    ceilings: dict[bool, Ceiling] = field(default_factory=lambda: {True: Ceiling(), False: Ceiling()})

    def restart_with_one_call(self) -> None:
        self.generation = self.generation + 1
        self.max_in_flight = 1
        self.generation_in_flight = 0

    def pause(self, until: float, why: WaitReason) -> None:
        if until > self.pause_until:
            self.pause_until = until
            self.pause_reason = why


class Pacer:
    """Paces the calls of one token in one process. `reserve` is the share of each window that bulk lanes leave free.

    Of the calls that are left, a process has at most its share in flight, by the number of `sharers`, but at least one.
    """

    def __init__(self, reserve: float = 0.25) -> None:
        if not 0 <= reserve < 1:
            raise ValueError(f"reserve must be at least 0 and below 1, not {reserve}")
        self._reserve = reserve
        self.sharers = 1  # processes that use the token now, this one included
        self._buckets: dict[str, _Bucket] = {}
        self._windows: dict[str, LimitWindow] = {}
        self._calls_in_flight: dict[
            HubCall, deque[tuple[float, int]]
        ] = {}  # the start and generation of each call in flight
        self._waiting: dict[int, HubCall] = {}
        self._tickets = 0

    def register(self, send: HubCall) -> int:
        """Register a waiting call, so that others yield to it. The caller must `unregister` it, even when cancelled."""
        self._tickets += 1
        self._waiting[self._tickets] = send
        return self._tickets

    def unregister(self, ticket: int) -> None:
        self._waiting.pop(ticket, None)

    def try_start(self, now: float, send: HubCall) -> float:
        """Count the call and return 0.0 if it can go now; else return the seconds until asking again is worthwhile."""
        wait = self.wait_time(now, send)
        if wait <= 0:
            self._record_start(now, self._get_bucket(send.bucket), send)
        return wait

    def wait_time(self, now: float, send: HubCall) -> float:
        """Return what `try_start` would, without counting the call."""
        bucket = self._refresh_bucket(now, send.bucket)
        wait, why = self._required_wait(now, bucket, send)
        if wait <= 0 and self._must_yield(now, bucket, send):
            return POLL_S
        if wait > 0:
            if why in {WaitReason.WINDOW, WaitReason.RESERVE}:
                for name in bucket.names:
                    self._windows[name].has_waiters = True
            bucket.ceilings[send.is_change].is_binding |= why is WaitReason.CEILING
            return max(wait, MIN_WAIT_S)
        return 0.0

    def record_answer(self, now: float, send: HubCall, answer: Answer, chance: float) -> None:
        """Learn from the answer to a started call; `chance` in [0, 1) spreads the waits after a refusal."""
        bucket = self._refresh_bucket(now, send.bucket)
        started, generation = self._end_call(bucket, send, now)
        is_current = generation == bucket.generation
        if isinstance(answer, NoReply):
            if answer.reason in _UNREACHABLE and is_current:
                self._record_failure(now, bucket)
            return
        limits = read_limits(answer.headers)
        is_early = self._update_windows(now, started, bucket, limits)
        if answer.status == 429:
            self._record_refusal(now, send, answer, limits, chance, is_current=is_current)
        elif answer.status >= 500:
            asked = parse_retry_after(answer.headers, now)
            if asked is not None:
                bucket.pause(now + asked + chance, WaitReason.RETRY_AFTER)
            if is_current:
                self._record_failure(now, bucket)
        else:
            bucket.errors_in_a_row = 0
            if is_current:
                ceiling = bucket.ceilings[send.is_change]
                is_sure = limits and not send.is_change and ceiling.rate is None
                bucket.max_in_flight += _GROWTH_IF_SURE if is_sure else 1
                ceiling.record_success(now)
        if is_early:
            bucket.restart_with_one_call()

    def record_lost_call(self, send: HubCall) -> None:
        """End a started call whose answer is lost. It stays counted, because the Hub may have counted it."""
        self._end_call(self._get_bucket(send.bucket), send, 0.0)

    def outlook(self, now: float, bucket: str = "api") -> Outlook:
        """Return the state of a bucket for progress displays."""
        state = self._refresh_bucket(now, bucket)
        known = [w for w in (self._windows[name] for name in state.names) if w.remaining is not None]
        tight = min(known, key=lambda w: (w.remaining or 0) / (w.quota or 1), default=LimitWindow())
        bulk = HubCall("", "POST", "/", lane=Lane.BULK_WRITE, bucket=bucket, is_change=True)
        return Outlook(
            tight.remaining,
            tight.quota,
            tight.length_s,
            max(0.0, tight.reset_at - now) if known else None,
            self._required_wait(now, state, bulk)[1],
        )

    def wait_reason(self, now: float, send: HubCall) -> WaitReason:
        """Return why this call waits."""
        return self._required_wait(now, self._refresh_bucket(now, send.bucket), send)[1]

    def allow_probe(self, now: float) -> None:
        """End the pauses after errors: one call goes alone, and its failure starts the next pause."""
        for bucket in self._buckets.values():
            if now < bucket.pause_until and bucket.pause_reason is WaitReason.UNAVAILABLE:
                bucket.pause_until = -math.inf
                bucket.pause_reason = WaitReason.NONE
                bucket.restart_with_one_call()

    # ---- deciding whether a call can go ------------------------------------------------------------------------------

    def _required_wait(
        self, now: float, bucket: _Bucket, send: HubCall, ahead: Collection[HubCall] = (), ready: int = 0
    ) -> tuple[float, WaitReason]:
        """Return the wait of `send` and its reason if the calls `ahead` go first, `ready` of them at once; changes
        nothing.
        """
        if now < bucket.pause_until:
            return bucket.pause_until - now, bucket.pause_reason
        for name in bucket.names:
            window = self._windows[name]
            if window.remaining is None:
                continue
            kept = window.reserved_calls(self._reserve) if send.lane in _BULK else 0
            left = window.remaining - kept
            if left - len(ahead) < 1:
                is_kept = window.remaining - len(ahead) >= 1
                return max(window.reset_at - now, POLL_S), WaitReason.RESERVE if is_kept else WaitReason.WINDOW
            in_flight = self._count_in_flight(name)
            if in_flight + ready >= max(1, (left + in_flight) // self.sharers):  # its share of what is left
                return POLL_S, WaitReason.PROBE
        ceiling = bucket.ceilings[send.is_change]
        if now < ceiling.next_at:
            return ceiling.next_at - now, WaitReason.CEILING
        if bucket.generation_in_flight + ready >= bucket.max_in_flight:
            return POLL_S, WaitReason.PROBE
        return 0.0, WaitReason.NONE

    def _must_yield(self, now: float, bucket: _Bucket, send: HubCall) -> bool:
        """Return whether sending now would take the slot of waiting calls with priority."""
        is_write = send.lane in _WRITES
        if is_write == (bucket.writes_before_read < WRITES_PER_READ):
            return False
        rivals = [w for w in self._waiting.values() if w.bucket == send.bucket and (w.lane in _WRITES) != is_write]
        ready = [w for w in rivals if self._required_wait(now, bucket, w)[0] <= 0]
        if is_write:  # at most one read, and only if it can be sent now
            rivals = ready = ready[:1]
        return bool(rivals) and self._required_wait(now, bucket, send, rivals, len(ready))[0] > 0

    def _record_start(self, now: float, bucket: _Bucket, send: HubCall) -> None:
        self._calls_in_flight.setdefault(send, deque()).append((now, bucket.generation))
        bucket.generation_in_flight += 1
        bucket.in_flight += 1
        bucket.ceilings[send.is_change].record_start(now)
        for window in (self._windows[name] for name in bucket.names):
            if window.remaining is not None:
                window.remaining -= 1
        if send.lane not in _WRITES:
            bucket.writes_before_read = 0
        elif any(w.bucket == send.bucket and w.lane not in _WRITES for w in self._waiting.values()):
            bucket.writes_before_read += 1

    # ---- learning from answers ---------------------------------------------------------------------------------------

    def _update_windows(self, now: float, started: float, bucket: _Bucket, limits: tuple[AnnouncedLimit, ...]) -> bool:
        is_early = False
        for limit in limits:
            if limit.name not in self._windows and len(self._windows) >= MAX_LIMITS:
                continue
            window = self._windows.setdefault(limit.name, LimitWindow())
            bucket.names.add(limit.name)
            is_early |= window.update(now, started, limit, self._count_in_flight(limit.name))
        return is_early

    def _record_refusal(
        self,
        now: float,
        send: HubCall,
        answer: Reply,
        limits: tuple[AnnouncedLimit, ...],
        chance: float,
        *,
        is_current: bool,
    ) -> None:
        bucket = self._buckets[send.bucket]
        asked = parse_retry_after(answer.headers, now)
        empty = [self._windows[limit.name] for limit in limits if limit.remaining == 0 and limit.name in self._windows]
        if empty and asked is not None:  # Retry-After overrides t: afterwards, one call goes alone
            for window in empty:
                window.remaining = None
                window.started_at = now
            bucket.pause(now + asked + chance, WaitReason.RETRY_AFTER)
        elif empty:
            bucket.pause(max(window.reset_at for window in empty) + chance, WaitReason.WINDOW)
        elif is_current:
            bucket.ceilings[send.is_change].record_refusal(now, chance, asked)
        if empty or is_current:
            bucket.restart_with_one_call()

    def _record_failure(self, now: float, bucket: _Bucket) -> None:
        bucket.errors_in_a_row += 1
        if bucket.errors_in_a_row >= _BREAKER_THRESHOLD:
            again = min(bucket.errors_in_a_row - _BREAKER_THRESHOLD, 10)
            bucket.pause(now + min(_MAX_BREAKER_S, _BREAKER_S * 2.0**again), WaitReason.UNAVAILABLE)
            bucket.restart_with_one_call()

    # ---- bookkeeping -------------------------------------------------------------------------------------------------

    def _get_bucket(self, name: str) -> _Bucket:
        return self._buckets.setdefault(name, _Bucket())

    def _refresh_bucket(self, now: float, name: str) -> _Bucket:
        """Return the bucket after rolling its windows over to `now`."""
        bucket = self._get_bucket(name)
        for limit in bucket.names:
            if self._windows[limit].roll_over(now, self._count_in_flight(limit)):
                for sharer in self._buckets.values():
                    if limit in sharer.names:
                        sharer.restart_with_one_call()
        return bucket

    def _count_in_flight(self, limit: str) -> int:
        return sum(bucket.in_flight for bucket in self._buckets.values() if limit in bucket.names)

    def _end_call(self, bucket: _Bucket, send: HubCall, now: float) -> tuple[float, int]:
        flights = self._calls_in_flight.get(send)
        if not flights:
            return now, bucket.generation
        started, generation = flights.popleft()
        if not flights:
            del self._calls_in_flight[send]
        bucket.in_flight -= 1
        bucket.generation_in_flight -= generation == bucket.generation
        return started, generation
