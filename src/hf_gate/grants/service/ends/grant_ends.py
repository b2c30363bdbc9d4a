"""Moves the ends of grants and records notices. The guard of ends limits how many sudden ends a turn carries out.

`core/people/grants.py` says what may happen to an end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from msgspec import Struct, field

from hf_gate.approvals.rows.approvals import delete_approvals
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import describe_clock_skew, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.ports import HubPort
from hf_gate.core.stored_rows import RequestRow, entry_about
from hf_gate.errors import Guarded, HfGateError
from hf_gate.hub.protocol.clock_skew import is_clock_off
from hf_gate.settings import setting_keys
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.verdicts.service.policy_bundle import PolicyBundle

from .end_moves import EndMove
from .end_reviews import ChangedEnds


class EndRefresh(Struct):
    """What a turn did with the ends: moves by kind, and recorded notices."""

    counts: Mapping[str, int] = field(default_factory=dict)
    noticed: int = 0
    undecided: frozenset[int] = frozenset()
    reviewed: int = 0  # grants; nothing changed for the others


def refresh_ends(workspace: Workspace, bundle: PolicyBundle, now: datetime, *, is_full: bool = False) -> EndRefresh:
    """Move the ends of all grants and record due notices.

    Only grants for which something changed are reviewed, unless `is_full`.
    Before an end moves to an earlier time, the clock is compared with the Hub's. If it is too far off, nothing moves;
    if it cannot be compared, those ends stay and wait.
    """
    store = workspace.store
    ends = ChangedEnds(workspace, bundle, now, is_full=is_full)
    review = ends.review()
    shortening = [move for move in review.moves if move.can_shorten]
    skew = fetch_skew(workspace.hub, shortening[0].row.repo) if shortening else 0.0
    if is_clock_off(skew):
        return EndRefresh()
    undecided = frozenset(review.undecided)
    waiting = {move.row.id for move in shortening} if skew is None else set()
    if skew is None:
        due = ((move.row.id, move.row.state.ends_at) for move in shortening)
        undecided |= {row_id for row_id, end in due if end is not None and end <= to_ms(now)}
    moves = [move for move in review.moves if move.row.id not in waiting]
    notices = [(row, event) for row, event in review.notices if row.id not in waiting]
    _record_moves(store, moves, notices, to_ms(now))
    ends.save()
    return EndRefresh(_count_kinds(moves), len(notices), undecided, review.reviewed)


def fetch_skew(hub: HubPort, repo: Repo) -> float | None:
    """Return how many seconds the Hub's clock is ahead, by one call if none has been made yet; None if unknown."""
    if hub.skew is None:
        with suppress(HfGateError):
            hub.gate(repo)  # any answer contains the Hub's time
    return hub.skew


def require_right_clock(hub: HubPort, repo: Repo, *, may_be_unknown: bool = False) -> None:
    """Raise Guarded if this machine's clock is too far from the Hub's, or if the Hub does not answer."""
    skew = fetch_skew(hub, repo)
    if skew is None and not may_be_unknown:
        raise Guarded("This machine's clock cannot be compared with the Hub's.", hint="Try again when the Hub answers.")
    if skew is not None and is_clock_off(skew):
        raise Guarded(f"This machine's {describe_clock_skew(skew)}.", hint="Correct the clock, then try again.")


def store_skew(store: Store, skew: float | None) -> None:
    """Store how far the clock is off if no grant ends for that reason; None if it is right."""
    text = None if skew is None else str(round(skew))
    if text != store.setting(setting_keys.CLOCK_SKEW):
        with store.writing() as write:
            write.write_setting(setting_keys.CLOCK_SKEW, text)


def clock_note(store: Store) -> str:
    """Return that the last turn ended no grant because the clock is wrong, and what to do; "" if it was right."""
    text = store.setting(setting_keys.CLOCK_SKEW)
    return (
        ""
        if text is None
        else f"This machine's {describe_clock_skew(float(text))}, so no grant ends. Correct the clock."
    )


def _record_moves(
    store: Store, moves: Sequence[EndMove], notices: Sequence[tuple[RequestRow, e.GrantNoticed]], at: int
) -> None:
    """Record moved ends and notices in the ledger. An approval of a longer end does not outlive an earlier end."""
    events: list[tuple[RequestRow, e.GrantDated | e.GrantNoticed, e.Private | None]] = [
        *((move.row, move.event, move.private) for move in moves),
        *((row, event, None) for row, event in notices),
    ]
    entries = [(row.repo, entry_about(row, event, _policy_of(row), at, private)) for row, event, private in events]
    if entries:
        with store.writing() as write:
            for move in moves:
                if move.can_shorten:
                    delete_approvals(write, move.row.id)
            write.append_to_chains(entries)


def _policy_of(row: RequestRow) -> str:
    """Return the actor of a move: the policy that gave the access, or the digest of its terms if a person did."""
    policy, slash, _ = (row.state.until_rule or "").partition("/")
    return e.policy_actor(policy if slash else "terms", row.state.terms)


def _count_kinds(moves: Iterable[EndMove]) -> dict[str, int]:
    """Count moves by kind."""
    return dict(Counter(kind.value for move in moves for kind in move.kinds))
