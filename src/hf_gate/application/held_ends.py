"""Earlier ends of access that wait for a person: lists them, and moves those that one person confirms, or two people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from ..decoding import decode_json
from ..domain import events as e
from ..domain.display_text import join_words
from ..domain.members import Member
from ..domain.timestamps import DAY_MS, to_ms
from ..errors import Guarded
from ..store.store import Store
from . import setting_keys
from .approval_needs import read_needs
from .end_moves import SHORTEN_AHEAD, EndMove
from .end_reviews import review_ends
from .grant_ends import record_moves, require_right_clock, store_held_ends
from .members import ApprovalNeed, Team, compute_ends_need
from .policy_bundle import PolicyBundle
from .workspace import Workspace

AGREE_TASK: Final = "open Ends of access in the desk, or run hf-gate ends confirm,"


def list_held_moves(workspace: Workspace, bundle: PolicyBundle, now: datetime) -> list[EndMove]:
    """Return the moves to an earlier end, those that end access first at the top. Nothing is written."""
    return sorted(review_ends(workspace, bundle, now).earlier, key=lambda move: (move.new_end or 0, move.row.id))


def digest_of_moves(moves: Sequence[EndMove]) -> str:
    """Return what tells these moves from others. The new dates count by day, because some count from now."""
    return _digest(moves, lambda until: until // DAY_MS)[:16]


class EndsAgreement(msgspec.Struct, frozen=True):
    """Who agreed to held ends: account ids and names. `moves` is the digest of these ends."""

    moves: str
    accounts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def read_agreement(store: Store, moves: Sequence[EndMove], now: datetime) -> EndsAgreement:
    """Return who agreed to exactly these ends; an agreement to other ends does not count."""
    digest, text = _digest_to_agree(moves, now), store.setting(setting_keys.AGREED_ENDS)
    known = None if text is None else decode_json(text, EndsAgreement)
    return known if known is not None and known.moves == digest else EndsAgreement(digest)


def _digest_to_agree(moves: Sequence[EndMove], now: datetime) -> str:
    """Return the digest of moves for agreements. A date that is 7 days ahead stays the same although days pass."""
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


def compute_held_need(
    workspace: Workspace, bundle: PolicyBundle, team: Team, moves: Sequence[EndMove], now: datetime
) -> ApprovalNeed:
    """Return whether two people must agree to these ends, because of their number or of a policy, and whether two have."""
    needs = read_needs(workspace, lambda: bundle)
    double = sorted({str(move.row.repo) for move in moves if needs.is_two_person_repo(move.row.repo)})
    rule = f"The policies of {join_words(double[:3], 'and')} ask for two people." if double else ""
    agreed = read_agreement(workspace.store, moves, now).accounts
    return compute_ends_need(workspace.store, team, len(moves), now, rule=rule, approvers=agreed)


def record_agreement(workspace: Workspace, moves: Sequence[EndMove], me: Member, actor: str, now: datetime) -> None:
    """Record that a person agreed to these ends. Raises Guarded if the Hub account of the person is not proven."""
    account = me.proven_account
    if account is None:
        raise Guarded(
            "Your account is not proven, so you do not count as one of the two.", hint="Open Settings and prove it."
        )
    with workspace.store.writing() as write:
        known = read_agreement(workspace.store, moves, now)  # read again: another person may have agreed since
        if account in known.accounts:
            return
        agreed = EndsAgreement(known.moves, (*known.accounts, account), (*known.names, me.name))
        write.write_setting(setting_keys.AGREED_ENDS, msgspec.json.encode(agreed).decode())
        event = e.PlanAgreed(plan=known.moves, changes=len(moves), account=account, of="ends")
        write.append(None, [e.LedgerEntry(event=event, at=to_ms(now), actor=actor)])


def confirm_moves(
    workspace: Workspace, bundle: PolicyBundle, team: Team, moves: Sequence[EndMove], actor: str, now: datetime
) -> None:
    """Move these ends. Raises Guarded if a second person must agree first, or if the clock is wrong."""
    if moves:
        require_right_clock(workspace.hub, moves[0].row.repo)
        need = compute_held_need(workspace, bundle, team, moves, now)
        if need.is_open:
            raise Guarded(f"{need.why} A second person has to agree first.", hint=team.describe_next_step(AGREE_TASK))
        record_moves(workspace.store, moves, actor=actor, at=to_ms(now))
    store_held_ends(workspace.store, 0)
    if workspace.store.setting(setting_keys.AGREED_ENDS) is not None:
        with workspace.store.writing() as write:
            write.write_setting(setting_keys.AGREED_ENDS, None)
