"""Pacing answer by answer: what each answer teaches, who has priority, and that every call goes eventually."""

from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.hub.protocol.messages import Answer, FailureReason, HubCall, Lane, NoReply, Reply
from hf_gate.hub.protocol.pacing import LimitWindow, Pacer, WaitReason
from hf_gate.hub.protocol.ratelimit_headers import MAX_WAIT_S, AnnouncedLimit
from tests.kits.pacing_model import START, FixedWindows, make_call, make_pacer, make_reply, send_call, simulate

# ---- learning from single answers -----------------------------------------------------------------------------------


def test_one_call_goes_first_and_each_success_allows_one_more() -> None:
    pacer = Pacer()
    assert pacer.try_start(START, make_call()) == 0
    assert pacer.try_start(START, make_call()) > 0
    assert pacer.try_start(START, make_call(bucket="pages")) == 0  # another bucket, another first call
    pacer.record_answer(START, make_call(), Reply(200), 0.5)
    assert [pacer.try_start(START, make_call()) > 0 for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("lane", "answer", "more"),
    [
        (Lane.BULK_READ, make_reply(40, 3), 4),
        (Lane.READ, make_reply(40, 3), 4),
        (Lane.READ, Reply(200), 2),  # nothing is announced
        (Lane.BULK_WRITE, make_reply(40, 3), 2),  # changes have unannounced limits
    ],
)
def test_reads_under_an_announced_limit_spread_faster(lane: Lane, answer: Answer, more: int) -> None:
    pacer = Pacer()
    send_call(pacer, make_call(lane), answer)
    assert [pacer.try_start(START, make_call(lane)) > 0 for _ in range(more + 1)] == [False] * more + [True]


def test_reads_under_an_unannounced_limit_spread_like_changes() -> None:
    pacer, read, later = Pacer(), make_call(Lane.READ), START + 600
    send_call(pacer, read, make_reply(40, 3, status=429))
    assert pacer.try_start(later, read) == 0
    pacer.record_answer(later, read, make_reply(40, 3), 0.5)
    later += 60
    assert pacer.try_start(later, read) == 0
    assert pacer.try_start(later + 60, read) == 0
    assert pacer.try_start(later + 120, read) > 0


def test_a_first_call_that_is_dropped_or_lost_is_followed_by_another_alone() -> None:
    pacer = Pacer()
    assert pacer.try_start(START, make_call()) == 0
    pacer.record_lost_call(make_call())
    send_call(pacer, make_call(), NoReply(FailureReason.TIMEOUT, is_sent=True))
    assert pacer.try_start(START, make_call()) == 0
    assert pacer.try_start(START, make_call()) > 0


def test_a_bucket_uses_the_limit_that_its_answers_name() -> None:
    pacer = make_pacer(remaining=2)
    send_call(pacer, make_call(bucket="pages"), make_reply(1, 3))
    assert pacer.try_start(START, make_call(bucket="pages")) == 0
    assert pacer.try_start(START, make_call()) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("order", [1, -1])
def test_all_announced_limits_apply_together(order: int) -> None:
    pacer = Pacer(0.0)
    limit = ", ".join(['"burst";r=1;t=2', '"day";r=500;t=9000'][::order])
    send_call(
        pacer, make_call(), Reply(200, {"ratelimit": limit, "ratelimit-policy": '"burst";q=9;w=2, "day";q=999;w=86400'})
    )
    assert pacer.try_start(START, make_call()) == 0
    assert pacer.try_start(START, make_call()) == pytest.approx(2, abs=0.1)
    look = pacer.outlook(START)
    assert (look.remaining, look.quota, look.window_s, look.waiting_why) == (0, 9, 2, WaitReason.WINDOW)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (make_reply(0, 2, status=429, after="7"), 7.5),  # Retry-After overrides t
        (make_reply(0, 200, status=429, window=300, after="7"), 7.5),
        (make_reply(0, 2, status=429), 2.5),  # then t, when nothing remains
        (make_reply(9, 2, status=429, after="7"), 7.5),
        (Reply(503, {"retry-after": "7"}), 7.5),
    ],
)
def test_after_a_refusal_the_pacer_waits_as_told_then_sends_one_call(answer: Reply, wait: float) -> None:
    pacer = make_pacer()
    send_call(pacer, make_call(), answer)
    said = pacer.try_start(START, make_call())
    assert said == pytest.approx(wait, abs=0.02)
    if answer.status == 429:
        assert pacer.try_start(START + said, make_call()) == 0
        assert pacer.try_start(START + said, make_call()) > 0


def test_refusals_of_one_burst_count_once() -> None:
    pacer = make_pacer(remaining=1000, quota=1000, window=300)
    for _ in range(8):
        assert pacer.try_start(START, make_call()) == 0
    for _ in range(8):
        pacer.record_answer(START, make_call(), make_reply(900, 200, status=429, quota=1000, window=300), 0.5)
    now = START + pacer.try_start(START, make_call())
    assert pacer.try_start(now, make_call()) == 0
    assert pacer.try_start(now, make_call(Lane.READ)) > 0  # one call goes first, however many of the burst were refused
    pacer.record_answer(now, make_call(), Reply(200), 0.5)
    send_call(pacer, make_call(), Reply(200), now=now + 10)
    wait = pacer.try_start(now + 10, make_call())
    assert wait == pytest.approx(1 / 15 - 0.05, rel=0.1)  # half of the 30 of the last second


