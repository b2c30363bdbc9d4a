"""The lifecycle of an access request as a table: each change of status, its actor and its Hub call."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Status(StrEnum):
    """The four lists of a gated repo. Any other status is stored as plain text, and such requests are never decided."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RESET = "reset"


STATUSES: tuple[Status, ...] = tuple(Status)

STATUS_OF: Final = {status.value: status for status in Status}
"""The statuses by their names."""

ANSWERS: Final = frozenset({Status.ACCEPTED, Status.REJECTED, Status.RESET})
"""The statuses that answer a request."""

WITHDRAWN: Final = "withdrawn"
"""The status of a request that is no longer in any of the Hub's lists."""


class Actor(StrEnum):
    """The side that changes a request."""

    REQUESTER = "requester"
    REVIEWER = "reviewer"


class Move(NamedTuple):
    """One allowed change of status. `before` or `after` is None if there is no request."""

    before: Status | None
    verb: str
    actor: Actor
    call: str
    after: Status | None


_P = Status.PENDING
_A = Status.ACCEPTED
_R = Status.REJECTED
_Z = Status.RESET
_ASK = Actor.REQUESTER
_REVIEW = Actor.REVIEWER

# Sources: the Hub's transition table (recorded exchanges), its OpenAPI document and "Review access requests" in
# hub-docs.
MOVES: tuple[Move, ...] = (
    Move(None, "ask", _ASK, "ask-access", _P),  # in auto mode: accepted at once
    Move(_Z, "ask", _ASK, "ask-access", _P),  # a new attempt with a new time
    Move(_P, "withdraw", _ASK, "cancel", None),
    Move(None, "grant", _REVIEW, "grant", _A),
    Move(_P, "grant", _REVIEW, "grant", _A),
    Move(_R, "grant", _REVIEW, "grant", _A),
    Move(_Z, "grant", _REVIEW, "grant", _A),
    Move(_P, "accept", _REVIEW, "handle", _A),
    Move(_R, "accept", _REVIEW, "handle", _A),
    Move(_Z, "accept", _REVIEW, "handle", _A),
    Move(_P, "reject", _REVIEW, "handle", _R),
    Move(_A, "reject", _REVIEW, "handle", _R),
    Move(_Z, "reject", _REVIEW, "handle", _R),
    Move(_A, "cancel", _REVIEW, "handle", _P),
    Move(_R, "cancel", _REVIEW, "handle", _P),
    Move(_Z, "cancel", _REVIEW, "handle", _P),
    Move(_P, "reset", _REVIEW, "handle", _Z),
    Move(_A, "reset", _REVIEW, "handle", _Z),
    Move(_R, "reset", _REVIEW, "handle", _Z),
)

# The status after each verb of a reviewer. `revoke` is another name for reset, reject or cancel.
STATUS_AFTER_VERB: dict[str, Status] = {"accept": _A, "reject": _R, "cancel": _P, "reset": _Z, "grant": _A}

# Verbs with a reason that the person gets to see.
VERBS_WITH_REASON = frozenset({"reject", "reset"})

ACCEPT: Final = "accept"
VERBS: Final = (ACCEPT, "reset", "cancel", "reject")
"""The verbs that a person can use at the desk, in the order of their buttons."""

# The verb that sets each status. People without a request are granted access instead.
VERB_FOR_STATUS: dict[str, str] = {_A: "accept", _R: "reject", _P: "cancel", _Z: "reset"}

_LABELS: Final = {
    "accept": "Accept",
    "human": "Needs review",
    "wait": "On hold",
    "reset": "Send back",
    "reject": "Reject",
    "cancel": "Return to pending",
}

AT_END: dict[str, str] = {"reset": "sent back", "reject": "rejected"}
"""What happens to a person when access ends."""


def label_action(action: str) -> str:
    """Return what people call a verdict or a verb: `Send back` for `reset`. An unknown one is shown as it is."""
    return _LABELS.get(action, action)


# What each status means for the requester.
MEANING: dict[Status, str] = {
    _P: "waiting for review; no files",
    _A: "may download the files",
    _R: "no files, and cannot ask again",
    _Z: "no files, and may ask again",
}
