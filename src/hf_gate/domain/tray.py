"""A decision in the tray: taken by a person, not sent yet; and what a request looked like to whoever took it."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from .events import canonical
from .rows import RequestRow
from .state import answers_digest

VERBS: Final = ("accept", "reset", "reject", "cancel")
"""What a person can decide at the desk."""


class QueuedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. `leaves_at` None: it stays until somebody sends it. `outcome` None: it has not ended yet.

    `until`: when an acceptance ends, as rules write it. `member`: the own id of the member who decided.
    """

    id: int
    request: int
    ground: str
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


def ground_of(row: RequestRow) -> str:
    """What a decision about a request rests on, in 16 hex digits: another attempt, status or answer makes it another."""
    state = row.state
    answers = "" if row.request is None else answers_digest(row.request)
    parts = [row.id, state.status, state.asked_at, state.moved_at, state.reviewed_at, answers]
    return hashlib.blake2b(canonical(parts), digest_size=8).hexdigest()
