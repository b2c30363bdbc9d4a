"""expire no-renew: marks grants whose end is not extended, or removes the marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..domain.display_text import pluralize
from ..domain.lifecycle import Status
from ..domain.timestamps import to_ms
from ..errors import RequestNotFound, UsageError
from .framework import command
from .second_approval import authorize_run
from .targets import read_targets
from .workspace import actor_of, announce, open_workspace

if TYPE_CHECKING:
    from ..application.targets import RequestTarget
    from ..application.workspace import Workspace
    from ..domain.rows import RequestRow
    from .framework import Run


@command(
    "no-renew",
    examples=("hf-gate expire no-renew ada-l@acme/med-7b", "hf-gate expire no-renew ada-l@acme/med-7b --undo"),
)
@click.argument("targets", nargs=-1, required=True, metavar="WHO@REPO...")
@click.option("--undo", is_flag=True, help="Remove the mark: the end may be extended again.")
def expire_no_renew(run: Run, targets: tuple[str, ...], undo: bool) -> int:
    """Mark access that ends for good: no later date in a table and no policy extends it.

    Nothing is sent, and the person is not notified. After a reset they can ask again; an entry in a deny table prevents that.
    """
    from ..application.decisions import renewal_entry

    announce(run, writes=True)
    with open_workspace(run, needs_folder=True, writes=True) as workspace:
        rows = [_find_grant(workspace, target) for target in read_targets(targets, None, None, None)]
        people = [row.person.identity for row in rows]
        authorize_run(run, workspace, {}, about=[(each.username, each.user_id) for each in people])
        at, actor = to_ms(workspace.clock.now()), actor_of(run)
        with workspace.store.writing() as write:
            for row in rows:
                write.append(row.repo, [renewal_entry(row, actor, at, is_blocked=not undo)])
    words = "may be renewed again" if undo else "will not be renewed"
    document = {"schema_version": 1, "changed": len(rows), "is_final": not undo}
    run.out.document(document, lambda: [f"{pluralize(len(rows), 'grant')} {words}."])
    return 0


def _find_grant(workspace: Workspace, target: RequestTarget) -> RequestRow:
    """Return the stored request of a target. Raises an error unless its access ends."""
    from ..application.evaluation import latest_request

    known = target.target
    key = known.request_id or known.user_id or known.username or ""
    row = latest_request(workspace.store.find_by_identity(target.repo, key))
    if row is None:
        raise RequestNotFound(f"there is no request of {target} in the store.", hint="Read it: hf-gate sync")
    if row.state.status != Status.ACCEPTED or row.state.ends_at is None:
        raise UsageError(
            f"the access of {target} has no end; nothing was changed.",
            hint="`hf-gate expire ls` lists access that ends.",
        )
    return row
