"""Outboxes of notices and letters, and a mail server for letters that answers as a test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time

from hypothesis import strategies as st

from hf_gate.core.events import events as e
from hf_gate.core.letters.letters import LetterText
from hf_gate.core.letters.messages import Delivery, DeliveryKind, MessageState, OutboxRow
from hf_gate.core.letters.notices import NoticeEvent, NoticeItem, NoticeMode
from hf_gate.messages.records import MessageRecord
from hf_gate.messages.rows import notices, outbox
from hf_gate.messages.rows.outbox import read_messages
from hf_gate.messages.service.message_records import list_messages, mark_messages_sent, retry_messages
from hf_gate.messages.service.message_sending import DrainResult, LetterLane, drain
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from tests.kits.faulty_stores import KilledError


@dataclass
class LetterServer:
    """A mail server. `answers`: how the next sendings end, and whether the letter arrives; then all are delivered."""

    answers: list[tuple[DeliveryKind | None, bool]] = field(default_factory=list)
    arrived: Counter[str] = field(default_factory=Counter)
    to: list[str] = field(default_factory=list)
    texts: list[LetterText] = field(default_factory=list)
    on_send: Callable[[], object] = lambda: None

    def send(self, ident: str, to: str, text: LetterText, sent_at: datetime) -> Delivery:
        assert text.subject
        assert sent_at.tzinfo is not None
        self.on_send()
        kind, arrives = self.answers.pop(0) if self.answers else (DeliveryKind.DELIVERED, True)
        if arrives:
            self.arrived[ident] += 1
            self.to.append(to)
            self.texts.append(text)
        if kind is None:
            raise KilledError
        return Delivery(kind, "" if kind is DeliveryKind.DELIVERED else "no")


ENDINGS = st.sampled_from(
    [
        (DeliveryKind.DELIVERED, True),
        (DeliveryKind.FAILED, False),
        (DeliveryKind.REFUSED, False),
        (DeliveryKind.UNKNOWN, True),
        (DeliveryKind.UNKNOWN, False),
        (None, True),
        (None, False),
    ]
)


def send_letters(workspace: Workspace, post: LetterServer) -> DrainResult:
    """Send the letters that are due through this server, as a turn does."""
    return drain(workspace.store, [LetterLane(workspace, post)], workspace.clock)


def list_letters(store: Store, states: Collection[MessageState], limit: int) -> list[OutboxRow]:
    """The letters in these states, the newest first."""
    return read_messages(store, states, limit, letters=True)


def list_open(workspace: Workspace, limit: int) -> list[MessageRecord]:
    """The letters that failed or have an unknown outcome."""
    return [one for one in list_messages(workspace, limit, is_letter=True) if one.state != MessageState.WAITING]


def mark_letters(workspace: Workspace, idents: Sequence[str], state: MessageState, actor: str) -> list[str]:
    """A person sends letters again, or says that they were sent. Returns the ids of those that changed."""
    if state is MessageState.WAITING:
        return retry_messages(workspace, idents)
    return mark_messages_sent(workspace, idents, actor)


# ---- notices ---------------------------------------------------------------------------------------------------------

T0 = 1_790_000_000_000
EVERYTHING = dict.fromkeys(NoticeEvent, NoticeMode.IMMEDIATE) | {NoticeEvent.AUDIT_LOG: NoticeMode.OFF}


def turn_on_destinations(
    store: Store, names: Sequence[str] = ("a",), modes: Mapping[NoticeEvent, NoticeMode] = EVERYTHING, at: int = T0
) -> None:
    """These destinations are on since a time (ms), and no other."""
    notices.write_destinations(store, dict.fromkeys(names, modes), dict.fromkeys(names, time(8)), "UTC", at)


def append_notice_event(store: Store, at: int) -> None:
    """Something happens that is told at once."""
    with store.writing() as write:
        write.append(None, [e.LedgerEntry(event=e.UnattendedStopped(), at=at, actor="lena")])


def list_notice_items(store: Store) -> list[NoticeItem]:
    """The items of all messages, the oldest first."""
    rows = outbox.read_messages(store, list(MessageState), 1000)
    return [item for row in sorted(rows, key=lambda row: row.sequence or 0) for item in row.items]


def leave_dead_letters(store: Store, problems: Sequence[str]) -> None:
    """A destination refused messages for these reasons; one more waits."""
    turn_on_destinations(store, ["team"])
    for problem in problems:
        append_notice_event(store, T0)
        row = outbox.claim_notice(store, "team", "w", T0)
        assert row is not None
        outbox.settle_message(store, row, "w", Delivery(DeliveryKind.REFUSED, problem), T0)
    append_notice_event(store, T0)
