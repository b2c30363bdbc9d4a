"""Pacing in virtual time: announced and unannounced limits under many workers."""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hf_gate.hub.protocol.messages import Lane, Reply
from hf_gate.hub.protocol.pacing import POLL_S, Pacer, WaitReason
from tests.kits.pacing_model import (
    START,
    FirstHitWindows,
    FixedWindows,
    SlidingSecond,
    TokenBucket,
    compute_least_time,
    make_call,
    make_pacer,
    make_reply,
    send_call,
    share_token,
    simulate,
)

# ---- announced limits -----------------------------------------------------------------------------------------------

WINDOWS: Final = [(50, 3, 0.0, 0), (50, 3, 1.3, 0), (1000, 300, 0.0, 0), (500, 300, 140.5, 380)]


@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize("rtt", [0.0, 0.05])
@pytest.mark.parametrize(("quota", "length", "phase", "used"), WINDOWS)
def test_all_calls_of_an_announced_window_are_used_and_no_more(
    quota: int, length: int, phase: float, used: int, rtt: float, workers: int, share: float
) -> None:
    hub = FixedWindows(quota, length, phase, used)
    allowed = quota - math.ceil(quota * share)
    calls = max(0, allowed - used) + 3 * allowed + allowed // 2
    story = simulate(Pacer(share), hub, [make_call()] * calls, workers=workers, rtt=lambda: rtt)
    assert story.refused == 0
    assert sum(status == 200 for _, status, _ in story.answers) == calls
    for number in range(1, 4):
        assert 0.98 * allowed <= hub.counts[number] <= allowed
    slack = min(1.0, 0.003 * length)
    ramp = 5 * rtt  # one call, then two, four, eight
    assert story.ended - START <= 1.02 * compute_least_time(hub, calls, share, workers, rtt) + slack + ramp


@pytest.mark.parametrize("rounding", ["floor", "round"])
@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize("rtt", [0.0, 0.05])
@pytest.mark.parametrize(("quota", "length", "phase", "used"), WINDOWS)
def test_a_rounded_down_reset_is_learned_with_one_refusal_at_most(
    quota: int, length: int, phase: float, used: int, rtt: float, workers: int, share: float, rounding: str
) -> None:
    hub = FixedWindows(quota, length, phase, used, rounding)
    story = simulate(Pacer(share), hub, [make_call()] * (quota * 5), workers=workers, rtt=lambda: rtt)
    assert story.refused <= (1 if share == 0 else 0)
    windows = 5 / (1 - share) + 2
    assert story.ended - START <= windows * length + 3


def test_windows_that_begin_with_the_first_call_cost_one_refusal_at_most() -> None:
    story = simulate(Pacer(0.0), FirstHitWindows(50, 3), [make_call()] * 400, workers=4, rtt=lambda: 0.05)
    assert story.refused <= 1
    assert story.ended - START <= 8 * (3 + 1.2)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_that_share_a_token_take_their_share_of_what_the_hub_announced(processes: int) -> None:
    """Together they start no more calls than are left, although none sees the calls of the others."""
    pacers = [make_pacer(remaining=30, quota=100, reset=60) for _ in range(processes)]
    started = 0
    for pacer in pacers:
        pacer.sharers = processes
        while pacer.try_start(START, make_call(Lane.WRITE)) == 0.0:
            started += 1
    assert 30 - processes < started <= 30


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("processes", range(1, 9))
def test_bulk_work_of_processes_that_share_a_token_uses_all_but_the_reserve(processes: int, workers: int) -> None:
    """None sees the calls that the others have in flight, so as many of the reserve may go."""
    hub = FixedWindows(1000, 300)
    pacer, *others = share_token(processes)
    story = simulate(
        pacer,
        hub,
        [make_call()] * 2500,
        workers=processes * workers,
        rtt=lambda: 0.05,
        until=4 * hub.length,
        others=others,
    )
    assert (story.refused, len(story.answers)) == (0, 2500)
    assert all(750 <= hub.counts[number] <= 750 + (processes - 1) * workers for number in range(3))


@given(
    quota=st.integers(1, 12),
    processes=st.integers(1, 8),
    workers=st.integers(1, 4),
    lane=st.sampled_from([Lane.BULK_WRITE, Lane.WRITE]),
    slowest=st.floats(0, 0.4),
    seed=st.integers(0, 1000),
)
@example(quota=1, processes=8, workers=1, lane=Lane.BULK_WRITE, slowest=0.05, seed=0)
def test_with_more_processes_than_calls_all_work_ends_and_few_calls_are_refused(
    quota: int, processes: int, workers: int, lane: Lane, slowest: float, seed: int
) -> None:
    hub = FixedWindows(quota, 10)
    pacer, *others = share_token(processes)
    latency = Random(seed)
    allowed = quota - min(math.ceil(quota * 0.25), quota - 1)
    calls = 3 * allowed + processes * workers
    story = simulate(
        pacer,
        hub,
        [make_call(lane)] * calls,
        workers=processes * workers,
        rtt=lambda: latency.uniform(0, slowest),
        until=(calls / allowed + 2) * hub.length,
        seed=seed,
        others=others,
    )
    assert len(story.answers) - story.refused == calls
    assert story.refused <= (processes - 1) * len(hub.counts)


def test_a_call_waits_for_an_answer_only_if_its_process_has_its_share_in_flight() -> None:
    pacer = make_pacer(remaining=8, quota=100, reset=60, window=60)
    pacer.sharers = 4
    assert [pacer.try_start(START, make_call(Lane.WRITE)) for _ in range(3)] == [0, 0, POLL_S]
    assert pacer.wait_reason(START, make_call(Lane.WRITE)) is WaitReason.PROBE
    pacer.record_answer(START, make_call(Lane.WRITE), make_reply(1, 60, quota=100, window=60), 0.5)
    pacer.record_answer(START, make_call(Lane.WRITE), make_reply(1, 60, quota=100, window=60), 0.5)
    assert pacer.try_start(START, make_call(Lane.WRITE)) == 0.0
    assert pacer.try_start(START, make_call(Lane.WRITE)) == pytest.approx(60, abs=1)


