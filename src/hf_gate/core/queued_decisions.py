"""Decisions of members: each stands in the change of a run, whether it waits, is being sent, or was sent."""

from __future__ import annotations

import msgspec
from msgspec.structs import asdict

from .changes import Change
from .outcomes import OutcomeKind
from .runs import UNFINISHED, ChangeState, RunState
from .stored_rows import ChangeRow, RunRow

_UNSENT = (ChangeState.PLANNED, ChangeState.STARTED, ChangeState.OPEN)


class QueuedChange(Change, frozen=True, kw_only=True):
    """The change of a decision, with what the person saw. `batch` is the act that it belongs to."""

    version: str = ""  # token of the version
    batch: str = ""
    note: str | None = None  # of an acceptance, for the team; until the decision is sent

    def replace_change(self, change: Change) -> QueuedChange:
        """Return another change for the same decision, without the note."""
        return QueuedChange(**(asdict(self) | asdict(change) | {"note": None}))


class QueuedDecision(msgspec.Struct, frozen=True):
    """One decision of a member: its run and its change. A waiting one has a run of its own; those sent together share
    one.
    """

    run: RunRow
    row: ChangeRow
    change: QueuedChange

    @property
    def request(self) -> int:
        """The number of its request; 0 if the personal data of the request was deleted."""
        return self.row.request or 0

    @property
    def verb(self) -> str:
        """The decision: accept, reset, reject or cancel."""
        return self.change.action

    @property
    def batch(self) -> str:
        """The name of the act that it belongs to."""
        return self.change.batch or self.run.id

    @property
    def is_being_sent(self) -> bool:
        """Whether its run has begun, and it has no outcome yet."""
        return self.run.state in UNFINISHED and self.row.state in _UNSENT

    @property
    def outcome(self) -> OutcomeKind | None:
        """Its outcome; None while it waits or is being sent."""
        if self.run.state is RunState.QUEUED or self.is_being_sent:
            return None
        if self.row.state is ChangeState.UNSENT:
            return OutcomeKind.REFUSED
        return OutcomeKind.OPEN if self.row.state in _UNSENT else OutcomeKind(self.row.state)


class KeyDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that another system sent: which request and batch of the tray it led to, or its outcome at once.

    `idempotency` and `body` are digests of the Idempotency-Key, and of it and the body.
    """

    key: str
    idempotency: str
    body: str
    at: int  # ms
    request_id: int = 0
    batch: str = ""
    outcome: str | None = None
    why: str = ""


class KeyDecisionRepeated(Exception):
    """Another call with the same Idempotency-Key was faster."""
