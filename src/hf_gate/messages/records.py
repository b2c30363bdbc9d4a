"""Output records of the outbox: messages, destinations, samples of letters, and what a command did with them."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from hf_gate.core.letters.messages import DEAD, DeliveryKind
from hf_gate.core.records import Count, Record, Time

_TO_APPLICANTS: Final = "null unless the letter waits"


class MessageRecord(Record, frozen=True, kw_only=True):
    """A message to the staff, or a letter to an applicant."""

    id: str
    kind: Annotated[str, Meta(description="notice, or the kind of a letter")]
    state: str
    destination: Annotated[str | None, Meta(description="of a notice; null for letters")]
    sequence: Annotated[Count | None, Meta(description="of a notice, in the order of its destination")]
    is_alarm: bool
    repo: Annotated[str | None, Meta(description="of a letter, as the next four")]
    repo_type: str | None
    user: str | None
    user_id: str | None
    email: Annotated[str | None, Meta(description=f"the account's address; {_TO_APPLICANTS}")]
    subject: Annotated[str | None, Meta(description=f"of a letter: {_TO_APPLICANTS}")]
    text: Annotated[str | None, Meta(description=f"of a notice: without names; of a letter: {_TO_APPLICANTS}")]
    made_at: Time
    attempts: Count
    tried_at: Time | None
    next_at: Annotated[
        Time | None, Meta(description="when it is tried next; null if it is not, or waits behind an older message")
    ]
    outcome: Annotated[str | None, Meta(description="of the last attempt: delivered, failed, unknown, refused")]
    problem: str | None

    @property
    def is_dead(self) -> bool:
        """Whether a person decides about it."""
        return self.state in DEAD


class DestinationRecord(Record, frozen=True, kw_only=True):
    """A destination of notices, or the letters to applicants, with the numbers of its messages."""

    name: Annotated[str | None, Meta(description="null: letters to applicants")]
    is_on: Annotated[bool, Meta(description="whether hf-gate.yaml names it")]
    kind: str | None
    place: Annotated[str | None, Meta(description="where it is, without secrets")]
    waiting: Count
    oldest_at: Time | None
    late: Annotated[Count, Meta(description="those whose last attempt failed, or that should have been sent long ago")]
    late_since: Time | None
    problem: Annotated[str | None, Meta(description="of the last attempt of a late one")]
    collecting: Annotated[Count, Meta(description="lines of the next digest")]
    dead: Annotated[Count, Meta(description="that a person must send again: failed, bounced and unknown ones")]


class SampleRecord(Record, frozen=True, kw_only=True):
    """A text of a kind of letter with invented values."""

    kind: str
    subject: str
    text: str


class PreviewRecord(Record, frozen=True, kw_only=True):
    """Where notices go, the texts of letters, and the letters that would be sent now."""

    destinations: list[DestinationRecord]
    sends_letters: bool
    samples: list[SampleRecord]
    due: list[MessageRecord]


class NoticeTestRecord(Record, frozen=True, kw_only=True):
    """What became of a test notice at one destination."""

    destination: str
    outcome: DeliveryKind
    problem: str | None


class NoticeTestsRecord(Record, frozen=True, kw_only=True):
    """What became of the test notices."""

    ok: bool
    results: list[NoticeTestRecord]


class ChangedMessagesRecord(Record, frozen=True, kw_only=True):
    """The ids of messages that are sent again, or that a person marked as sent."""

    messages: list[str]
