"""Measures the outbox: many notices to a receiver that is down every other minute, on a virtual clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from datetime import time as time_of_day
from pathlib import Path
from tempfile import TemporaryDirectory

from hf_gate.base.timestamps import from_ms
from hf_gate.core.events import events as e
from hf_gate.core.letters.messages import Delivery, DeliveryKind
from hf_gate.core.letters.notices import ChannelKind, Destination, NoticeEvent, NoticeMode, OutgoingMessage
from hf_gate.messages.rows import notices, outbox
from hf_gate.messages.service.message_sending import NoticeLane, drain
from hf_gate.store.store import Store
from hf_gate.workspace.rows.opening import open_store

from .results import Row
from .sizes import Sizes

KEYS = ("notices-order", "notices-cost")
_START = 1_790_000_000_000
_SEND_MS = 20
_MODES: dict[NoticeEvent, NoticeMode] = {
    event: NoticeMode.OFF if event is NoticeEvent.AUDIT_LOG else NoticeMode.IMMEDIATE for event in NoticeEvent
}


@dataclass
class _VirtualClock:
    at: int = _START

    def now(self) -> datetime:
        return from_ms(self.at)

    def sleep(self, seconds: float) -> None:
        self.at += round(seconds * 1000)


@dataclass
class _Receiver:
    """Takes 20 ms for each message, and is down in every other minute. It loses the answer of each hundredth message."""

    clock: _VirtualClock
    got: list[int] = field(default_factory=list)
    attempts: int = 0

    def send(self, message: OutgoingMessage, _sent_at: datetime, _accepted: Sequence[str]) -> Delivery:
        self.clock.at += _SEND_MS
        self.attempts += 1
        if (self.clock.at - _START) // 60_000 % 2:
            return Delivery(DeliveryKind.FAILED, "down")
        self.got.append(message.sequence)
        is_lost = self.attempts % 100 == 0
        return Delivery(DeliveryKind.UNKNOWN, "no answer") if is_lost else Delivery(DeliveryKind.DELIVERED)


def measure_notices(sizes: Sizes) -> Iterator[Row]:
    """Queue the notices, each with its entry in the ledger, and deliver all of them."""
    count = sizes.notices
    with (
        TemporaryDirectory() as folder,
        open_store(Path(folder) / "desk.db", endpoint="https://huggingface.co") as store,
    ):
        queued = _queue(store, count)
        clock = _VirtualClock()
        receiver, began = _Receiver(clock), time.process_time()
        _deliver(store, clock, receiver)
        cpu = time.process_time() - began
    arrived = list(dict.fromkeys(receiver.got))
    is_whole = arrived == list(range(1, count + 1)) and receiver.got == sorted(receiver.got)
    minutes = (clock.at - _START) / 60_000
    yield Row(
        "notices-order", f"{count:,} notices, the receiver is down every other minute",
        f"{len(arrived):,} arrived {'in order' if is_whole else 'OUT OF ORDER'} in {minutes:.0f} min of the virtual clock, {len(receiver.got) - len(arrived):,} twice",
        target="all, in order", is_met=is_whole,
    )  # fmt: skip
    yield Row(
        "notices-cost", "one notice: queued with its entry, then claimed, rendered and settled",
        f"{1000 * queued / count:.1f} and {1000 * cpu / max(1, receiver.attempts):.1f} ms CPU",
    )  # fmt: skip


def _queue(store: Store, count: int) -> float:
    notices.write_destinations(store, {"team": _MODES}, {"team": time_of_day(8)}, "UTC", _START)
    began = time.process_time()
    for _ in range(count):
        with store.writing() as write:
            write.append(None, [e.LedgerEntry(event=e.UnattendedStopped(), at=_START, actor="lena")])
    return time.process_time() - began


def _deliver(store: Store, clock: _VirtualClock, receiver: _Receiver) -> None:
    team = Destination(name="team", kind=ChannelKind.WEBHOOK, modes=_MODES)
    while (due := outbox.next_due(store, clock.at)) is not None:
        clock.at = max(clock.at, due)
        drain(store, [NoticeLane(store, team, lambda _: receiver, clock, UTC)], clock)
