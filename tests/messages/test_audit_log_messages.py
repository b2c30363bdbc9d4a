"""A destination that follows the audit log gets every entry once it is named: in order, at least once, a message at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from hf_gate.base.timestamps import to_ms
from hf_gate.core.events.events import GrantDated, LedgerEntry
from hf_gate.core.letters.messages import Delivery, DeliveryKind
from hf_gate.core.letters.notices import (
    DEFAULT_MODES,
    ChannelKind,
    Destination,
    NoticeEvent,
    NoticeMode,
    OutgoingMessage,
)
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.messages.rows import notices
from hf_gate.messages.service.message_sending import NoticeLane, drain
from hf_gate.store.leases import LeaseKeeper
from hf_gate.store.rows.event_feed import read_events
from hf_gate.store.store import Store
from hf_gate.store.write_lock import Holder, Work
from hf_gate.workspace.rows.opening import open_store
from tests.kits.faulty_stores import KilledError
from tests.kits.manual_clock import ManualClock
from tests.kits.outboxes import T0
from tests.kits.stores import EEG, ENDPOINT, new_store, record, store, store_records
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
    drain(
        store,
        [NoticeLane(store, SHOP, lambda _: receiver, receiver.clock, ZoneInfo("America/Los_Angeles"))],
        receiver.clock,
    )


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(ManualClock.at_ms(T0))


def _feed_ids(store: Store) -> list[str]:
    page = read_events(store, None, 10_000, TimelineFilter())
    assert page is not None
    return [f"{link.chain.removeprefix('models/')}#{link.seq}" for link, _ in page.entries]


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


def test_an_end_is_the_last_day_with_access_in_the_time_zone_of_the_workspace(store: Store, receiver: Receiver) -> None:
    _follow(store)
    until = to_ms(datetime(2030, 7, 1, 7, tzinfo=UTC))  # midnight in Los Angeles
    with store.writing() as write:
        write.append(EEG, [LedgerEntry(event=GrantDated(until=until), at=T0, actor="lena")])
    _drain(store, receiver)
    (told,) = [event for message in receiver.got for event in message.events or ()]
    assert "30 Jun 2030" in told.text


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