def test_a_wait_is_never_too_small_for_the_clock() -> None:
    pacer = make_pacer(remaining=1000, quota=1000, window=300)
    send_call(pacer, make_call(), Reply(429))
    assert pacer.try_start(START + pacer.try_start(START, make_call()) - 1e-6, make_call()) >= 0.001


def test_five_server_errors_open_the_breaker_and_probes_slow_to_five_minutes() -> None:
    pacer, now = make_pacer(), START
    failures: list[Answer] = [
        Reply(502),
        NoReply(FailureReason.CONNECT, is_sent=False),
        Reply(500),
        NoReply(FailureReason.BROKEN, is_sent=True),
    ]
    for answer in failures:
        send_call(pacer, make_call(Lane.READ), answer)
    waits = []
    for _ in range(6):
        send_call(pacer, make_call(Lane.READ), Reply(503), now=now)
        waits.append(pacer.try_start(now, make_call(Lane.READ)))
        assert pacer.outlook(now).waiting_why is WaitReason.UNAVAILABLE
        now += waits[-1]
    assert waits == [30, 60, 120, 240, 300, 300]
    send_call(pacer, make_call(Lane.READ), Reply(404), now=now)
    send_call(pacer, make_call(Lane.READ), Reply(500), now=now)
    assert pacer.try_start(now, make_call(Lane.READ)) == 0


def test_a_late_answer_of_the_previous_window_changes_nothing() -> None:
    pacer = make_pacer(remaining=20, reset=1)
    late = make_call(route="late")
    assert pacer.try_start(START, late) == 0
    assert pacer.try_start(START + 1.1, make_call()) == 0
    pacer.record_answer(START + 1.1, late, make_reply(0, 0), 0.5)
    assert pacer.outlook(START + 1.1).remaining == 48  # the quota minus one call in flight and one that started


def test_an_earlier_new_window_is_accepted_minus_calls_in_flight() -> None:
    pacer = make_pacer(remaining=9, reset=2)
    late = make_call(route="late")
    assert pacer.try_start(START + 1.1, late) == 0
    send_call(pacer, make_call(), make_reply(49, 3), now=START + 1.2)
    assert pacer.outlook(START + 1.2).remaining == 48
    pacer.record_answer(START + 1.2, late, make_reply(3, 1), 0.5)  # it was answered in the previous window
    look = pacer.outlook(START + 1.2)
    assert look.remaining == 48
    assert look.reset_in == pytest.approx(3.009, abs=0.001)


def test_an_answer_of_an_unfinished_window_undoes_the_rollover() -> None:
    pacer = make_pacer(remaining=20, reset=1)
    send_call(pacer, make_call(), make_reply(5, 1), now=START + 1.1)
    look = pacer.outlook(START + 1.1)
    assert look.remaining == 5
    assert look.reset_in == pytest.approx(2.009, abs=0.001)
    assert pacer.try_start(START + 1.1, make_call()) == 0
    assert pacer.try_start(START + 1.1, make_call()) > 0


def test_a_reset_of_zero_means_up_to_a_second() -> None:
    pacer = make_pacer(reset=1)
    send_call(pacer, make_call(), make_reply(5, 0))
    assert pacer.outlook(START).reset_in == pytest.approx(1.009, abs=0.001)


def test_an_unused_ceiling_does_not_grow() -> None:
    pacer, now = make_pacer(remaining=1000, quota=1000, window=300), START
    send_call(pacer, make_call(), Reply(429))
    for _ in range(20):
        now += 5
        send_call(pacer, make_call(), Reply(200), now=now)
    assert pacer.try_start(now + 10, make_call()) == 0
    assert pacer.try_start(now + 10, make_call()) == pytest.approx(1 / 15 - 0.05)


def test_a_driver_that_wakes_a_little_late_catches_up() -> None:
    pacer = make_pacer(remaining=1000, quota=1000, window=300)
    send_call(pacer, make_call(), Reply(429))
    send_call(pacer, make_call(), Reply(200), now=START + 10)
    assert pacer.try_start(START + 10, make_call()) == pytest.approx(1 / 15 - 0.05)
    send_call(pacer, make_call(), Reply(200), now=START + 10.1)
    assert pacer.try_start(START + 10.1, make_call()) < 1 / 15 - 0.03


def test_a_limit_without_a_policy_is_obeyed_until_its_reset() -> None:
    pacer = Pacer(0.0)
    send_call(pacer, make_call(), Reply(200, {"ratelimit": '"api";r=1;t=5'}))
    assert pacer.try_start(START, make_call()) == 0
    wait = pacer.try_start(START, make_call())
    assert wait == pytest.approx(5.0, abs=1.01)
    assert pacer.try_start(START + wait, make_call()) == 0
    assert pacer.try_start(START + wait, make_call()) > 0


