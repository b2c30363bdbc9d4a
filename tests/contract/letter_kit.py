"""A mail server for letters that answers as a test says, and whose sender can be killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hypothesis import strategies as st

from hf_gate.application.message_records import MessageRecord, list_messages, mark_messages_sent, retry_messages
from hf_gate.application.message_sending import DrainResult, LetterLane, drain
from hf_gate.application.workspace import Workspace
from hf_gate.domain.letters import LetterText
from hf_gate.domain.messages import Delivery, DeliveryKind, MessageState, OutboxRow
from hf_gate.store.outbox import MarkedMessages, read_messages
from hf_gate.store.store import Store


class KilledError(BaseException):
    """The process dies here."""


@dataclass
class Post:
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


def send_letters(workspace: Workspace, post: Post) -> DrainResult:
    """Send the letters that are due through this server, as a turn does."""
    return drain(workspace.store, [LetterLane(workspace, post)], workspace.clock)


def list_letters(store: Store, states: Collection[MessageState], limit: int) -> list[OutboxRow]:
    """The letters in these states, the newest first."""
    return read_messages(store, states, limit, letters=True)


def list_open(workspace: Workspace, limit: int) -> list[MessageRecord]:
    """The letters that failed or have an unknown outcome."""
    return [one for one in list_messages(workspace, limit, is_letter=True) if one.state != MessageState.WAITING]


def mark_letters(workspace: Workspace, idents: Sequence[str], state: MessageState, actor: str) -> MarkedMessages:
    """A person sends letters again, or says that they were sent."""
    if state is MessageState.WAITING:
        return MarkedMessages(retry_messages(workspace, idents), 0)
    return mark_messages_sent(workspace, idents, actor)
