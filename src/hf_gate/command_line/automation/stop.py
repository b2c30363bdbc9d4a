"""stop and start: one switch for everything that works unattended."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hf_gate.automation.records import StopRecord
from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import to_ms
from hf_gate.command_line.framework import CommandContext, command
from hf_gate.command_line.hub.token_rights import DECIDE_HINT, check_decide_right, read_rights
from hf_gate.command_line.workspace_opening import (
    announce_target,
    find_actor,
    no_store_error,
    open_workspace,
    select_repos,
)
from hf_gate.core.lifecycle import Status
from hf_gate.errors import NotAllowed, RepoNotFound, StoreBusy

if TYPE_CHECKING:
    from hf_gate.settings.service.workspace import Workspace

_STILL_STOPPED: Final = "unattended work stays stopped"


@command("stop", examples=("hf-gate stop", "hf-gate stop --workspace ~/workspaces/eeg"))
def stop(context: CommandContext) -> int:
    """Stop everything that works unattended: policies, and the ends of grants. People can still decide.

    A running `hf-gate run` stops after the current batch. Its loop continues to sync, but changes nothing until
    `hf-gate start`. Grants do not end meanwhile; they end when unattended work starts again.
    """
    from hf_gate.automation.service.unattended import record_stop, stop_unattended
    from hf_gate.workspace.service import bootstrap

    if not bootstrap.has_store(context.settings, context.location):
        raise no_store_error()
    announce_target(context, writes=True, works_offline=True)
    with bootstrap.connect_workspace(context.connection, context.location, read_only=True) as workspace:
        now = to_ms(workspace.now())
        is_changed = stop_unattended(workspace.store, find_actor(context), now)
        due = workspace.store.count_due(now)
    with (
        suppress(StoreBusy),  # the process that holds the store records the stop
        bootstrap.connect_workspace(
            context.connection, context.location, waits=False, command="hf-gate stop"
        ) as workspace,
    ):
        record_stop(workspace.store)
    said = "All unattended work is stopped." if is_changed else "All unattended work was already stopped."
    ends = f" {pluralize(due, 'grant')} due to end stay until unattended work starts again." if due else ""
    context.out.document(
        StopRecord(stopped=True, changed=is_changed),
        lambda: [f"{said}{ends} To start it again: hf-gate start"],
    )
    return 0


@command("start", examples=("hf-gate start", "hf-gate start --workspace ~/workspaces/eeg"))
def start(context: CommandContext) -> int:
    """Let unattended work continue after `hf-gate stop`. This does not start a loop: `hf-gate run --every auto` does.

    After a turn that found the audit log broken, this accepts the breaks that were found, so see `hf-gate audit verify`
    first. Only the owner of the desk and admins of all its repos can do this. If no desk was ever opened here, your
    token must be able to decide at every repo of the workspace.
    """
    from hf_gate.automation.service.unattended import start_unattended
    from hf_gate.ledger.service.ledger_checks import read_check

    with open_workspace(context, writes=True) as workspace:
        _check_starter(context, workspace)
        breaks = read_check(workspace.store).broken
        is_changed = start_unattended(workspace.store, find_actor(context), to_ms(workspace.now()))
    said = (
        "Unattended work continues with the next turn of `hf-gate run`."
        if is_changed
        else "Unattended work was not stopped."
    )
    if is_changed and breaks:
        said = f"{said} {pluralize(len(breaks), 'break')} of the audit log accepted: {breaks[0]}"
    context.out.document(StopRecord(stopped=False, changed=is_changed), lambda: [said])
    return 0


def _check_starter(context: CommandContext, workspace: Workspace) -> None:
    """Raise NotAllowed unless this account may start unattended work."""
    from hf_gate.members.service.members import can_administer

    account = context.connection.read_account()
    is_starter = can_administer(workspace.store, account)
    if is_starter is None:
        _check_decides_everywhere(context)
    elif not is_starter:
        who = "without a known account, you" if account is None else f"{account.name} is no admin of this desk and"
        raise NotAllowed(
            f"{who} cannot start unattended work; {_STILL_STOPPED}.",
            hint="Ask its owner or an admin of all repos.",
        )


def _check_decides_everywhere(context: CommandContext) -> None:
    """Raise NotAllowed unless this token can decide at every repo that `hf-gate run` would find with it."""
    repos = select_repos(context, (), None)
    rights = read_rights(context)
    if not repos:
        raise NotAllowed(
            f"this token can see no repo of the workspace; {_STILL_STOPPED}.", hint="Use a token that can decide there."
        )
    for repo in repos:
        can_decide, why = check_decide_right(rights, repo)
        if can_decide is False:
            raise NotAllowed(f"you cannot decide at {repo}: {why}; {_STILL_STOPPED}.", hint=DECIDE_HINT)
        try:
            context.hub.head(repo, Status.PENDING)  # the rights of a token do not say what its account may do
        except (NotAllowed, RepoNotFound) as problem:
            hint = f"Remove {repo} from hf-gate.yaml if it is gone. {DECIDE_HINT}"
            raise NotAllowed(f"you cannot decide at {repo}; {_STILL_STOPPED}.", hint=hint) from problem
