"""The page of ends: earlier ends of access that wait for a person, and their confirmation."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from hf_gate.approvals.service.approvals import endorse, name_accounts, read_act_endorsers
from hf_gate.base.timestamps import from_ms
from hf_gate.decisions.typed_input import is_confirmed
from hf_gate.desk.http_context import HttpContext, Refused, require_all_repos, sees_all_repos
from hf_gate.desk.requests.request_lines import request_key
from hf_gate.grants.service.ends.end_moves import EndMove, MoveKind
from hf_gate.grants.service.ends.grant_ends import read_held_ends
from hf_gate.grants.service.ends.held_ends import (
    AGREE_TASK,
    compute_held_quorum,
    confirm_moves,
    digest_of_moves,
    digest_to_endorse,
    list_held_moves,
)
from hf_gate.grants.service.ends.unknown_conditions import list_unknown_conditions
from hf_gate.members.service.members import Team
from hf_gate.verdicts.service.policy_bundle import PolicyBundle

MAX_SHOWN: Final = 200
_WHY: Final = {
    MoveKind.EARLIER: "the date in the table is earlier",
    MoveKind.LAPSED: "a condition is false",
    MoveKind.LATER: "the date in the table is later",
    MoveKind.RESTORED: "a condition is true again",
}


class HeldEnd(Struct, frozen=True):
    """One end that would move to an earlier time."""

    href: str
    who: str
    repo: str
    before: str
    after: str
    why: str


def count_held(context: HttpContext) -> int:
    """Return how many ends wait for a person, for members who see all repos; 0 for others."""
    return read_held_ends(context.workspace.store) if sees_all_repos(context) else 0


def page(context: HttpContext) -> Response:
    """Show the ends that wait for a person."""
    return _render(context)


def confirm(context: HttpContext) -> Response:
    """Move the ends that the member saw. If two people must agree and nobody else has, record that this member does."""
    require_all_repos(context, "Only a reviewer of all repos can confirm these end dates.")
    bundle, moves = _list_moves(context)
    if not moves:
        raise Refused("Nothing to confirm.", hint="Open Ends of access again.", status=409)
    if context.form_value("seen") != digest_of_moves(moves):
        return _render(context, wrong="These ends changed since you opened the page. Look at them again.", status=409)
    if not is_confirmed(context.form_value("count"), len(moves)):
        return _render(context, wrong=f"Type {len(moves)} to confirm.", status=422)
    workspace = context.workspace
    name = context.member.name
    now = context.now
    if context.form_value("do") == "agree":
        endorse(workspace, digest_to_endorse(moves, now), len(moves), context.member, name, of="ends")
        return RedirectResponse("/ends", 303)
    confirm_moves(workspace, bundle, _read_team(context), moves, name, now)
    return RedirectResponse(f"/ends?done={len(moves)}", 303)


def _list_moves(context: HttpContext) -> tuple[PolicyBundle, list[EndMove]]:
    bundle = context.app_state.policies.current
    if bundle is None:
        raise Refused("The policies cannot be read now.", hint="See Policies.", status=409)
    return bundle, list_held_moves(context.workspace, bundle, context.now)


def _read_team(context: HttpContext) -> Team:
    return context.app_state.membership.read_team(context.member)


class HeldEndorsement(Struct, frozen=True):
    """Whether two people must agree to the ends (`why_two`), who has, and what the member can do."""

    why_two: str = ""
    agreed: tuple[str, ...] = ()
    can_agree: bool = False
    can_confirm: bool = False
    next_step: str = ""


def _read_endorsement(context: HttpContext, moves: list[EndMove]) -> HeldEndorsement:
    bundle = context.app_state.policies.current
    if bundle is None or not moves or not sees_all_repos(context):
        return HeldEndorsement()
    team = _read_team(context)
    store = context.workspace.store
    known = read_act_endorsers(store, digest_to_endorse(moves, context.now))
    quorum = compute_held_quorum(context.workspace, bundle, team, moves, context.now)
    mine = context.member.account_id
    return HeldEndorsement(
        why_two=quorum.why,
        agreed=name_accounts(store, known) if quorum.is_large else (),
        can_agree=quorum.is_open and mine is not None and mine not in known,
        can_confirm=not quorum.is_open,
        next_step=team.describe_next_step(AGREE_TASK) if quorum.is_open else "",
    )


def _render(context: HttpContext, *, wrong: str = "", status: int = 200) -> Response:
    is_held = context.has_workspace and read_held_ends(context.workspace.store) > 0
    found = [move for move in _list_moves(context)[1] if context.can_see(move.row.repo)] if is_held else []
    bundle = context.app_state.policies.current
    unknown = []
    if bundle is not None:
        unknown = list_unknown_conditions(context.workspace.store, bundle.tables, context.can_see)
    return context.render(
        "ends.html",
        status,
        title="Ends of access",
        total=len(found),
        held=[_make_line(context, move) for move in found[:MAX_SHOWN]],
        sees_all=sees_all_repos(context),
        endorsement=_read_endorsement(context, found),
        seen=digest_of_moves(found),
        unknown=unknown,
        wrong=wrong,
    )


def _make_line(context: HttpContext, move: EndMove) -> HeldEnd:
    row = move.row
    now = context.now
    end = move.new_end
    known = row.person.identity
    before = row.state.ends_at
    return HeldEnd(
        href=f"/requests/{request_key(row)}",
        who=known.username or known.user_id or "hidden",
        repo=str(row.repo),
        before="no end" if before is None else context.format_time(from_ms(before)),
        after="now" if end is None or from_ms(end) <= now else context.format_time(from_ms(end)),
        why=" and ".join(_WHY[kind] for kind in move.kinds),
    )
