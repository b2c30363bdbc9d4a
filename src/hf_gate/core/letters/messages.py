"""Messages in the outbox: their states, what each kind promises, and when a delivery is tried again.

A notice to the staff is sent at least once, and in the order of its destination. A letter to an applicant is sent at
most once, and has no order. `messages/rows/outbox.py` stores both, `messages/service/message_sending.py` sends them.

1. A message is written in the transaction of what it tells. A destination gets nothing from before it was turned on.
   For one that follows the audit log, its position there is written in that of the message; the entries are stored.
2. It leaves the state `waiting` in a transaction that ends before it is sent. Only one process can do that.
3. Only the oldest open notice of a destination can be sent. If its process dies, the next one sends it again, with the
   same id.
4. A letter whose outcome is unknown, or whose process died, is `unknown`. It is sent again only if a person says so.
5. A letter waits again only if nothing arrived. It goes only to the account's e-mail address as the Hub gave it.
6. A message that the receiver refused is dead at once, and the next one is sent.
7. A message that did not arrive is removed only by a person or an erasure; a letter also by time.
8. No letter is sent while unattended work is stopped.
9. Sending ends after a bounded time, whatever the receivers do. It never fails a turn.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from hf_gate.base.timestamps import DAY_MS, HOUR_MS
from hf_gate.core.state_table import StateTable

from .notices import NoticeItem

NOTICE: Final = "notice"
"""The kind of a message to the staff. The other kinds are those of letters."""
APPLICANTS: Final = ""
"""The destination of letters. Each goes to the person of its request."""
FIRST_WAIT_MS: Final = 10_000
LONGEST_WAIT_MS: Final = 12 * HOUR_MS
LONGEST_ALARM_WAIT_MS: Final = 5 * 60_000
GIVE_UP_MS: Final = 7 * DAY_MS
"""After this time without success, a notice has failed."""
MAX_ATTEMPTS: Final = 12
"""After so many attempts without success, a letter has failed."""
PATIENCE_MS: Final = HOUR_MS
"""After this time, a message that waits is a problem for people: greylisting and short outages end earlier."""


class MessageState(StrEnum):
    """The state of a message. `sending`: an intent is stored; a process holds its lease, or died with it."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    MARKED = "marked_sent"  # a person said so
    UNKNOWN = "unknown"  # a letter that may have arrived; it is never sent again by itself
    BOUNCED = "bounced"  # the receiver refused it
    FAILED = "failed"  # it did not arrive, and is not tried again
    DROPPED = "dropped"  # a letter that was not sent, because it no longer applies or a limit was reached


OPEN: Final = (MessageState.WAITING, MessageState.SENDING)
DEAD: Final = (MessageState.UNKNOWN, MessageState.BOUNCED, MessageState.FAILED)
"""The states of messages about which a person decides."""


class MessageEvent(StrEnum):
    """What happens to a message."""

    CLAIM = "claim"  # a process stores the intent to send it
    DELIVER = "deliver"
    REFUSE = "refuse"  # the receiver does not want it
    LOSE = "lose"  # nobody knows whether a letter arrived
    RETRY = "retry"  # nothing arrived; it is tried again
    GIVE_UP = "give up"  # nothing arrived after all attempts, or its destination was turned off
    DROP = "drop"  # the letter no longer applies
    REQUEUE = "requeue"  # a person has it sent again
    MARK = "mark"  # a person says that it was sent


MESSAGE_STATES: Final = StateTable[MessageState, MessageEvent](
    "message",
    {
        MessageEvent.CLAIM: dict.fromkeys(OPEN, MessageState.SENDING),  # a notice also after its process died
        MessageEvent.DELIVER: {MessageState.SENDING: MessageState.SENT},
        MessageEvent.REFUSE: {MessageState.SENDING: MessageState.BOUNCED},
        MessageEvent.LOSE: dict.fromkeys(OPEN, MessageState.UNKNOWN),  # also when a store is restored
        MessageEvent.RETRY: {MessageState.SENDING: MessageState.WAITING},
        MessageEvent.GIVE_UP: dict.fromkeys(OPEN, MessageState.FAILED),
        MessageEvent.DROP: {MessageState.WAITING: MessageState.DROPPED},
        MessageEvent.REQUEUE: dict.fromkeys(DEAD, MessageState.WAITING),
        MessageEvent.MARK: dict.fromkeys((MessageState.WAITING, *DEAD), MessageState.MARKED),
    },
)


class DeliveryKind(StrEnum):
    """How an attempt ended.

    `failed`: nothing arrived. `unknown`: it may have arrived. `refused`: the receiver does not want this message.
    """

    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Delivery(NamedTuple):
    """The result of one attempt. `accepted` has the digests of the recipients who have the message now."""

    kind: DeliveryKind
    problem: str = ""
    accepted: tuple[str, ...] = ()


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message to one receiver. Times are in ms.

    A notice has items and its place in the order of its destination. A letter has a request, a person and a key: the
    rule, or the end that is near.
    """

    id: str  # receivers see it
    kind: str
    destination: str
    state: MessageState
    made_at: int
    queued_at: int  # when it was made, or put back into the queue
    next_at: int
    attempts: int
    tried_at: int | None
    ended_at: int | None
    outcome: DeliveryKind | None  # of the last attempt
    problem: str | None
    sequence: int | None
    items: tuple[NoticeItem, ...]
    is_alarm: bool
    accepted: tuple[str, ...]  # digests of the recipients that have it
    request_id: int | None
    person_id: int | None
    key: str

    @property
    def is_letter(self) -> bool:
        """Whether it is sent at most once, and has no order."""
        return self.kind != NOTICE

    def event_after(self, result: DeliveryKind, now: int) -> MessageEvent:
        """Return what an attempt means for the message."""
        if result is DeliveryKind.DELIVERED:
            return MessageEvent.DELIVER
        if result is DeliveryKind.REFUSED:
            return MessageEvent.REFUSE
        if self.is_letter and result is DeliveryKind.UNKNOWN:
            return MessageEvent.LOSE
        is_over = self.attempts >= MAX_ATTEMPTS if self.is_letter else now - self.queued_at >= GIVE_UP_MS
        return MessageEvent.GIVE_UP if is_over else MessageEvent.RETRY


def retry_wait(attempts: int, *, is_alarm: bool) -> int:
    """Return how long (ms) to wait after so many attempts: three times longer each time, up to a limit."""
    longest = LONGEST_ALARM_WAIT_MS if is_alarm else LONGEST_WAIT_MS
    return min(longest, FIRST_WAIT_MS * int(3 ** min(max(attempts, 1) - 1, 9)))


class LaneCount(NamedTuple):
    """The numbers of a destination. `late`: the open messages that were tried in vain, or that are due for long."""

    destination: str
    waiting: int = 0
    oldest_at: int | None = None
    late: int = 0
    late_since: int | None = None
    problem: str | None = None  # of the last attempt of a late one
    dead: int = 0
    collecting: int = 0  # lines of the next digest
