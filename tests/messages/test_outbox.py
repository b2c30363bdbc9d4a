"""The outbox loses nothing and keeps the order, whatever receivers, processes and clocks do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hf_gate.base.timestamps import DAY_MS
from hf_gate.core.events import events as e
from hf_gate.core.letters.messages import (
    GIVE_UP_MS,
    LONGEST_ALARM_WAIT_MS,
    LONGEST_WAIT_MS,
    Delivery,
    DeliveryKind,
    MessageState,
    OutboxRow,
    retry_wait,
)
from hf_gate.core.letters.notices import (
    DEFAULT_MODES,
    ChannelKind,
    Destination,
    NoticeEvent,
    NoticeItem,
    OutgoingMessage,
    next_digest,
)
from hf_gate.errors import StoreBusy
from hf_gate.messages.rows import outbox
from hf_gate.messages.service.message_sending import NoticeLane, drain
from hf_gate.store.store import Store
from hf_gate.store.writing.notice_queue import MAX_OPEN, queue, read_subscriptions
from hf_gate.workspace.rows.opening import open_store
from tests.kits.manual_clock import ManualClock
from tests.kits.outboxes import EVERYTHING, T0, append_notice_event, turn_on_destinations
from tests.kits.stores import EEG as REPO
from tests.kits.stores import ENDPOINT, new_store, place, record, store, store_records

__all__ = ["place", "store"]

NAMES = ("a", "b")


@dataclass
class Receiver:
    """A channel to a list. `answer` says how each sending ends; sending takes `cost` ms."""

    clock: ManualClock
    answer: Callable[[OutgoingMessage], DeliveryKind] = lambda _: DeliveryKind.DELIVERED
    cost: int = 0
    got: list[OutgoingMessage] = field(default_factory=list)

    def send(self, message: OutgoingMessage, sent_at: datetime, accepted: Sequence[str]) -> Delivery:
        assert (sent_at, tuple(accepted)) == (self.clock.now(), ())
        self.clock.ms += self.cost
        kind = self.answer(message)
        if kind in {DeliveryKind.DELIVERED, DeliveryKind.UNKNOWN}:
            self.got.append(message)
        return Delivery(kind, "" if kind is DeliveryKind.DELIVERED else "no")


def destination(name: str = "a") -> Destination:
    return Destination(name=name, kind=ChannelKind.WEBHOOK, modes=EVERYTHING)


def states(store: Store) -> list[MessageState]:
    return [row.state for row in outbox.read_messages(store, list(MessageState), 1000)][::-1]


def drain_until_idle(store: Store, receiver: Receiver, name: str = "a") -> None:
    drain(store, [NoticeLane(store, destination(name), lambda _: receiver, receiver.clock, UTC)], receiver.clock)


# ---- what is told ------------------------------------------------------------------------------------------------------


def test_without_a_destination_nothing_is_queued(store: Store) -> None:
    append_notice_event(store, T0)
    turn_on_destinations(store)
    assert states(store) == []


def test_a_destination_hears_nothing_from_before_it_was_turned_on(store: Store) -> None:
    later = round(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)
    turn_on_destinations(store, at=later)
    store_records(store, REPO, [record(1, day=1), record(2, day=2)])
    assert states(store) == []
    store_records(store, REPO, [record(3, day=300)])
    (row,) = outbox.read_messages(store, [MessageState.WAITING], 10)
    assert [(item.event, item.count, len(item.requests)) for item in row.items] == [(NoticeEvent.NEW_REQUESTS, 1, 1)]


def test_nothing_personal_is_stored_in_a_notice(store: Store) -> None:
    turn_on_destinations(store, at=0)
    store_records(store, REPO, [record(1, name="ada-l", fullname="Ada Lindqvist")])
    rows = store.reads.rows("SELECT * FROM messages")
    assert rows
    assert "ada" not in str(rows).lower()


def test_a_full_queue_is_extended_in_its_last_message(store: Store) -> None:
    turn_on_destinations(store)
    append_notice_event(store, T0)
    with store.writing() as write:
        write.db.run("UPDATE notice_destinations SET sequence = ?", (MAX_OPEN,))
    append_notice_event(store, T0)
    store_records(store, REPO, [record(1, day=300)], T0)
    append_notice_event(store, T0)
    rows = outbox.read_messages(store, [MessageState.WAITING], 10)[::-1]
    assert sorted((row.sequence, len(row.items)) for row in rows) == [(1, 1), (MAX_OPEN + 1, 2)]


# ---- delivery ----------------------------------------------------------------------------------------------------------


def test_only_one_process_has_a_message_and_nobody_passes_it(store: Store) -> None:
    turn_on_destinations(store)
    append_notice_event(store, T0)
    append_notice_event(store, T0)
    first = outbox.claim_notice(store, "a", "w1", T0)
    assert first is not None
    assert outbox.claim_notice(store, "a", "w2", T0) is None
    assert outbox.claim_notice(store, "a", "w1", T0) is None
    again = outbox.claim_notice(store, "a", "w2", T0 + retry_wait(1, is_alarm=True))
    assert again is not None
    assert again.id == first.id
    assert not outbox.settle_message(store, first, "w1", Delivery(DeliveryKind.REFUSED), T0)
    assert outbox.settle_message(store, again, "w2", Delivery(DeliveryKind.DELIVERED), T0)
    second = outbox.claim_notice(store, "a", "w1", T0)
    assert second is not None
    assert second.sequence == 2


def test_a_refused_message_is_dead_at_once_and_the_next_goes_on(store: Store) -> None:
    turn_on_destinations(store)
    for _ in range(3):
        append_notice_event(store, T0)
    receiver = Receiver(
        ManualClock.at_ms(T0), lambda one: DeliveryKind.REFUSED if one.sequence == 2 else DeliveryKind.DELIVERED
    )
    drain_until_idle(store, receiver)
    assert [one.sequence for one in receiver.got] == [1, 3]
    assert states(store) == [MessageState.SENT, MessageState.BOUNCED, MessageState.SENT]


def test_an_alarm_is_tried_every_five_minutes_also_behind_other_messages(store: Store) -> None:
    clock = ManualClock.at_ms(T0)
    turn_on_destinations(store)
    with store.writing() as write:
        ended = e.RunEnded(run="r_1", state="ended", counts={"done": 30})
        queue(
            write.db,
            read_subscriptions(write.db)[0],
            [NoticeItem(event=NoticeEvent.RUN_RESULT, facts={"run": ended.run})],
            T0,
        )
    receiver = Receiver(clock, lambda _: DeliveryKind.FAILED)
    tries: list[int] = []

    def answer(_: OutgoingMessage) -> DeliveryKind:
        tries.append(clock.ms)
        return DeliveryKind.FAILED

    receiver.answer = answer
    while clock.ms < T0 + 20 * 3_600_000:
        drain_until_idle(store, receiver)
        clock.ms = outbox.next_due(store, clock.ms) or clock.ms
    gaps = [later - one for one, later in pairwise(tries)]
    assert gaps[:4] == [10_000, 30_000, 90_000, 270_000]
    assert gaps[-1] > LONGEST_ALARM_WAIT_MS
    append_notice_event(store, clock.ms)
    tries.clear()
    began = clock.ms
    while clock.ms < began + 3_600_000:
        drain_until_idle(store, receiver)
        clock.ms = outbox.next_due(store, clock.ms) or clock.ms
    gaps = [later - one for one, later in pairwise(tries)]
    assert len(tries) >= 11
    assert max(gaps) <= LONGEST_ALARM_WAIT_MS


def test_a_message_that_nobody_takes_for_a_week_is_dead(store: Store) -> None:
    clock = ManualClock.at_ms(T0)
    turn_on_destinations(store)
    append_notice_event(store, T0)
    receiver = Receiver(clock, lambda _: DeliveryKind.FAILED)
    while (due := outbox.next_due(store, clock.ms)) is not None:
        clock.ms = max(due, clock.ms)
        drain_until_idle(store, receiver)
    assert GIVE_UP_MS <= clock.ms - T0 <= GIVE_UP_MS + LONGEST_WAIT_MS
    assert states(store) == [MessageState.FAILED]


def test_a_process_that_lost_its_claim_sends_nothing(store: Store) -> None:
    turn_on_destinations(store)
    append_notice_event(store, T0)
    receiver = Receiver(ManualClock.at_ms(T0))

    def lose_claim(_: Destination) -> Receiver:
        receiver.clock.ms += DAY_MS
        assert outbox.claim_notice(store, "a", "another", receiver.clock.ms) is not None
        return receiver

    drain(store, [NoticeLane(store, destination(), lose_claim, receiver.clock, UTC)], receiver.clock)
    assert receiver.got == []
    receiver.clock.ms += DAY_MS
    drain_until_idle(store, receiver)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("jump", [DAY_MS, -DAY_MS])
def test_while_one_process_sends_no_other_does_whatever_the_clock_says(place: str, jump: int) -> None:
    clock = ManualClock.at_ms(T0)
    with (
        open_store(place, endpoint=ENDPOINT, lends=True) as desk,
        open_store(place, endpoint=ENDPOINT, lends=True) as cli,
    ):
        turn_on_destinations(desk)
        append_notice_event(desk, T0)
        refused: list[StoreBusy] = []

        def receive_while_the_clock_jumps(_: OutgoingMessage) -> DeliveryKind:
            clock.ms += jump
            with pytest.raises(StoreBusy, match="messages are being sent by") as busy:
                drain_until_idle(cli, receiver)
            refused.append(busy.value)
            return DeliveryKind.DELIVERED

        receiver = Receiver(clock, receive_while_the_clock_jumps)
        drain_until_idle(desk, receiver)
        drain_until_idle(cli, receiver)
        assert (len(receiver.got), len(refused)) == (1, 1)
        assert states(cli) == [MessageState.SENT]


@pytest.mark.parametrize("jump", [DAY_MS, -DAY_MS])
def test_a_message_of_a_dead_process_is_sent_by_the_next_whatever_the_clock_says(store: Store, jump: int) -> None:
    turn_on_destinations(store)
    append_notice_event(store, T0)
    dead = outbox.claim_notice(store, "a", "dead", T0)
    assert dead is not None
    receiver = Receiver(ManualClock.at_ms(T0 + jump))
    drain_until_idle(store, receiver)
    assert [one.id for one in receiver.got] == [dead.id]


def test_a_drain_ends_in_bounded_time(store: Store) -> None:
    turn_on_destinations(store)
    for _ in range(20):
        append_notice_event(store, T0)
    receiver = Receiver(ManualClock.at_ms(T0), cost=10_000)
    drain_until_idle(store, receiver)
    assert len(receiver.got) == 6


@pytest.mark.parametrize("attempts", [1, 2, 5, 50, 100_000])
def test_waits_grow_up_to_their_limit(attempts: int) -> None:
    assert retry_wait(attempts, is_alarm=True) <= LONGEST_ALARM_WAIT_MS
    assert retry_wait(attempts, is_alarm=False) <= LONGEST_WAIT_MS
    assert retry_wait(attempts, is_alarm=False) >= retry_wait(attempts - 1, is_alarm=False)


def test_the_next_digest_is_at_its_time_of_day() -> None:
    before, after = datetime(2026, 11, 27, 7, tzinfo=UTC), datetime(2026, 11, 27, 8, tzinfo=UTC)
    assert next_digest(before, time(8), UTC) == after
    assert next_digest(after, time(8), UTC) == datetime(2026, 11, 28, 8, tzinfo=UTC)


def _run(name: str, state: str, **counts: int) -> NoticeItem:
    return NoticeItem(event=NoticeEvent.RUN_RESULT, facts={"run": name, "state": state, **counts})


def _digest(store: Store, items: Sequence[NoticeItem]) -> list[str]:
    """The lines of the next digest, if these items came in transactions of their own."""
    turn_on_destinations(store, modes=dict(DEFAULT_MODES), at=0)
    for item in items:
        with store.writing() as write:
            queue(write.db, read_subscriptions(write.db)[0], [item], T0)
    receiver = Receiver(ManualClock.at_ms(T0 + DAY_MS))
    drain_until_idle(store, receiver)
    return [item.text for message in receiver.got for item in message.items]


def test_runs_add_up_in_a_digest(store: Store) -> None:
    assert _digest(store, [_run("r_1", "ended", done=1), _run("r_2", "ended", done=2)]) == ["2 runs: 3 done."]


def test_a_digest_adds_no_changes_that_another_run_sent(store: Store) -> None:
    first = [_run("r_1", "interrupted", planned=40, done=10), _run("r_1", "stopped", planned=40, done=10)]
    assert _digest(store, [*first, _run("r_2", "ended", done=40)]) == ["2 runs: 50 done."]


def test_a_digest_says_which_run_has_left_something(store: Store) -> None:
    run = _run("r_1", "interrupted", planned=40, done=10)
    assert _digest(store, [run]) == ["Run r_1 interrupted: 40 not sent, 10 done: hf-gate runs show r_1"]


def test_a_digest_of_several_runs_counts_those_that_have_not_ended(store: Store) -> None:
    runs = [_run("r_1", "interrupted", planned=40, done=10), _run("r_2", "ended", done=5)]
    assert _digest(store, runs) == ["2 runs: 15 done. 1 not ended: hf-gate runs ls"]


# ---- whatever happens --------------------------------------------------------------------------------------------------


class OutboxMachine(RuleBasedStateMachine):
    """Two workers and two destinations. A worker can die after its claim, before or after the message arrived."""

    make_place: Callable[[Path], str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.store = open_store(type(self).make_place(self.folder), endpoint=ENDPOINT)
        self.clock, self.told = ManualClock.at_ms(T0), 0
        self.got: dict[str, list[tuple[int, str]]] = {name: [] for name in NAMES}
        self.resent: set[str] = set()
        self.held: dict[str, tuple[str, OutboxRow]] = {}
        turn_on_destinations(self.store, NAMES, at=T0)

    def teardown(self) -> None:
        try:
            self.check_the_end()
        finally:
            self.store.close()
            shutil.rmtree(self.folder)

    @rule()
    def something_happens(self) -> None:
        append_notice_event(self.store, self.clock.ms)
        self.told += 1

    @rule(seconds=st.sampled_from([1, 10, 61, 120, 300, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.clock.ms += seconds * 1000

    @rule(name=st.sampled_from(NAMES), worker=st.sampled_from(["w1", "w2"]), arrives=st.booleans())
    def claim_and_die(self, name: str, worker: str, arrives: bool) -> None:
        """A process dies between the sending and the record, or before the sending."""
        row = outbox.claim_notice(self.store, name, worker, self.clock.ms)
        if row is not None:
            assert outbox.claim_notice(self.store, name, "w3", self.clock.ms) is None
            self.held[name] = (worker, row)
            if arrives:
                self.receive(row)

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(list(DeliveryKind)))
    def settle_late(self, name: str, kind: DeliveryKind) -> None:
        """A process that was thought dead records its result; it counts only if nobody took over."""
        if name in self.held:
            worker, row = self.held.pop(name)
            outbox.settle_message(
                self.store,
                row,
                worker,
                Delivery(kind if kind is not DeliveryKind.DELIVERED else DeliveryKind.UNKNOWN),
                self.clock.ms,
            )

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(list(DeliveryKind)))
    def drain_one(self, name: str, kind: DeliveryKind) -> None:
        row = outbox.claim_notice(self.store, name, "w4", self.clock.ms)
        if row is None:
            return
        if kind in {DeliveryKind.DELIVERED, DeliveryKind.UNKNOWN}:
            self.receive(row)
        assert outbox.settle_message(self.store, row, "w4", Delivery(kind), self.clock.ms)
        if kind is DeliveryKind.REFUSED:
            self.resent.add(row.id)

    @rule()
    def retry_all(self) -> None:
        self.resent |= set(outbox.requeue_messages(self.store, None, self.clock.ms, NAMES))

    def receive(self, row: OutboxRow) -> None:
        self.got[row.destination].append((row.sequence or 0, row.id))

    @invariant()
    def the_order_holds(self) -> None:
        for name in NAMES:
            numbers = [number for number, ident in self.got[name] if ident not in self.resent]
            assert numbers == sorted(numbers), name
        assert all(isinstance(ident, str) for name in NAMES for _, ident in self.got[name])

    def check_the_end(self) -> None:
        """Once receivers work, everything arrives: nothing is lost, and each id belongs to one number."""
        for name in NAMES:
            self.retry_all()
            receiver = Receiver(self.clock)
            self.clock.ms += LONGEST_WAIT_MS
            drain_until_idle(self.store, receiver, name)
            self.got[name] += [(one.sequence, one.id) for one in receiver.got]
            assert {number for number, _ in self.got[name]} == set(range(1, self.told + 1))
            assert len({ident for _, ident in self.got[name]}) == self.told
        assert set(states(self.store)) <= {MessageState.SENT}
        self.the_order_holds()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whatever_happens_each_notice_arrives_in_order(kind: str, request: pytest.FixtureRequest) -> None:
    uri = request.getfixturevalue("postgres_uri") if kind == "postgresql" else ""

    def make_place(folder: Path) -> str:
        return new_store(uri) if uri else f"sqlite:///{folder / 'desk.db'}"

    machine = type("PlacedOutbox", (OutboxMachine,), {"make_place": staticmethod(make_place)})
    effort = settings() if kind == "sqlite" else settings(max_examples=max(5, settings().max_examples // 5))
    run_state_machine_as_test(machine, settings=effort)
