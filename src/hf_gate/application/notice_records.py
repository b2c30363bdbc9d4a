"""The records of destinations and messages of notices, for commands and the desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from ..domain.notices import Destination, LaneCount, MessageState, OutboxRow, describe_item, subject_of
from ..domain.timestamps import ms_to_iso
from .notifications import describe_place
from .records import Count, Record, Time


class DestinationRecord(Record, frozen=True, kw_only=True):
    """A destination of notices, with the numbers of its messages."""

    name: str
    is_on: Annotated[bool, Meta(description="whether hf-gate.yaml names it")]
    kind: str | None
    place: Annotated[str | None, Meta(description="where it is, without secrets")]
    waiting: Count
    oldest_at: Time | None
    collecting: Annotated[Count, Meta(description="lines of the next digest")]
    dead: Count


class MessageRecord(Record, frozen=True, kw_only=True):
    """A message to one destination."""

    id: str
    destination: str
    sequence: Count
    state: str
    subject: str
    lines: Annotated[tuple[str, ...], Meta(description="its text without names")]
    is_alarm: bool
    made_at: Time
    attempts: Count
    tried_at: Time | None
    next_at: Annotated[
        Time | None, Meta(description="when it is tried next; null if it died, or waits behind an older message")
    ]
    outcome: Annotated[str | None, Meta(description="of the last attempt: delivered, failed, unknown, refused")]
    problem: str | None


def destination_record(destination: Destination | str, count: LaneCount) -> DestinationRecord:
    """Return the record of a destination; it is only a name if hf-gate.yaml does not name it."""
    known = destination if isinstance(destination, Destination) else None
    return DestinationRecord(
        name=count.destination,
        is_on=known is not None,
        kind=None if known is None else known.kind.value,
        place=None if known is None else describe_place(known),
        waiting=count.waiting,
        oldest_at=ms_to_iso(count.oldest_at),
        collecting=count.collecting,
        dead=count.dead,
    )


def message_record(row: OutboxRow, next_at: int | None) -> MessageRecord:
    """Return the record of a message. `next_at` is when it is tried next (ms)."""
    return MessageRecord(
        id=row.id,
        destination=row.destination,
        sequence=row.sequence,
        state=row.state.value,
        subject=subject_of(row.items),
        lines=tuple(map(describe_item, row.items)),
        is_alarm=row.is_alarm,
        made_at=ms_to_iso(row.made_at),
        attempts=row.attempts,
        tried_at=ms_to_iso(row.tried_at),
        next_at=ms_to_iso(next_at),
        outcome=None if row.outcome is None else row.outcome.value,
        problem=row.problem,
    )


def describe_next_attempt(message: MessageRecord, now: datetime, format_moment: Callable[[datetime], str]) -> str:
    """Return when an undelivered message is tried next; empty for a dead letter."""
    if message.state == MessageState.DEAD:
        return ""
    if message.next_at is None:
        return "after the message before it"
    moment = datetime.fromisoformat(message.next_at)
    return "at the next turn" if moment <= now else format_moment(moment)
