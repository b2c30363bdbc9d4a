"""A decision in the tray: taken by a person, not sent yet."""

from __future__ import annotations

from typing import Final

import msgspec

VERBS: Final = ("accept", "reset", "reject", "cancel")
"""What a person can decide at the desk."""


class QueuedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. `leaves_at` None: it stays until somebody sends it. `outcome` None: it has not ended yet.

    `until`: when an acceptance ends, as rules write it. `member`: the own id of the member who decided.
    """

    id: int
    request: int
    version: str  # the token of what the request looked like to whoever decided
    verb: str
    reason: str | None
    actor: str
    batch: str
    made_at: int  # ms
    leaves_at: int | None  # ms
    run: str | None = None
    outcome: str | None = None
    why: str | None = None
    ended_at: int | None = None  # ms
    until: str | None = None
    member: str | None = None
