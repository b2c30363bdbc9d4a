"""A destination that follows the audit log gets every entry once it is named: in order, at least once, a message at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, time

import pytest

from hf_gate.core.letters.messages import OPEN, Delivery, DeliveryKind
from hf_gate.core.letters.notices import (
    DEFAULT_MODES,
    ChannelKind,
    Destination,
    NoticeEvent,
    NoticeMode,
    OutgoingMessage,
)
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.messages.rows import notices, outbox
from hf_gate.messages.rows.outbox import MAX_ENTRIES
from hf_gate.messages.service.message_sending import NoticeLane, drain
from hf_gate.store.leases import LeaseKeeper
from hf_gate.store.rows.event_feed import read_events
from hf_gate.store.store import Store
from hf_gate.store.write_lock import Holder, Work
from hf_gate.workspace.rows.opening import open_store
from tests.kits.faulty_stores import KilledError
from tests.kits.manual_clock import ManualClock
from tests.kits.outboxes import T0
from tests.kits.stores import EEG, ENDPOINT, MED, ON_BOTH, new_store, record, store, store_records
from tests.kits.stores import sqlite_place as place

__all__ = ["place", "store"]

MODES = {**dict.fromkeys(DEFAULT_MODES, NoticeMode.OFF), NoticeEvent.AUDIT_LOG: NoticeMode.IMMEDIATE}
SHOP = Destination(name="shop", kind=ChannelKind.WEBHOOK, modes=MODES)


@dataclass
class Receiver:
    """A channel to a list. `answers`: how the next sendings end; None kills the sender after the message arrived."""

    clock: ManualClock
    answers: list[DeliveryKind | None] = field(default_factory=list)
    got: list[OutgoingMessage] = field(default_factory=list)
    on_send: Callable[[], object] = lambda: None

    def send(self, message: OutgoingMessage, sent_at: datetime, accepted: Sequence[str]) -> Delivery:
        assert (sent_at, tuple(accepted)) == (self.clock.now(), ())
        self.on_send()
        kind = self.answers.pop(0) if self.answers else DeliveryKind.DELIVERED
        if kind is not DeliveryKind.FAILED:
            self.got.append(message)
        if kind is None:
            raise KilledError
        return Delivery(kind, "" if kind is DeliveryKind.DELIVERED else "no")

    @property
    def ids(self) -> list[str]:
        return [event.id for message in self.got for event in message.events or ()]


def _follow(store: Store, *, is_on: bool = True, at: int = T0) -> None:
    wanted = {"shop": MODES} if is_on else {}
    notices.write_destinations(store, wanted, {"shop": time(8)}, "UTC", at)


def _drain(store: Store, receiver: Receiver) -> None:
    drain(store, [NoticeLane(store, SHOP, lambda _: receiver, receiver.clock)], receiver.clock)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(ManualClock.at_ms(T0))


def _feed_ids(store: Store) -> list[str]:
    page = read_events(store, None, 10_000, TimelineFilter())
    assert page is not None
    return [f"{link.chain.removeprefix('models/')}#{link.seq}" for link, _ in page.entries]


@ON_BOTH
def test_it_gets_each_entry_from_when_it_is_named_in_pages_that_join(store: Store, receiver: Receiver) -> None:
    store_records(store, EEG, [record(n) for n in range(5)])
    _follow(store)
    _drain(store, receiver)
    assert receiver.got == [], "nothing from before"
    store_records(store, EEG, [record(n) for n in range(5, 255)])
    store_records(store, MED, [record(1)])
    open_rows = list[int]()
    receiver.on_send = lambda: open_rows.append(len(outbox.read_messages(store, OPEN, 1000)))
    _drain(store, receiver)
    assert receiver.ids == _feed_ids(store)[5:]
    assert [len(message.events or ()) for message in receiver.got] == [MAX_ENTRIES, MAX_ENTRIES, 51]
    assert [message.after for message in receiver.got[1:]] == [message.next for message in receiver.got[:-1]]
    assert [message.sequence for message in receiver.got] == [1, 2, 3]
    assert set(open_rows) == {1}, "one row at a time, however many entries wait"
    last = receiver.got[-1].next
    page = read_events(store, last, 10, TimelineFilter())
    assert page is not None
    assert (page.entries, page.next) == ([], last), "the cursor is one of the feed"
    assert "user7" not in str(receiver.got)
    _drain(store, receiver)
    assert len(receiver.got) == 3


def test_one_that_is_named_again_gets_nothing_from_between(store: Store, receiver: Receiver) -> None:
    _follow(store)
    store_records(store, EEG, [record(1)])
    _follow(store, is_on=False)
    store_records(store, EEG, [record(2)])
    _drain(store, receiver)
    assert receiver.got == []
    _follow(store)
    _drain(store, receiver)
    store_records(store, EEG, [record(3)])
    _drain(store, receiver)
    assert receiver.ids == _feed_ids(store)[2:]


def test_entries_are_sent_beside_the_work_of_another_process(postgres_uri: str, receiver: Receiver) -> None:
    place = new_store(postgres_uri)
    with (
        open_store(place, endpoint=ENDPOINT, lends=True, wait=0.0) as desk,
        closing(LeaseKeeper(place, Holder(7, "gate-1", "hf-gate run"))) as other,
    ):
        _follow(desk)
        store_records(desk, EEG, [record(n) for n in range(3)])
        other.acquire(Work.STORE, 1.0, "")
        _drain(desk, receiver)
        assert receiver.ids == _feed_ids(desk)