def test_single_calls_may_use_what_bulk_work_leaves() -> None:
    hub = FixedWindows(50, 300)
    pacer = Pacer(0.25)
    simulate(pacer, hub, [make_call()] * 60, workers=4, rtt=lambda: 0.05, until=60)
    assert hub.counts[0] == 37
    assert pacer.outlook(START + 60).waiting_why is WaitReason.RESERVE
    simulate(pacer, hub, [make_call(Lane.WRITE)] * 13, workers=4, rtt=lambda: 0.05, until=60)
    assert hub.counts[0] == 50
    assert pacer.try_start(START + 60, make_call(Lane.WRITE)) == pytest.approx(240, abs=2)


def test_calls_of_other_tools_with_the_same_token_are_counted() -> None:
    pacer = Pacer(0.0)
    assert pacer.try_start(START, make_call()) == 0
    pacer.record_answer(START, make_call(), make_reply(40, 3), 0.5)
    assert pacer.try_start(START, make_call()) == 0
    pacer.record_answer(START, make_call(), make_reply(1, 3), 0.5)
    assert pacer.try_start(START, make_call()) == 0
    assert pacer.try_start(START, make_call()) == pytest.approx(3, abs=0.1)


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
def test_no_window_of_a_truthful_hub_holds_more_calls_than_its_quota(
    quota: int, length: int, phase: float, gone: float, workers: int, share: float, slowest: float, seed: int
) -> None:
    hub = FixedWindows(quota, length, phase * length, math.floor(gone * quota))
    latency = Random(seed)
    allowed = quota - min(math.ceil(quota * share), quota - 1)
    story = simulate(
        Pacer(share),
        hub,
        [make_call()] * (3 * allowed),
        workers=workers,
        rtt=lambda: latency.uniform(0, slowest),
        seed=seed,
    )
    assert story.refused == 0
    assert hub.counts.pop(0) <= max(allowed, hub.used + 1)
    assert all(count <= allowed for count in hub.counts.values())
    assert len(story.answers) == 3 * allowed  # so all calls went eventually


# ---- unannounced limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [2, 7, 20, 50])
@pytest.mark.parametrize("kind", [TokenBucket, SlidingSecond])
@pytest.mark.parametrize(("workers", "rtt"), [(1, 0.01), (16, 0.05), (16, 0.0)])
def test_an_unannounced_limit_is_found_in_two_minutes_with_few_refusals(
    rate: int, kind: type[TokenBucket | SlidingSecond], workers: int, rtt: float
) -> None:
    story = simulate(
        Pacer(0.25), kind(rate), itertools.repeat(make_call()), workers=workers, rtt=lambda: rtt, until=180, seed=rate
    )
    refused = [at for at, status, _ in story.answers if status == 429 and at < START + 120]
    assert len(refused) <= 0.03 * sum(at < START + 120 for at, _, _ in story.answers)
    assert story.refused <= 0.03 * len(story.answers)
    assert story.good_between(0, 120) >= 0.9 * 120 * rate
    for begin in range(30, 180, 30):
        assert story.good_between(begin, begin + 30) >= 0.89 * 30 * rate


def test_nothing_is_throttled_before_the_first_refusal() -> None:
    story = simulate(Pacer(), TokenBucket(1e6), [make_call()] * 2000, workers=16, rtt=lambda: 0.05)
    assert story.ended - START <= 2000 / 16 * 0.05 + 5 * 0.05


def test_a_limit_that_is_lifted_is_noticed() -> None:
    pacer = Pacer()
    hub = TokenBucket(5)
    limited = simulate(pacer, hub, itertools.repeat(make_call()), workers=4, rtt=lambda: 0.05, until=60)
    hub.rate = 1e6
    story = simulate(pacer, hub, itertools.repeat(make_call()), workers=4, rtt=lambda: 0.05, until=300)
    assert limited.good_between(30, 60) < 6 * 30
    assert story.good_between(270, 300) > 10 * 30


def test_an_unannounced_limit_on_writes_does_not_slow_reads() -> None:
    pacer = make_pacer(remaining=1000, quota=1000, window=300)
    send_call(pacer, make_call(), Reply(429), chance=0.9)
    assert pacer.try_start(START, make_call()) == pytest.approx(0.9)
    assert pacer.try_start(START, make_call(Lane.READ)) == 0


def test_pauses_after_refusals_in_a_row_are_random_shares_of_a_doubling_minute_at_most() -> None:
    for chance, expected in [(0.999, [1, 2, 4, 8, 16, 32, 60, 60]), (0.5, [1, 1, 2, 4, 8, 16, 30, 30])]:
        pacer, now, pauses = Pacer(), START, []
        for _ in expected:
            send_call(pacer, make_call(), Reply(429), now=now, chance=chance)
            pauses.append(pacer.try_start(now, make_call()))
            now += pauses[-1]
        assert pauses == pytest.approx(expected, rel=0.01)


def test_the_rate_recovers_soon_after_many_refusals() -> None:
    pacer, now = Pacer(), START
    for _ in range(12):
        send_call(pacer, make_call(), Reply(429), now=now)
        now += pacer.try_start(now, make_call())
    story = simulate(
        pacer, TokenBucket(1e6), itertools.repeat(make_call()), workers=4, rtt=lambda: 0.05, begin=now, until=600
    )
    assert story.good_between(now - START + 300, now - START + 600) > 300
