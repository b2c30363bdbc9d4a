"""expire: list the grants that end, and confirm, renew, remove or give ends."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from ..application.record_builders import grant_end_record
from ..application.records import GrantEndRecord
from ..config import parse_seconds
from ..domain.display_text import pluralize
from ..domain.timestamps import from_ms, to_ms
from .confirmation import confirm_ends, read_this_member
from .framework import CommandEntry, GateGroup, command, limit_options
from .output import Column, format_end
from .request_table import repo_argument
from .workspace import actor_of, open_with_policies, open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..application.end_moves import EndMove
    from .framework import Run

expire = GateGroup(
    "expire",
    {
        "ls": CommandEntry("expire:expire_ls", "List grants by the end of access."),
        "renew": CommandEntry("expire_change:expire_renew", "Set another end of access.", has_effect=True),
        "drop": CommandEntry("expire_change:expire_drop", "Remove the end of access.", has_effect=True),
        "adopt": CommandEntry(
            "expire_change:expire_adopt", "Set ends for people who got access before.", has_effect=True
        ),
        "confirm": CommandEntry(
            "expire:expire_confirm", "Confirm ends that moved to an earlier time.", has_effect=True
        ),
        "no-renew": CommandEntry("expire_change:expire_no_renew", "Mark access that is not renewed.", has_effect=True),
    },
    help="Grants that end.",
)
_NO_LIMIT: Final = "36500d"


@command(
    "ls", examples=("hf-gate expire ls", "hf-gate expire ls --within 30d --json", "hf-gate expire ls --without-end")
)
@click.option("--within", metavar="TIME", default=_NO_LIMIT, help="Only grants that end within this time, e.g. 30d.")
@click.option("--without-end", is_flag=True, help="Only people whose access has no end, oldest request first.")
@limit_options
def expire_ls(run: Run, within: str, without_end: bool, limit: int | None) -> int:
    """List grants that end, earliest first. `hf-gate run` ends each when it is due, and says how late it is."""
    from ..application.end_changes import iterate_accepted

    workspace = open_workspace(run)
    now = workspace.now()
    if without_end:
        endless = (grant_end_record(row, now) for row in iterate_accepted(workspace.store, None, with_end=False))
        print_ends(run, endless, now, limit, empty="Every access has an end.", part="the first {}")
        return 0
    last = round((now.timestamp() + parse_seconds(within, "--within")) * 1000)
    rows = (grant_end_record(row, now) for row in workspace.store.iterate_due(last))
    empty = "No grant has an end date. Access without an end: hf-gate expire ls --without-end"
    if within != _NO_LIMIT:
        empty = f"No grant ends within {within}."
    print_ends(run, rows, now, limit, empty=empty, part="the first {} to end")
    return 0


def print_ends(
    run: Run, rows: Iterable[GrantEndRecord], now: datetime, limit: int | None, *, empty: str, part: str
) -> None:
    """Print ends of access as a list."""
    columns: Sequence[Column[GrantEndRecord]] = (
        Column("ENDS", lambda row: _describe_end(row, now)),
        Column("WHO", lambda row: row.user or row.user_id or ""),
        Column("REPO", repo_argument),
        Column("THEN", lambda row: "a person decides" if row.at_end == "human" else row.at_end or ""),
        Column("RULE", lambda row: row.rule or "by hand", is_flexible=True),
    )
    run.out.records(
        GrantEndRecord, rows, columns, name=lambda row: row.request_id or "", limit=limit, empty=empty, part=part
    )


def _describe_end(row: GrantEndRecord, now: datetime) -> str:
    if row.ends_at is None:
        return "no end"
    words = format_end((datetime.fromisoformat(row.ends_at) - now).total_seconds())
    words += ", not to be renewed" if row.is_final else ""
    if row.is_undecided:
        return f"{words}, condition unknown: access stays"
    return f"{words}, condition false" if row.is_lapsed else words


# ---- earlier ends that wait for a person -------------------------------------------------------------------------------


@command("confirm", examples=("hf-gate expire confirm", "hf-gate expire confirm --yes --max-changes 34"))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--max-changes", type=click.IntRange(1), help="With --yes: maximum number of ends.")
def expire_confirm(run: Run, yes: bool, max_changes: int | None) -> int:
    """Confirm ends that a table or a condition moves to an earlier time. More than 20 in a turn wait for this.

    Dates still take effect no sooner than 7 days ahead, and conditions after their grace. Nothing is sent; `hf-gate run`
    ends the access when it is due. If two people must agree, the first one only records that they agree.
    """
    from ..application.grant_ends import count_kinds, require_right_clock
    from ..application.held_ends import AGREE_TASK, compute_held_need, confirm_moves, list_held_moves, record_agreement
    from ..application.members import read_team

    workspace, bundle = open_with_policies(run)
    now = workspace.clock.now()
    moves = list_held_moves(workspace, bundle, now)
    is_open = False
    words = "No ends need to be confirmed."
    if moves:
        require_right_clock(workspace.hub, moves[0].row.repo)
        me = read_this_member(run)
        team = read_team(workspace.store, me, now)
        need = compute_held_need(workspace, bundle, team, moves, now)
        is_open = need.is_open
        lines = [_move_line(move, now) for move in moves]
        question = f"{'agree to ' if is_open else ''}move {{}} ends to an earlier time?"
        confirm_ends(run, lines, question, yes=yes, max_changes=max_changes)
        if is_open:
            record_agreement(workspace, moves, me, actor_of(run), now)
            words = f"approval 1 of 2: {need.why} Nothing was moved. {team.describe_next_step(AGREE_TASK)}"
        else:
            confirm_moves(workspace, bundle, team, moves, actor_of(run), now)
            words = f"Moved {pluralize(len(moves), 'end')} to an earlier time."
    kinds = {} if is_open else count_kinds(moves)
    document = {
        "confirmed": 0 if is_open else len(moves),
        "agreed": len(moves) if is_open else 0,
        "kinds": kinds,
    }
    run.out.document(document, lambda: [words])
    return 0


def _move_line(move: EndMove, now: datetime) -> str:
    known, end = move.row.person.identity, move.new_end or 0
    before = move.row.state.ends_at
    was = "no end" if before is None else format_end((from_ms(before) - now).total_seconds())
    soon = format_end((from_ms(end) - now).total_seconds()) if end > to_ms(now) else "now"
    return f"{known.username or known.user_id}@{move.row.repo}: ends {soon} instead of {was}"
