"""Simulated Hubs, workers and time for the tests of pacing."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from hf_gate.hub.protocol.messages import Answer, HubCall, Lane, Reply
from hf_gate.hub.protocol.pacing import Pacer

START: Final = 1_790_000_100.0  # a multiple of 3 and of 300
ROUNDINGS: Final[Mapping[str, Callable[[float], int]]] = {"ceil": math.ceil, "floor": math.floor, "round": round}


def make_call(lane: Lane = Lane.BULK_WRITE, bucket: str = "api", route: str = "batch") -> HubCall:
    writes = lane in {Lane.WRITE, Lane.BULK_WRITE}
    return HubCall(route, "POST" if writes else "GET", "/api/x", lane=lane, bucket=bucket, is_change=writes)


def make_reply(
    remaining: int, reset: int, *, status: int = 200, quota: int = 50, window: int = 3, after: str = ""
) -> Reply:
    policy = f'"fixed window";"api";q={quota};w={window}'
    return Reply(
        status, {"ratelimit": f'"api";r={remaining};t={reset}', "ratelimit-policy": policy, "retry-after": after}
    )


# ---- simulated Hubs and workers -------------------------------------------------------------------------------------


@dataclass
class FixedWindows:
    """A limit of `quota` calls in each window; `used` calls and `phase` seconds of the first one are already over."""

    quota: int
    length: int
    phase: float = 0.0
    used: int = 0
    rounding: str = "ceil"
    counts: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.counts[0] = self.used

    def begins(self, number: int) -> float:
        return START - self.phase + number * self.length

    def answer(self, now: float) -> Reply:
        number = math.floor((now - START + self.phase) / self.length)
        number += self.begins(number + 1) <= now  # what is 1e-7 short of a window by rounding is in it
        taken = self.counts[number] < self.quota
        self.counts[number] += taken
        reset = ROUNDINGS[self.rounding](self.begins(number + 1) - now)
        left = self.quota - self.counts[number]
        return make_reply(left, reset, status=200 if taken else 429, quota=self.quota, window=self.length)


@dataclass
class FirstHitWindows:
    """A limit whose window starts with the first call after the previous window."""

    quota: int
    length: int
    end: float = 0.0
    count: int = 0

    def answer(self, now: float) -> Reply:
        if now >= self.end:
            self.end, self.count = now + self.length, 0
        taken = self.count < self.quota
        self.count += taken
        left, reset = self.quota - self.count, math.ceil(self.end - now)
        return make_reply(left, reset, status=200 if taken else 429, quota=self.quota, window=self.length)


@dataclass
class TokenBucket:
    """A limit without headers."""

    rate: float
    tokens: float = 0.0
    at: float = START

    def __post_init__(self) -> None:
        self.tokens = self.rate

    def answer(self, now: float) -> Reply:
        self.tokens = min(self.rate, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return Reply(429)
        self.tokens -= 1
        return Reply(200)


@dataclass
class SlidingSecond:
    """An unannounced limit beside an announced one with many calls left."""

    rate: int
    taken: deque[float] = field(default_factory=deque)

    def answer(self, now: float) -> Reply:
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) >= self.rate:
            return make_reply(90_000, 200, status=429, quota=100_000, window=300)
        self.taken.append(now)
        return make_reply(90_000, 200, quota=100_000, window=300)


Hub = FixedWindows | FirstHitWindows | TokenBucket | SlidingSecond


@dataclass
class PacingRun:
    """The result of a simulation: each answer with its time at the Hub."""

    answers: list[tuple[float, int, Lane]] = field(default_factory=list)
    ended: float = START

    @property
    def refused(self) -> int:
        return sum(status == 429 for _, status, _ in self.answers)

    def good_between(self, begin: float, end: float) -> int:
        return sum(status == 200 and START + begin <= at < START + end for at, status, _ in self.answers)


def simulate(  # noqa: C901 - four small acts that share one stage
    pacer: Pacer,
    hub: Hub,
    sends: Iterable[HubCall],
    *,
    workers: int,
    rtt: Callable[[], float],
    begin: float = START,
    until: float = math.inf,
    seed: int = 7,
    others: Sequence[Pacer] = (),
) -> PacingRun:
    """Simulate workers that share `sends`: each waits for the pacer, calls, records the answer, repeats a refused call.

    `others` are the pacers of other processes with the same token. The workers are spread over all processes.
    """
    story, chances, left = PacingRun(), Random(seed), iter(sends)
    pacers = [pacer, *others]
    order = itertools.count()
    agenda: list[tuple[float, int, int, Callable[[float], None]]] = []
    waiting: dict[int, tuple[HubCall, int]] = {}
    turns: dict[int, int] = {}

    def at(moment: float, rank: int, act: Callable[[float], None]) -> None:
        heapq.heappush(agenda, (moment, rank, next(order), act))

    def ask(worker: int, send: HubCall, now: float) -> None:
        own = pacers[worker % len(pacers)]
        wait = own.try_start(now, send)
        assert wait >= 0
        if wait == 0:
            turns.pop(worker, None)
            if worker in waiting:
                own.unregister(waiting.pop(worker)[1])
            there = rtt() / 2
            at(now + there, 0, lambda then: serve(worker, send, then, there))
            return
        if worker not in waiting:
            waiting[worker] = (send, own.register(send))
        turns[worker] = turn = next(order)
        at(now + wait, 2, lambda then: ask(worker, send, then) if turns.get(worker) == turn else None)

    def serve(worker: int, send: HubCall, now: float, back: float) -> None:
        reply = hub.answer(now)
        story.answers.append((now, reply.status, send.lane))
        at(now + back, 1, lambda then: hear(worker, send, reply, then))

    def hear(worker: int, send: HubCall, reply: Reply, now: float) -> None:
        pacers[worker % len(pacers)].record_answer(now, send, reply, chances.random())
        story.ended = now
        following = send if reply.status == 429 else next(left, None)
        if following is not None:
            ask(worker, following, now)
        for other, (waiting_send, _) in list(waiting.items()):
            if other % len(pacers) == worker % len(pacers):
                ask(other, waiting_send, now)

    for worker, send in enumerate(itertools.islice(left, workers)):
        ask(worker, send, begin)
    while agenda and agenda[0][0] <= begin + until:
        moment, _, _, act = heapq.heappop(agenda)
        act(moment)
    return story


def compute_least_time(hub: FixedWindows, calls: int, share: float, workers: int, rtt: float) -> float:
    """Return the earliest possible end, by the reset that the Hub announced at the start."""
    kept = math.ceil(hub.quota * share)
    begin = max(0, hub.quota - hub.used - kept)
    if rtt:
        begin = min(begin, math.floor((hub.length - hub.phase) / rtt) * workers)
    if calls <= begin:
        return math.ceil(calls / workers) * rtt
    reset = math.ceil(hub.length - hub.phase)
    more, last = divmod(calls - begin - 1, hub.quota - kept)
    return reset + more * hub.length + math.ceil((last + 1) / workers) * rtt


def send_call(pacer: Pacer, send: HubCall, answer: Answer, *, now: float = START, chance: float = 0.5) -> None:
    assert pacer.try_start(now, send) == 0
    pacer.record_answer(now, send, answer, chance)


def make_pacer(*, remaining: int = 50, reset: int = 3, quota: int = 50, window: int = 3, share: float = 0.0) -> Pacer:
    """Return a pacer that knows this answer and allows 30 parallel calls."""
    pacer = Pacer(share)
    for left in range(remaining + 30, remaining, -1):
        send_call(pacer, make_call(Lane.WRITE), make_reply(left - 1, reset, quota=quota, window=window))
    return pacer


def share_token(processes: int, share: float = 0.25) -> list[Pacer]:
    """Return the pacers of processes with the same token."""
    pacers = [Pacer(share) for _ in range(processes)]
    for pacer in pacers:
        pacer.sharers = processes
    return pacers
