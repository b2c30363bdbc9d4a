"""Earlier ends of access that wait for a person: lists them, and moves those that a person confirms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from ..domain.timestamps import DAY_MS, to_ms
from .end_moves import EndMove
from .end_reviews import review_ends
from .grant_ends import record_moves, require_right_clock, store_held_ends
from .policy_bundle import PolicyBundle
from .workspace import Workspace


def list_held_moves(workspace: Workspace, bundle: PolicyBundle, now: datetime) -> list[EndMove]:
    """Return the moves to an earlier end, those that end access first at the top. Nothing is written."""
    return sorted(review_ends(workspace, bundle, now).earlier, key=lambda move: (move.new_end or 0, move.row.id))


def digest_of_moves(moves: Sequence[EndMove]) -> str:
    """Return what tells these moves from others. The new dates count by day, because some count from now."""
    seen = [
        [
            move.row.id,
            move.row.version.token,
            move.row.state.ends_at,
            list(move.kinds),
            None if move.event.until is None else move.event.until // DAY_MS,
        ]
        for move in moves
    ]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def confirm_moves(workspace: Workspace, moves: Sequence[EndMove], actor: str, now: datetime, *, left: int = 0) -> None:
    """Move these ends. `left` is how many others still wait. Raises Guarded if the clock is wrong."""
    if moves:
        require_right_clock(workspace.hub, moves[0].row.repo)
        record_moves(workspace.store, moves, actor=actor, at=to_ms(now))
    store_held_ends(workspace.store, left)