def test_the_smallest_window_leaves_bulk_work_one_call() -> None:
    window = LimitWindow()
    window.update(START, START, AnnouncedLimit("api", 0, 3, 1, 3), 0)
    assert window.reserved_calls(0.25) == 0


def test_the_reserve_must_be_a_share() -> None:
    for wrong in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="reserve must be"):
            Pacer(wrong)


# ---- writes before reads --------------------------------------------------------------------------------------------


def test_a_read_yields_the_last_calls_of_a_window_to_waiting_writes() -> None:
    pacer = make_pacer(remaining=2)
    tickets = [pacer.register(make_call(Lane.WRITE)), pacer.register(make_call(Lane.WRITE))]
    assert pacer.try_start(START, make_call(Lane.READ)) > 0
    pacer.unregister(tickets.pop())
    assert pacer.try_start(START, make_call(Lane.READ)) == 0
    assert pacer.try_start(START, make_call(Lane.WRITE)) == 0


def test_a_read_does_not_probe_while_a_write_waits() -> None:
    pacer = Pacer()
    pacer.register(make_call(Lane.WRITE))
    assert pacer.try_start(START, make_call(Lane.READ)) > 0
    assert pacer.try_start(START, make_call(Lane.WRITE)) == 0


def test_a_read_does_not_wait_for_writes_that_could_not_go_anyway() -> None:
    pacer = make_pacer(remaining=12, share=0.25)
    pacer.register(make_call(Lane.BULK_WRITE))  # what remains is the reserve
    assert pacer.try_start(START, make_call(Lane.READ)) == 0


def test_a_waiting_read_goes_before_the_fifth_write() -> None:
    pacer = make_pacer(remaining=5)
    pacer.register(make_call(Lane.READ))
    for _ in range(5):
        pacer.register(make_call(Lane.WRITE))
    for _ in range(4):
        assert pacer.try_start(START, make_call(Lane.READ)) > 0
        assert pacer.try_start(START, make_call(Lane.WRITE)) == 0
    assert pacer.try_start(START, make_call(Lane.WRITE)) > 0
    assert pacer.try_start(START, make_call(Lane.READ)) == 0


def test_after_a_read_went_first_writes_have_priority_again() -> None:
    pacer = make_pacer(remaining=7)
    for lane in [Lane.READ, Lane.READ, Lane.READ, *[Lane.WRITE] * 5]:
        pacer.register(make_call(lane))
    for _ in range(5):  # the fifth leaves a call to one read, not to all three
        assert pacer.try_start(START, make_call(Lane.WRITE)) == 0
    assert pacer.try_start(START, make_call(Lane.READ)) == 0
    assert pacer.try_start(START, make_call(Lane.READ)) > 0


def test_reads_are_not_starved_by_many_writes_in_small_windows() -> None:
    sends = [make_call(Lane.BULK_WRITE)] * 7 + [make_call(Lane.BULK_READ)] + [make_call(Lane.BULK_WRITE)] * 100
    story = simulate(Pacer(0.0), FixedWindows(5, 3), sends, workers=8, rtt=lambda: 0.05)
    lanes = [lane for _, _, lane in story.answers]
    assert lanes.index(Lane.BULK_READ) <= 9
    assert len(lanes) == len(sends)


# ---- any sequence of events -----------------------------------------------------------------------------------------

answers = st.one_of(
    st.builds(
        make_reply,
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
    st.builds(NoReply, st.sampled_from(FailureReason), st.booleans()),
)
sends = st.builds(make_call, st.sampled_from(Lane), st.sampled_from(["api", "pages"]))


@given(st.lists(st.tuples(sends, answers, st.floats(0, 0.999), st.floats(0, 500), st.booleans(), st.booleans())))
def test_no_wait_is_negative_or_endless_and_every_call_goes_eventually(
    acts: list[tuple[HubCall, Answer, float, float, bool, bool]],
) -> None:
    pacer, now, flying = Pacer(), START, deque[tuple[HubCall, Answer]]()
    for send, answer, chance, passes, waits, lands in acts:
        now += passes
        if waits:
            pacer.register(send)
        wait = pacer.try_start(now, send)
        assert 0 <= wait <= MAX_WAIT_S + 3
        if wait == 0:
            flying.append((send, answer))
        if lands and flying:
            pacer.record_answer(now, *flying.popleft(), chance)
        look = pacer.outlook(now)
        assert look.remaining is None or look.remaining >= 0
    while flying:
        pacer.record_lost_call(flying.popleft()[0])
    for ticket in range(1, len(acts) + 1):  # the driver must unregister calls that never start
        pacer.unregister(ticket)
    for lane in Lane:
        assert patience(pacer, make_call(lane), now) < math.inf


def patience(pacer: Pacer, send: HubCall, now: float) -> float:
    """Return the seconds until a call can go that asks again after each wait."""
    begin = now
    for _ in range(20):
        wait = pacer.try_start(now, send)
        if wait == 0:
            pacer.record_lost_call(send)
            return now - begin
        now += wait
    return math.inf
