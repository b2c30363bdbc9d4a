"""The health of unattended work: the first line of `status`, and `status --check` for monitors."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ..application.record_builders import health_record
from ..config import parse_seconds
from ..domain.turns import HealthState
from .workspace import open_stored_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..application.health import Health
    from ..application.workspace import Workspace
    from ..application.workspace_status import WorkspaceStatus
    from .framework import Run


def read_workspace_health(
    workspace: Workspace, found: WorkspaceStatus | None = None, max_age: timedelta | None = None
) -> Health:
    """Return the health of unattended work. `found` saves reading the status again."""
    from ..application.health import list_stuck, read_health
    from ..application.policy_bundle import find_refused_tables
    from ..application.policy_saves import read_current_policies, read_workspace_holds
    from ..application.turn_permissions import read_held_counts
    from ..application.undelivered import list_undelivered
    from ..application.unknown_conditions import find_unknown_conditions

    store, now = workspace.store, workspace.now()
    stuck = list_stuck(
        store,
        store.repos(),
        now,
        held_counts=read_held_counts(store) if found is None else found.held_counts,
        holds=read_workspace_holds(workspace),
        refused=find_refused_tables(workspace),
        unknown=find_unknown_conditions(workspace),
        undelivered=list_undelivered(workspace),
        read_policies=lambda: read_current_policies(workspace),
    )
    return read_health(store, now, max_age=max_age, stuck=[problem.sentence for problem in stuck])


def health_lines(health: Health) -> Iterator[str]:
    """Yield the first line of the status; nothing if `hf-gate run` was never started."""
    if health.state.is_good and health.last is None:
        return
    word = "" if health.state.is_good else f"{health.state.value.upper()}: "
    yield f"{word}{health.sentence}{f' {health.hint}' if health.hint else ''}"


def check_health(run: Run, max_age: str | None) -> int:
    """Print the state of unattended work in one line; return 0 if nobody needs to do anything, else 1."""
    from ..application.health import Health

    patience = None if max_age is None else timedelta(seconds=parse_seconds(max_age, "--max-age"))
    run.is_announced = True  # one line only
    workspace = open_stored_workspace(run)
    if workspace is None:
        health = Health(HealthState.IDLE, "`hf-gate run` was never started here.")
    else:
        health = read_workspace_health(workspace, max_age=patience)
    line = f"{health.state}: {health.sentence}{f' {health.hint}' if health.hint else ''}"
    run.out.record(
        health_record(health),
        lambda: [line, *(f"  {each}" for each in health.stuck)],
        quiet=[health.state.value],
    )
    return 0 if health.state.is_good else 1
