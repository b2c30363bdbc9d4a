"""Earlier ends of access that wait for a person: lists them, and moves those that one person
confirms, or two people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from hf_gate.approvals.rows.approvals import delete_endorsed_ends, read_endorsers
from hf_gate.approvals.service.quorum_rules import read_quorum_rules
from hf_gate.base.display_text import join_words
from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.errors import Guarded
from hf_gate.members.service.members import ActQuorum, Team, compute_ends_quorum
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.service.policy_bundle import PolicyBundle

from .end_moves import SHORTEN_AHEAD, EndMove
from .end_reviews import review_ends
from .grant_ends import record_moves, require_right_clock, store_held_ends

AGREE_TASK: Final = "open Ends of access in the desk, or run hf-gate ends confirm,"


def list_held_moves(workspace: Workspace, bundle: PolicyBundle, now: datetime) -> list[EndMove]:
    """Return the moves to an earlier end, those that end access first at the top. Nothing is written."""
    return sorted(review_ends(workspace, bundle, now).earlier, key=lambda move: (move.new_end or 0, move.row.id))


def digest_of_moves(moves: Sequence[EndMove]) -> str:
    """Return what tells these moves from others. The new dates count by day, because some count from now."""
    return _digest(moves, lambda until: until // DAY_MS)[:16]


def digest_to_endorse(moves: Sequence[EndMove], now: datetime) -> str:
    """Return the digest of moves for endorsements. A date that is 7 days ahead stays the same although days pass."""
    soonest = to_ms(now + SHORTEN_AHEAD)
    by_row = sorted(moves, key=lambda move: move.row.id)
    return _digest(by_row, lambda until: None if until <= soonest else until)


def _digest(moves: Sequence[EndMove], simplify: Callable[[int], int | None]) -> str:
    """Return a digest of moves with simplified dates (ms)."""
    seen = [
        [
            move.row.id,
            move.row.version.token,
            move.row.state.ends_at,
            list(move.kinds),
            None if move.event.until is None else simplify(move.event.until),
        ]
        for move in moves
    ]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def compute_held_quorum(
    workspace: Workspace, bundle: PolicyBundle, team: Team, moves: Sequence[EndMove], now: datetime
) -> ActQuorum:
    """Return whether two people must agree to these ends, because of their number or of a policy, and
    whether two have.
    """
    rules = read_quorum_rules(workspace, lambda: bundle)
    double = sorted({str(move.row.repo) for move in moves if rules.is_two_person_repo(move.row.repo)})
    rule = f"The policies of {join_words(double[:3], 'and')} ask for two people." if double else ""
    agreed = read_endorsers(workspace.store, digest_to_endorse(moves, now))
    return compute_ends_quorum(workspace.store, team, len(moves), now, rule=rule, approvers=agreed)


def confirm_moves(
    workspace: Workspace, bundle: PolicyBundle, team: Team, moves: Sequence[EndMove], actor: str, now: datetime
) -> None:
    """Move these ends. Raises Guarded if a second person must agree first, or if the clock is wrong."""
    if moves:
        require_right_clock(workspace.hub, moves[0].row.repo)
        quorum = compute_held_quorum(workspace, bundle, team, moves, now)
        if quorum.is_open:
            raise Guarded(f"{quorum.why} A second person has to agree first.", hint=team.describe_next_step(AGREE_TASK))
        record_moves(workspace.store, moves, actor=actor, at=to_ms(now))
        with workspace.store.writing() as write:
            delete_endorsed_ends(write)
    store_held_ends(workspace.store, 0)
