"""Pacing, shown in virtual time: a Hub that only counts, workers that only ask, and what the headers may hold."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hf_gate.protocol.limits import Window
from hf_gate.protocol.messages import Answer, Lane, Lost, NoReply, Reply, Send
from hf_gate.protocol.pacing import Pacer, Why
from hf_gate.protocol.ratelimit_headers import LONGEST_S, Limit, read_limits, retry_after

START: Final = 1_790_000_100.0  # a multiple of 3 and of 300
ROUNDINGS: Final[Mapping[str, Callable[[float], int]]] = {"ceil": math.ceil, "floor": math.floor, "round": round}
HUB: Final = {"ratelimit": '"api";r=495;t=23', "ratelimit-policy": '"fixed window";"api";q=500;w=300'}


def call(lane: Lane = Lane.BULK_WRITE, bucket: str = "api", route: str = "batch") -> Send:
    writes = lane in {Lane.WRITE, Lane.BULK_WRITE}
    return Send(route, "POST" if writes else "GET", "/api/x", lane=lane, bucket=bucket, changes=writes)


def told(remaining: int, reset: int, *, status: int = 200, quota: int = 50, window: int = 3, after: str = "") -> Reply:
    policy = f'"fixed window";"api";q={quota};w={window}'
    return Reply(
        status, {"ratelimit": f'"api";r={remaining};t={reset}', "ratelimit-policy": policy, "retry-after": after}
    )


# ---- a small Hub and a small crowd ----------------------------------------------------------------------------------


@dataclass
class FixedWindows:
    """`quota` calls in each window; `used` of the first one are gone, and `phase` seconds of it."""

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
        return told(left, reset, status=200 if taken else 429, quota=self.quota, window=self.length)


@dataclass
class FirstHitWindows:
    """As many limiters do it: a window begins with the first call after the last one."""

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
        return told(left, reset, status=200 if taken else 429, quota=self.quota, window=self.length)


@dataclass
class TokenBucket:
    """A limit of which no header tells."""

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
    """A hidden limit beside an announced one that has plenty left."""

    rate: int
    taken: deque[float] = field(default_factory=deque)

    def answer(self, now: float) -> Reply:
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) >= self.rate:
            return told(90_000, 200, status=429, quota=100_000, window=300)
        self.taken.append(now)
        return told(90_000, 200, quota=100_000, window=300)


Hub = FixedWindows | FirstHitWindows | TokenBucket | SlidingSecond


@dataclass
class Story:
    """What happened: each answer with the moment at which the Hub gave it."""

    answers: list[tuple[float, int, Lane]] = field(default_factory=list)
    ended: float = START

    @property
    def refused(self) -> int:
        return sum(status == 429 for _, status, _ in self.answers)

    def good_between(self, begin: float, end: float) -> int:
        return sum(status == 200 and START + begin <= at < START + end for at, status, _ in self.answers)


def play(  # noqa: C901 - four small acts that share one stage
    pacer: Pacer,
    hub: Hub,
    sends: Iterable[Send],
    *,
    workers: int,
    rtt: Callable[[], float],
    begin: float = START,
    until: float = math.inf,
    seed: int = 7,
) -> Story:
    """Workers share `sends`: each asks, waits, calls, hears, and takes a refused call up again."""
    story, chances, left = Story(), Random(seed), iter(sends)
    order = itertools.count()
    agenda: list[tuple[float, int, int, Callable[[float], None]]] = []
    waiting: dict[int, tuple[Send, int]] = {}
    turns: dict[int, int] = {}

    def at(moment: float, rank: int, act: Callable[[float], None]) -> None:
        heapq.heappush(agenda, (moment, rank, next(order), act))

    def ask(worker: int, send: Send, now: float) -> None:
        wait = pacer.ask(now, send)
        assert wait >= 0
        if wait == 0:
            turns.pop(worker, None)
            if worker in waiting:
                pacer.leave(waiting.pop(worker)[1])
            there = rtt() / 2
            at(now + there, 0, lambda then: serve(worker, send, then, there))
            return
        if worker not in waiting:
            waiting[worker] = (send, pacer.join(send))
        turns[worker] = turn = next(order)
        at(now + wait, 2, lambda then: ask(worker, send, then) if turns.get(worker) == turn else None)

    def serve(worker: int, send: Send, now: float, back: float) -> None:
        reply = hub.answer(now)
        story.answers.append((now, reply.status, send.lane))
        at(now + back, 1, lambda then: hear(worker, send, reply, then))

    def hear(worker: int, send: Send, reply: Reply, now: float) -> None:
        pacer.heard(now, send, reply, chances.random())
        story.ended = now
        following = send if reply.status == 429 else next(left, None)
        if following is not None:
            ask(worker, following, now)
        for other, (waiting_send, _) in list(waiting.items()):
            ask(other, waiting_send, now)

    for worker, send in enumerate(itertools.islice(left, workers)):
        ask(worker, send, begin)
    while agenda and agenda[0][0] <= begin + until:
        moment, _, _, act = heapq.heappop(agenda)
        act(moment)
    return story


def fastest(hub: FixedWindows, calls: int, share: float, workers: int, rtt: float) -> float:
    """Nobody can be done sooner, going by the reset that the Hub announced at the start."""
    kept = math.ceil(hub.quota * share)
    begin = max(0, hub.quota - hub.used - kept)
    if rtt:
        begin = min(begin, math.floor((hub.length - hub.phase) / rtt) * workers)
    if calls <= begin:
        return math.ceil(calls / workers) * rtt
    reset = math.ceil(hub.length - hub.phase)
    more, last = divmod(calls - begin - 1, hub.quota - kept)
    return reset + more * hub.length + math.ceil((last + 1) / workers) * rtt


# ---- announced limits -----------------------------------------------------------------------------------------------

WINDOWS: Final = [(50, 3, 0.0, 0), (50, 3, 1.3, 0), (1000, 300, 0.0, 0), (500, 300, 140.5, 380)]


@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize("rtt", [0.0, 0.05])
@pytest.mark.parametrize(("quota", "length", "phase", "used"), WINDOWS)
def test_a_told_window_is_used_to_the_last_call_and_never_beyond(
    quota: int, length: int, phase: float, used: int, rtt: float, workers: int, share: float
) -> None:
    hub = FixedWindows(quota, length, phase, used)
    allowed = quota - math.ceil(quota * share)
    calls = max(0, allowed - used) + 3 * allowed + allowed // 2
    story = play(Pacer(share), hub, [call()] * calls, workers=workers, rtt=lambda: rtt)
    assert story.refused == 0
    assert sum(status == 200 for _, status, _ in story.answers) == calls
    for number in range(1, 4):
        assert 0.98 * allowed <= hub.counts[number] <= allowed
    slack = min(1.0, 0.003 * length)
    ramp = 5 * rtt  # one call asks, then two, four, eight
    assert story.ended - START <= 1.02 * fastest(hub, calls, share, workers, rtt) + slack + ramp


@pytest.mark.parametrize("rounding", ["floor", "round"])
@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize("rtt", [0.0, 0.05])
@pytest.mark.parametrize(("quota", "length", "phase", "used"), WINDOWS)
def test_a_hub_that_rounds_its_reset_down_teaches_it_with_one_refusal_at_most(
    quota: int, length: int, phase: float, used: int, rtt: float, workers: int, share: float, rounding: str
) -> None:
    hub = FixedWindows(quota, length, phase, used, rounding)
    story = play(Pacer(share), hub, [call()] * (quota * 5), workers=workers, rtt=lambda: rtt)
    assert story.refused <= (1 if share == 0 else 0)
    windows = 5 / (1 - share) + 2
    assert story.ended - START <= windows * length + 3


def test_windows_that_begin_with_the_first_call_cost_one_refusal_at_most() -> None:
    story = play(Pacer(0.0), FirstHitWindows(50, 3), [call()] * 400, workers=4, rtt=lambda: 0.05)
    assert story.refused <= 1
    assert story.ended - START <= 8 * (3 + 1.2)


def test_single_calls_may_use_what_bulk_work_leaves() -> None:
    hub = FixedWindows(50, 300)
    pacer = Pacer(0.25)
    play(pacer, hub, [call()] * 60, workers=4, rtt=lambda: 0.05, until=60)
    assert hub.counts[0] == 37
    assert pacer.outlook(START + 60).waiting_why is Why.RESERVE
    play(pacer, hub, [call(Lane.WRITE)] * 13, workers=4, rtt=lambda: 0.05, until=60)
    assert hub.counts[0] == 50
    assert pacer.ask(START + 60, call(Lane.WRITE)) == pytest.approx(240, abs=2)


def test_what_others_take_with_the_same_token_is_followed() -> None:
    pacer = Pacer(0.0)
    assert pacer.ask(START, call()) == 0
    pacer.heard(START, call(), told(40, 3), 0.5)
    assert pacer.ask(START, call()) == 0
    pacer.heard(START, call(), told(1, 3), 0.5)
    assert pacer.ask(START, call()) == 0
    assert pacer.ask(START, call()) == pytest.approx(3, abs=0.1)


@given(
    quota=st.integers(1, 60),
    length=st.sampled_from([3, 10, 300]),
    phase=st.floats(0, 0.99),
    gone=st.floats(0, 0.99),
    workers=st.integers(1, 12),
    share=st.sampled_from([0.0, 0.1, 0.25, 0.5]),
    slowest=st.floats(0, 0.4),
    seed=st.integers(0, 1000),
)
@example(quota=4, length=3, phase=0.0, gone=0.0, workers=1, share=0.0, slowest=1.9, seed=0)
def test_no_window_of_a_truthful_hub_ever_holds_more_calls_than_it_may(
    quota: int, length: int, phase: float, gone: float, workers: int, share: float, slowest: float, seed: int
) -> None:
    hub = FixedWindows(quota, length, phase * length, math.floor(gone * quota))
    latency = Random(seed)
    allowed = quota - min(math.ceil(quota * share), quota - 1)
    story = play(
        Pacer(share), hub, [call()] * (3 * allowed), workers=workers, rtt=lambda: latency.uniform(0, slowest), seed=seed
    )
    assert story.refused == 0
    assert hub.counts.pop(0) <= max(allowed, hub.used + 1)
    assert all(count <= allowed for count in hub.counts.values())
    assert len(story.answers) == 3 * allowed  # so everybody was let go in the end


# ---- limits that nobody announces -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [2, 7, 20, 50])
@pytest.mark.parametrize("kind", [TokenBucket, SlidingSecond])
@pytest.mark.parametrize(("workers", "rtt"), [(1, 0.01), (16, 0.05), (16, 0.0)])
def test_a_hidden_limit_is_found_in_two_minutes_with_few_refusals(
    rate: int, kind: type[TokenBucket | SlidingSecond], workers: int, rtt: float
) -> None:
    story = play(
        Pacer(0.25), kind(rate), itertools.repeat(call()), workers=workers, rtt=lambda: rtt, until=180, seed=rate
    )
    refused = [at for at, status, _ in story.answers if status == 429 and at < START + 120]
    assert len(refused) <= 0.03 * sum(at < START + 120 for at, _, _ in story.answers)
    assert story.refused <= 0.03 * len(story.answers)
    assert story.good_between(0, 120) >= 0.9 * 120 * rate
    for begin in range(30, 180, 30):
        assert story.good_between(begin, begin + 30) >= 0.89 * 30 * rate


def test_nothing_is_throttled_before_the_first_refusal() -> None:
    story = play(Pacer(), TokenBucket(1e6), [call()] * 2000, workers=16, rtt=lambda: 0.05)
    assert story.ended - START <= 2000 / 16 * 0.05 + 5 * 0.05


def test_a_limit_that_is_lifted_is_noticed() -> None:
    pacer = Pacer()
    play(pacer, TokenBucket(5), itertools.repeat(call()), workers=4, rtt=lambda: 0.05, until=60)
    assert pacer.outlook(START + 60).ceiling_per_s == pytest.approx(5, rel=0.2)
    later = Pacer()
    hub = TokenBucket(5)
    play(later, hub, itertools.repeat(call()), workers=4, rtt=lambda: 0.05, until=60)
    hub.rate = 1e6
    play(later, hub, itertools.repeat(call()), workers=4, rtt=lambda: 0.05, until=300)
    assert (later.outlook(START + 300).ceiling_per_s or 0) > 10


def test_a_hidden_limit_on_writes_leaves_reads_alone() -> None:
    pacer = known(remaining=1000, quota=1000, window=300)
    go(pacer, call(), Reply(429), chance=0.9)
    assert pacer.ask(START, call()) == pytest.approx(0.9)
    assert pacer.ask(START, call(Lane.READ)) == 0


def test_pauses_after_refusals_in_a_row_are_random_shares_of_a_doubling_minute_at_most() -> None:
    for chance, expected in [(0.999, [1, 2, 4, 8, 16, 32, 60, 60]), (0.5, [1, 1, 2, 4, 8, 16, 30, 30])]:
        pacer, now, pauses = Pacer(), START, []
        for _ in expected:
            go(pacer, call(), Reply(429), now=now, chance=chance)
            pauses.append(pacer.ask(now, call()))
            now += pauses[-1]
        assert pauses == pytest.approx(expected, rel=0.01)


def test_a_long_run_of_refusals_is_soon_forgotten() -> None:
    pacer, now = Pacer(), START
    for _ in range(12):
        go(pacer, call(), Reply(429), now=now)
        now += pacer.ask(now, call())
    story = play(pacer, TokenBucket(1e6), itertools.repeat(call()), workers=4, rtt=lambda: 0.05, begin=now, until=600)
    assert story.good_between(now - START + 300, now - START + 600) > 300


# ---- what single answers teach --------------------------------------------------------------------------------------


def go(pacer: Pacer, send: Send, answer: Answer, *, now: float = START, chance: float = 0.5) -> None:
    assert pacer.ask(now, send) == 0
    pacer.heard(now, send, answer, chance)


def known(*, remaining: int = 50, reset: int = 3, quota: int = 50, window: int = 3, share: float = 0.0) -> Pacer:
    """A pacer that has heard so much and lets 30 calls fly."""
    pacer = Pacer(share)
    for left in range(remaining + 30, remaining, -1):
        go(pacer, call(Lane.WRITE), told(left - 1, reset, quota=quota, window=window))
    return pacer


def test_one_call_asks_first_and_each_good_answer_lets_one_more_fly() -> None:
    pacer = Pacer()
    assert pacer.ask(START, call()) == 0
    assert pacer.ask(START, call()) > 0
    assert pacer.ask(START, call(bucket="pages")) == 0  # another bucket, another first call
    pacer.heard(START, call(), Reply(200), 0.5)
    assert [pacer.ask(START, call()) > 0 for _ in range(3)] == [False, False, True]


def test_a_first_call_that_is_dropped_or_lost_is_followed_by_another_alone() -> None:
    pacer = Pacer()
    assert pacer.ask(START, call()) == 0
    pacer.dropped(call())
    go(pacer, call(), NoReply(Lost.TIMEOUT, sent=True))
    assert pacer.ask(START, call()) == 0
    assert pacer.ask(START, call()) > 0


def test_a_bucket_whose_answers_name_another_limit_spends_from_that_one() -> None:
    pacer = known(remaining=2)
    go(pacer, call(bucket="pages"), told(1, 3))
    assert pacer.ask(START, call(bucket="pages")) == 0
    assert pacer.ask(START, call()) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("order", [1, -1])
def test_several_limits_hold_together(order: int) -> None:
    pacer = Pacer(0.0)
    limit = ", ".join(['"burst";r=1;t=2', '"day";r=500;t=9000'][::order])
    go(pacer, call(), Reply(200, {"ratelimit": limit, "ratelimit-policy": '"burst";q=9;w=2, "day";q=999;w=86400'}))
    assert pacer.ask(START, call()) == 0
    assert pacer.ask(START, call()) == pytest.approx(2, abs=0.1)
    look = pacer.outlook(START)
    assert (look.remaining, look.quota, look.window_s, look.waiting_why) == (0, 9, 2, Why.WINDOW)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (told(0, 2, status=429, after="7"), 7.5),  # Retry-After goes before t
        (told(0, 200, status=429, window=300, after="7"), 7.5),
        (told(0, 2, status=429), 2.5),  # then t, when nothing remains
        (told(9, 2, status=429, after="7"), 7.5),
        (Reply(503, {"retry-after": "7"}), 7.5),
    ],
)
def test_a_refusal_is_waited_out_as_the_hub_says_and_then_one_call_asks(answer: Reply, wait: float) -> None:
    pacer = known()
    go(pacer, call(), answer)
    said = pacer.ask(START, call())
    assert said == pytest.approx(wait, abs=0.02)
    if answer.status == 429:
        assert pacer.ask(START + said, call()) == 0
        assert pacer.ask(START + said, call()) > 0


def test_refusals_of_one_burst_count_once() -> None:
    pacer = known(remaining=1000, quota=1000, window=300)
    for _ in range(8):
        assert pacer.ask(START, call()) == 0
    for _ in range(8):
        pacer.heard(START, call(), told(900, 200, status=429, quota=1000, window=300), 0.5)
    assert pacer.outlook(START).ceiling_per_s == pytest.approx(15)  # half of the 30 that went in the last second
    now = START + pacer.ask(START, call())
    assert pacer.ask(now, call()) == 0
    assert pacer.ask(now, call(Lane.READ)) > 0  # one call asks first, however many of the burst came back


def test_a_wait_is_never_too_small_for_the_clock() -> None:
    pacer = known(remaining=1000, quota=1000, window=300)
    go(pacer, call(), Reply(429))
    assert pacer.ask(START + pacer.ask(START, call()) - 1e-6, call()) >= 0.001


def test_five_server_errors_in_a_row_open_the_breaker_and_one_call_asks_at_last_every_five_minutes() -> None:
    pacer, now = known(), START
    failures: list[Answer] = [
        Reply(502),
        NoReply(Lost.CONNECT, sent=False),
        Reply(500),
        NoReply(Lost.BROKEN, sent=True),
    ]
    for answer in failures:
        go(pacer, call(Lane.READ), answer)
    waits = []
    for _ in range(6):
        go(pacer, call(Lane.READ), Reply(503), now=now)
        waits.append(pacer.ask(now, call(Lane.READ)))
        assert pacer.outlook(now).waiting_why is Why.AWAY
        now += waits[-1]
    assert waits == [30, 60, 120, 240, 300, 300]
    go(pacer, call(Lane.READ), Reply(404), now=now)
    go(pacer, call(Lane.READ), Reply(500), now=now)
    assert pacer.ask(now, call(Lane.READ)) == 0


def test_late_news_of_the_window_before_changes_nothing() -> None:
    pacer = known(remaining=20, reset=1)
    late = call(route="late")
    assert pacer.ask(START, late) == 0
    assert pacer.ask(START + 1.1, call()) == 0
    pacer.heard(START + 1.1, late, told(0, 0), 0.5)
    assert pacer.outlook(START + 1.1).remaining == 48  # the quota less one call on its way and one that started


def test_news_that_the_window_turned_sooner_than_thought_is_taken_less_what_is_on_its_way() -> None:
    pacer = known(remaining=9, reset=2)
    late = call(route="late")
    assert pacer.ask(START + 1.1, late) == 0
    go(pacer, call(), told(49, 3), now=START + 1.2)
    assert pacer.outlook(START + 1.2).remaining == 48
    pacer.heard(START + 1.2, late, told(3, 1), 0.5)  # it was answered in the window before
    look = pacer.outlook(START + 1.2)
    assert look.remaining == 48
    assert look.reset_in == pytest.approx(3.009, abs=0.001)


def test_news_that_the_window_was_not_over_takes_the_turn_back_and_makes_wary() -> None:
    pacer = known(remaining=20, reset=1)
    go(pacer, call(), told(5, 1), now=START + 1.1)
    look = pacer.outlook(START + 1.1)
    assert look.remaining == 5
    assert look.reset_in == pytest.approx(2.009, abs=0.001)
    assert pacer.ask(START + 1.1, call()) == 0
    assert pacer.ask(START + 1.1, call()) > 0


def test_a_reset_of_zero_is_taken_for_up_to_a_second() -> None:
    pacer = known(reset=1)
    go(pacer, call(), told(5, 0))
    assert pacer.outlook(START).reset_in == pytest.approx(1.009, abs=0.001)


def test_a_ceiling_that_nobody_touches_does_not_grow() -> None:
    pacer, now = known(remaining=1000, quota=1000, window=300), START
    go(pacer, call(), Reply(429))
    for _ in range(20):
        now += 5
        go(pacer, call(), Reply(200), now=now)
    assert pacer.outlook(now).ceiling_per_s == pytest.approx(15)


def test_a_driver_that_wakes_a_little_late_loses_nothing() -> None:
    pacer = known(remaining=1000, quota=1000, window=300)
    go(pacer, call(), Reply(429))
    go(pacer, call(), Reply(200), now=START + 10)
    assert pacer.ask(START + 10, call()) == pytest.approx(1 / 15 - 0.05)
    go(pacer, call(), Reply(200), now=START + 10.1)
    assert pacer.ask(START + 10.1, call()) < 1 / 15 - 0.03


def test_a_limit_without_a_policy_is_obeyed_and_asked_again_after_its_reset() -> None:
    pacer = Pacer(0.0)
    go(pacer, call(), Reply(200, {"ratelimit": '"api";r=1;t=5'}))
    assert pacer.ask(START, call()) == 0
    wait = pacer.ask(START, call())
    assert wait == pytest.approx(5.0, abs=1.01)
    assert pacer.ask(START + wait, call()) == 0
    assert pacer.ask(START + wait, call()) > 0


def test_the_smallest_window_leaves_bulk_work_one_call() -> None:
    window = Window()
    window.hear(START, START, Limit("api", 0, 3, 1, 3), 0)
    assert window.kept(0.25) == 0


def test_a_reserve_is_a_share() -> None:
    for wrong in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="share"):
            Pacer(wrong)


# ---- writes go before reads -----------------------------------------------------------------------------------------


def test_a_read_leaves_the_last_calls_of_a_window_to_writes_that_wait() -> None:
    pacer = known(remaining=2)
    tickets = [pacer.join(call(Lane.WRITE)), pacer.join(call(Lane.WRITE))]
    assert pacer.ask(START, call(Lane.READ)) > 0
    pacer.leave(tickets.pop())
    assert pacer.ask(START, call(Lane.READ)) == 0
    assert pacer.ask(START, call(Lane.WRITE)) == 0


def test_a_read_does_not_ask_first_while_a_write_waits() -> None:
    pacer = Pacer()
    pacer.join(call(Lane.WRITE))
    assert pacer.ask(START, call(Lane.READ)) > 0
    assert pacer.ask(START, call(Lane.WRITE)) == 0


def test_a_read_does_not_wait_for_writes_that_could_not_go_anyway() -> None:
    pacer = known(remaining=12, share=0.25)
    pacer.join(call(Lane.BULK_WRITE))  # what remains is the reserve
    assert pacer.ask(START, call(Lane.READ)) == 0


def test_a_read_that_waits_goes_before_the_fifth_write() -> None:
    pacer = known(remaining=5)
    pacer.join(call(Lane.READ))
    for _ in range(5):
        pacer.join(call(Lane.WRITE))
    for _ in range(4):
        assert pacer.ask(START, call(Lane.READ)) > 0
        assert pacer.ask(START, call(Lane.WRITE)) == 0
    assert pacer.ask(START, call(Lane.WRITE)) > 0
    assert pacer.ask(START, call(Lane.READ)) == 0


def test_when_a_read_went_first_writes_go_first_again() -> None:
    pacer = known(remaining=7)
    for lane in [Lane.READ, Lane.READ, Lane.READ, *[Lane.WRITE] * 5]:
        pacer.join(call(lane))
    for _ in range(5):  # the fifth leaves a call to one read, not to all three
        assert pacer.ask(START, call(Lane.WRITE)) == 0
    assert pacer.ask(START, call(Lane.READ)) == 0
    assert pacer.ask(START, call(Lane.READ)) > 0


def test_reads_come_through_a_flood_of_writes_in_windows_smaller_than_the_crowd() -> None:
    sends = [call(Lane.BULK_WRITE)] * 7 + [call(Lane.BULK_READ)] + [call(Lane.BULK_WRITE)] * 100
    story = play(Pacer(0.0), FixedWindows(5, 3), sends, workers=8, rtt=lambda: 0.05)
    lanes = [lane for _, _, lane in story.answers]
    assert lanes.index(Lane.BULK_READ) <= 9
    assert len(lanes) == len(sends)


# ---- whatever happens -----------------------------------------------------------------------------------------------

answers = st.one_of(
    st.builds(
        told,
        st.integers(0, 60),
        st.integers(0, 400),
        status=st.sampled_from([200, 404, 429, 500, 503]),
        quota=st.integers(0, 60),
        window=st.integers(0, 300),
    ),
    st.builds(
        Reply,
        st.sampled_from([200, 429, 502]),
        st.dictionaries(st.sampled_from(["retry-after", "ratelimit"]), st.text()),
    ),
    st.builds(
        Reply, st.just(429), st.fixed_dictionaries({"retry-after": st.from_regex(r"[0-9]{1,20}", fullmatch=True)})
    ),
    st.builds(NoReply, st.sampled_from(Lost), st.booleans()),
)
sends = st.builds(call, st.sampled_from(Lane), st.sampled_from(["api", "pages"]))


@given(st.lists(st.tuples(sends, answers, st.floats(0, 0.999), st.floats(0, 500), st.booleans(), st.booleans())))
def test_no_wait_is_negative_or_endless_and_whoever_asks_again_goes_in_the_end(
    acts: list[tuple[Send, Answer, float, float, bool, bool]],
) -> None:
    pacer, now, flying = Pacer(), START, deque[tuple[Send, Answer]]()
    for send, answer, chance, passes, waits, lands in acts:
        now += passes
        if waits:
            pacer.join(send)
        wait = pacer.ask(now, send)
        assert 0 <= wait <= LONGEST_S + 3
        if wait == 0:
            flying.append((send, answer))
        if lands and flying:
            pacer.heard(now, *flying.popleft(), chance)
        look = pacer.outlook(now)
        assert look.remaining is None or look.remaining >= 0
        assert look.ceiling_per_s is None or look.ceiling_per_s > 0
    while flying:
        pacer.dropped(flying.popleft()[0])
    for ticket in range(1, len(acts) + 1):  # what has joined and never asks is the driver's to take out
        pacer.leave(ticket)
    for lane in Lane:
        assert patience(pacer, call(lane), now) < math.inf


def patience(pacer: Pacer, send: Send, now: float) -> float:
    """Seconds until a call that asks as it is told may go."""
    begin = now
    for _ in range(20):
        wait = pacer.ask(now, send)
        if wait == 0:
            pacer.dropped(send)
            return now - begin
        now += wait
    return math.inf


# ---- headers --------------------------------------------------------------------------------------------------------


def limits(limit: str, policy: str = "") -> tuple[Limit, ...]:
    return read_limits({"ratelimit": limit, "ratelimit-policy": policy})


def test_the_hubs_own_form_is_read() -> None:
    assert read_limits(HUB) == (Limit("api", 495, 23, 500, 300),)


@pytest.mark.parametrize(
    ("limit", "policy", "expected"),
    [
        ('"api";r=5;t=9', "", [Limit("api", 5, 9)]),
        ("api;r=5;t=9", "api;q=10;w=60", [Limit("api", 5, 9, 10, 60)]),
        (' "api" ; t=9;x;pk=:YQ==:;R=5 ', '"api";w=60;q=10', [Limit("api", 5, 9, 10, 60)]),
        ('"a";r=5;t=9, "b";r=1;t=2', '"b";q=2;w=3,"a";q=9;w=10', [Limit("a", 5, 9, 9, 10), Limit("b", 1, 2, 2, 3)]),
        ('"a";r=5;t=9,"a";r=2;t=8,"a";r=7;t=7', "", [Limit("a", 2, 8)]),
        (r'"a\"b,c;d\\";r=5;t=9', r'"a\"b,c;d\\";q=7;w=9', [Limit('a"b,c;d\\', 5, 9, 7, 9)]),
        ('"api";r=5;t=9', '"fixed window", "api";q=10;w=60', [Limit("api", 5, 9, 10, 60)]),
        ('"api";r=5;t=9', '"fixed window"', [Limit("api", 5, 9)]),
        ('"api";r=5', '"api";q=10;w=60', [Limit("api", 5, 60, 10, 60)]),
        ('"api";r=5;t=900', '"api";q=10;w=60', [Limit("api", 5, 60, 10, 60)]),
        ('"api";r=5;t=99999999', "", [Limit("api", 5, LONGEST_S)]),
        ('"api";r=999999999999999;t=9', '"api";q=0;w=0', [Limit("api", 999999999999999, 9)]),
        ('"api";r=5;t=9', '"api";q=10;w=86401', [Limit("api", 5, 9, 10)]),
        ('"api";r=5', "", []),
        ('"api";r=-5;t=9,"b";r=5;t=-9,"c";r=1.5;t=9,"d";r=1;t=9.0,"e";r=9999999999999999;t=1,"f";r="5";t=9', "", []),
        ('"api";r=\u0665;t=9', "", []),
        (";r=5;t=9,=;r=5;t=1,,r=5;t=9", "", []),
        ("limit=100, remaining=50, reset=5", "", []),
        ('"ok";r=5;t=9,"open;r=5;t=9,"c";r=5', "", [Limit("ok", 5, 9)]),
        ('"up";r=900;t=9', '"up";q=1000;w=60;qu="content-bytes"', []),
    ],
)
def test_members_are_read_one_by_one(limit: str, policy: str, expected: list[Limit]) -> None:
    assert list(limits(limit, policy)) == expected


NOON: Final = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("999999999", float(LONGEST_S)),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:07 GMT", 0.0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", float(LONGEST_S)),
        ("Sun Nov  6 08:49:47 1994", 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", float(LONGEST_S)),  # two digits mean this century
        ("Sun, 06 Nov 1994 08:49:60 GMT", 22.0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1e3", None),
        ("7, 7", None),
        ("\u0667", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected: float | None) -> None:
    assert retry_after({"retry-after": text}, NOON) == expected


def test_no_header_is_no_limit() -> None:
    assert read_limits({}) == ()
    assert retry_after({}, START) is None


fields = st.one_of(
    st.text(),
    st.text(alphabet='"\\;=,apirtqw 0159-.*:\u0661'),
    st.lists(
        st.sampled_from(['"api"', "api", ";", "=", ",", "r", "t", "q", "w", "5", "-1", "1.0", '"', "\\", " "])
    ).map("".join),
)


@given(fields, fields, fields)
def test_no_text_makes_the_header_readers_stumble(limit: str, policy: str, after: str) -> None:
    for found in limits(limit, policy):
        assert found.name
        assert found.remaining >= 0
        assert 0 <= found.reset_s <= LONGEST_S
    wait = retry_after({"retry-after": after}, START)
    assert wait is None or 0 <= wait <= LONGEST_S


@given(
    st.dictionaries(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12),
        st.tuples(st.integers(0, 10**9), st.integers(0, 300), st.integers(1, 10**9), st.integers(300, 3600)),
        max_size=4,
    ),
    st.randoms(use_true_random=False),
)
def test_what_is_written_in_any_order_is_read(table: dict[str, tuple[int, int, int, int]], chance: Random) -> None:
    def member(name: str, **parameters: int) -> str:
        pieces = [f";{key}={value}" for key, value in parameters.items()]
        chance.shuffle(pieces)
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' + "".join(pieces)

    policies = [member(name, q=q, w=w) for name, (_, _, q, w) in table.items()]
    chance.shuffle(policies)
    found = limits(", ".join(member(name, r=r, t=t) for name, (r, t, _, _) in table.items()), ",".join(policies))
    assert found == tuple(Limit(name, *values) for name, values in table.items())
