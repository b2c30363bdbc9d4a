"""stop and start: one switch for everything that works unattended."""

from __future__ import annotations

from contextlib import suppress

from ..domain.display_text import pluralize
from ..domain.timestamps import to_ms
from ..errors import HfGateError, StoreBusy
from .framework import Run, command
from .workspace import actor_of, local_user, no_store_error, open_workspace


@command("stop", examples=("hf-gate stop", "hf-gate stop --workspace ~/workspaces/eeg"))
def stop(run: Run) -> int:
    """Stop everything that works unattended: policies, and the ends of grants. People can still decide.

    A running `hf-gate run` stops after the batch in flight. Its loop goes on and syncs, but changes nothing until
    `hf-gate start`. Grants do not end meanwhile; they end when unattended work starts again.
    """
    from .. import bootstrap
    from ..application.unattended import record_stop, stop_unattended

    if not bootstrap.has_store(run.settings, run.location):
        raise no_store_error()
    with bootstrap.open_workspace(run.connection, run.location, read_only=True) as workspace:
        now = to_ms(workspace.now())
        is_changed = stop_unattended(workspace.store, _actor(run), now)
        due = workspace.store.count_due(now)
    with (
        suppress(StoreBusy),  # the process that holds the store records the stop
        bootstrap.open_workspace(run.connection, run.location, waits=False, command="hf-gate stop") as workspace,
    ):
        record_stop(workspace.store)
    said = "All unattended work is stopped." if is_changed else "All unattended work was stopped already."
    ends = f" {pluralize(due, 'grant')} due to end stay until unattended work starts again." if due else ""
    run.out.document(
        {"schema_version": 1, "stopped": True, "changed": is_changed},
        lambda: [f"{said}{ends} To start it again: hf-gate start"],
    )
    return 0


@command("start", examples=("hf-gate start", "hf-gate start --workspace ~/workspaces/eeg"))
def start(run: Run) -> int:
    """Let unattended work continue after `hf-gate stop`. This does not start a loop: `hf-gate run --every auto` does."""
    from ..application.unattended import start_unattended

    with open_workspace(run, writes=True) as workspace:
        is_changed = start_unattended(workspace.store, actor_of(run), to_ms(workspace.now()))
    said = "Unattended work runs again from the next turn on." if is_changed else "Unattended work was not stopped."
    run.out.document({"schema_version": 1, "stopped": False, "changed": is_changed}, lambda: [said])
    return 0


def _actor(run: Run) -> str:
    """Return the actor. A stop must also work while the Hub does not answer or refuses the token."""
    try:
        return actor_of(run)
    except HfGateError:
        return local_user()
