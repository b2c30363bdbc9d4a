"""assign: says which member should decide pending requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..domain.display_text import pluralize
from ..domain.members import Member, MemberRole
from ..errors import Stale, UsageError
from .framework import command, repo_type_option
from .targets import find_stored_request, read_targets
from .workspace import actor_of, open_workspace

if TYPE_CHECKING:
    from ..domain.rows import RequestRow
    from .framework import Run


@command(
    "assign",
    examples=(
        "hf-gate assign ada-l@datasets/acme/eeg --to mia",
        "hf-gate assign datasets/acme/eeg ada-l bob99 --to me",
        "hf-gate assign ada-l@datasets/acme/eeg --to kim --instead-of mia",
        "hf-gate assign ada-l@datasets/acme/eeg --to nobody",
        "hf-gate ls --query assigned:none --format jsonl | hf-gate assign - --to mia",
    ),
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--from", "file", metavar="FILE", help="Read targets from a file, one per line; - is stdin.")
@click.option("--repo", metavar="REPO", help="The repo of all targets; allows request ids as targets.")
@repo_type_option
@click.option("--to", metavar="MEMBER", required=True, help="A member who may decide there; also `me` and `nobody`.")
@click.option("--instead-of", metavar="MEMBER", help="Also reassign requests that this member has now.")
def assign(
    run: Run,
    *,
    targets: tuple[str, ...],
    file: str | None,
    repo: str | None,
    repo_type: str | None,
    to: str,
    instead_of: str | None,
) -> int:
    """Assign pending requests to the member who should decide them. Nothing is sent to the Hub.

    Others can still decide. A request that is assigned to somebody else keeps that member, unless --instead-of names that member.
    """
    from ..application.assignments import assign_requests, find_assignee, read_assignees

    found = read_targets(run, targets, file, repo, repo_type)
    with open_workspace(run, writes=True, lends=True) as workspace:
        me = member_at_terminal(run)
        member = find_assignee(workspace, to, me)
        rows = [find_stored_request(workspace, target) for target in found]
        assignees = read_assignees(workspace, workspace.now())
        if member is not None:
            former = None if instead_of is None else find_assignee(workspace, instead_of, me)
            may_replace = {None, member.id, None if former is None else former.id}
            taken = next((row for row in rows if row.state.assigned not in may_replace), None)
            if taken is not None:
                holder = assignees.get(taken.state.assigned or "")
                _refuse_taken(taken, None if holder is None else holder.name)
        seen = {row.id: row.state.assigned for row in rows}
        result = assign_requests(workspace, rows, seen, member, by=me, now=workspace.now())
    if result.changed:
        raise Stale(
            f"{pluralize(len(result.changed), 'request')} changed meanwhile and stayed as they are. All others are assigned.",
            hint="Run the command again.",
        )
    name = None if member is None else member.name
    document = {
        "assigned_to": name,
        "assigned": len(result.assigned),
        "already": len(result.already),
    }
    already = f"; {len(result.already):,} already had this assignment" if result.already else ""
    words = f"{pluralize(len(result.assigned), 'request')} assigned to {name or 'nobody'}{already}."
    assignee = None if member is None else assignees.get(member.id)
    if assignee is not None and assignee.deputy is not None:
        words += f" {assignee.name} is away until {assignee.last_day}; {assignee.deputy} stands in."
    run.out.document(document, lambda: [words])
    return 0


def member_at_terminal(run: Run) -> Member:
    """Return who uses the terminal: the token's account, else the local user."""
    account = run.account
    user_id = None if account is None else account.id
    proven_at = None if user_id is None else 0
    return Member(name=actor_of(run), role=MemberRole.ADMIN, has_link=True, user_id=user_id, proven_at=proven_at)


def _refuse_taken(row: RequestRow, name: str | None) -> None:
    raise UsageError(
        f"the request of {row.person_name} at {row.repo} is assigned to {name or 'an unknown member'}. Nothing was assigned.",
        hint=f"To take it over: --instead-of {name}" if name else "Free it first: hf-gate assign TARGET --to nobody",
    )
