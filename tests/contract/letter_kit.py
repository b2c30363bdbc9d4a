"""A mail server for letters that answers as a test says, and whose sender can be killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from hypothesis import strategies as st

from hf_gate.domain.letters import LetterText
from hf_gate.domain.notices import Delivery, DeliveryKind


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
