"""The page of ends: earlier ends of access that wait for a person, and their confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import RedirectResponse, Response

from ..application.end_moves import EndMove, MoveKind
from ..application.grant_ends import read_held_ends
from ..application.held_ends import confirm_moves, digest_of_moves, list_held_moves
from ..application.inputs import is_confirmed
from ..application.members import SINGLE_PERSON_LIMIT, count_ends_left
from ..application.unknown_conditions import list_unknown_conditions
from ..domain.timestamps import from_ms
from .ledger_proofs import require_all_repos, sees_all_repos
from .request_context import Refused, RequestContext
from .request_lines import request_key

MAX_SHOWN: Final = 200
_WHY: Final = {
    MoveKind.EARLIER: "the date in the table is earlier",
    MoveKind.LAPSED: "a condition is false",
    MoveKind.LATER: "the date in the table is later",
    MoveKind.RESTORED: "a condition is true again",
}


@dataclass(frozen=True, slots=True)
class HeldEnd:
    """One end that would move to an earlier time."""

    href: str
    who: str
    repo: str
    before: str
    after: str
    why: str


def count_held(context: RequestContext) -> int:
    """Return how many ends wait for a person, for members who see all repos; 0 for others."""
    return read_held_ends(context.workspace.store) if sees_all_repos(context) else 0


def page(context: RequestContext) -> Response:
    """Show the ends that wait for a person."""
    return _render(context)


def confirm(context: RequestContext) -> Response:
    """Move the ends that the member saw, as many as one person may set."""
    require_all_repos(context, "Only a reviewer of all repos can confirm these ends.")
    found = _list_moves(context)
    moves = _own_part(context, found)
    if not moves:
        raise Refused(
            f"You set {SINGLE_PERSON_LIMIT} ends within 24 hours, and more need two people."
            if found
            else "No end waits to be confirmed.",
            hint="Ask another admin to confirm the rest." if found else "Open the page of ends again.",
            status=409,
        )
    if context.form_value("seen") != digest_of_moves(moves):
        return _render(context, wrong="These ends changed since you opened the page. Look at them again.", status=409)
    if not is_confirmed(context.form_value("count"), len(moves)):
        return _render(context, wrong=f"Type {len(moves)} to confirm.", status=422)
    confirm_moves(context.workspace, moves, context.member.name, context.now, left=len(found) - len(moves))
    return RedirectResponse(f"/ends?done={len(moves)}", 303)


def _list_moves(context: RequestContext) -> list[EndMove]:
    bundle = context.app_state.policies.current
    if bundle is None:
        raise Refused("The policies cannot be read now.", hint="See the page of policies.", status=409)
    return list_held_moves(context.workspace, bundle, context.now)


def _own_part(context: RequestContext, moves: Sequence[EndMove]) -> Sequence[EndMove]:
    """Return the moves that this member may confirm alone, those that end access first."""
    membership = context.app_state.membership
    return moves[: count_ends_left(context.workspace.store, membership.read_team(context.member), context.now)]


def _render(context: RequestContext, *, wrong: str = "", status: int = 200) -> Response:
    is_held = context.has_workspace and read_held_ends(context.workspace.store) > 0
    found = [move for move in _list_moves(context) if context.can_see(move.row.repo)] if is_held else []
    can_confirm = bool(found) and sees_all_repos(context)
    own = _own_part(context, found) if can_confirm else ()
    bundle = context.app_state.policies.current
    unknown = [] if bundle is None else list_unknown_conditions(context.workspace.store, bundle.tables, context.can_see)
    return context.render(
        "ends.html",
        status,
        title="Ends of access",
        total=len(found),
        held=[_make_line(context, move) for move in found[:MAX_SHOWN]],
        can_confirm=can_confirm,
        own=len(own),
        seen=digest_of_moves(own),
        limit=SINGLE_PERSON_LIMIT,
        unknown=unknown,
        wrong=wrong,
    )


def _make_line(context: RequestContext, move: EndMove) -> HeldEnd:
    row, now, end = move.row, context.now, move.new_end
    known, before = row.person.identity, row.state.ends_at
    return HeldEnd(
        href=f"/requests/{request_key(row)}",
        who=known.username or known.user_id or "hidden",
        repo=str(row.repo),
        before="no end" if before is None else context.format_time(from_ms(before)),
        after="now" if end is None or from_ms(end) <= now else context.format_time(from_ms(end)),
        why=" and ".join(_WHY[kind] for kind in move.kinds),
    )
