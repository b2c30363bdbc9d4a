"""assign: says which member should decide pending requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hf_gate.base.display_text import pluralize
from hf_gate.cli.framework import command, repo_type_option
from hf_gate.cli.targets import find_stored_request, read_targets
from hf_gate.cli.workspace import find_actor, open_workspace
from hf_gate.core.people.members import Member, MemberRole

if TYPE_CHECKING:
    from hf_gate.cli.framework import CommandContext


@command(
    "assign",
    examples=(
        "hf-gate assign ada-l@datasets/acme/eeg --to mia",
        "hf-gate assign datasets/acme/eeg ada-l bob99 --to me",
        "hf-gate assign ada-l@datasets/acme/eeg --to nobody",
        "hf-gate ls --query assigned:none --format jsonl | hf-gate assign - --to mia",
    ),
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--from", "file", metavar="FILE", help="Read targets from a file, one per line; - is stdin.")
@click.option("--repo", metavar="REPO", help="The repo of all targets; allows request ids as targets.")
@repo_type_option
@click.option("--to", metavar="MEMBER", required=True, help="A member who may decide there; also `me` and `nobody`.")
def assign(
    context: CommandContext,
    *,
    targets: tuple[str, ...],
    file: str | None,
    repo: str | None,
    repo_type: str | None,
    to: str,
) -> int:
    """Assign pending requests to the member who should decide them. Nothing is sent to the Hub.

    Others can still decide. The last assignment of a request wins.
    """
    from hf_gate.decisions.service.assignments import assign_requests, find_assignee

    found = read_targets(context, targets, file, repo, repo_type)
    with open_workspace(context, writes=True, lends=True) as workspace:
        me = member_at_terminal(context)
        member = find_assignee(workspace, to, me)
        rows = [find_stored_request(workspace, target) for target in found]
        result = assign_requests(workspace, rows, member, by=me, now=workspace.now())
    already = f"; {result.already:,} already had this assignment" if result.already else ""
    words = f"{pluralize(result.assigned, 'request')} assigned to {result.assigned_to or 'nobody'}{already}."
    context.out.document(result, lambda: [words])
    return 0


def member_at_terminal(context: CommandContext) -> Member:
    """Return who uses the terminal: the token's account, else the local user."""
    account = context.account
    user_id = None if account is None else account.id
    proven_at = None if user_id is None else 0
    return Member(name=find_actor(context), role=MemberRole.ADMIN, has_link=True, user_id=user_id, proven_at=proven_at)
