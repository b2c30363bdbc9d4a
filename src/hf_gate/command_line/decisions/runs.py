"""runs and undo: list, show, stop, continue and retry runs, and plan their undo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.private_files import write_private_file
from hf_gate.base.timestamps import format_minute, format_seconds, from_ms, to_ms
from hf_gate.command_line.framework import CommandEntry, LazyGroup, command, limit_options, repeat_command
from hf_gate.command_line.output import FIRST_ROWS, style_mark
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import (
    announce_target,
    executor_for,
    find_actor,
    load_policies_for,
    open_for_runs,
    open_workspace,
    remember_file,
)
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.records import HaltRecord, RunRecord, extend_record
from hf_gate.core.runs import KIND_LABELS, RUN_STATES, UNSETTLED, RunEvent, RunKind, RunState
from hf_gate.decisions.records import run_record
from hf_gate.errors import StoreBusy, UsageError

from .confirmation import resume_run
from .execution import describe_done, done_changes, execute_run, print_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hf_gate.command_line.framework import CommandContext
    from hf_gate.core.stored_rows import RunRow
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.plan.model import Plan

_NO_LIMIT: Final = 2**31 - 1

runs = LazyGroup(
    "runs",
    {
        "ls": CommandEntry("hf_gate.command_line.decisions.runs:ls", "List runs, newest first."),
        "show": CommandEntry(
            "hf_gate.command_line.decisions.runs:show", "Show one run with the outcome of each change."
        ),
        "undo": CommandEntry("hf_gate.command_line.decisions.runs:undo", "Plan the undo of a run."),
        "retry": CommandEntry("hf_gate.command_line.decisions.runs:retry", "Plan the refused and open changes again."),
        "stop": CommandEntry(
            "hf_gate.command_line.decisions.runs:stop", "Stop a run after the current batch.", has_effect=True
        ),
        "continue": CommandEntry(
            "hf_gate.command_line.decisions.runs:continue_", "Continue a stopped or interrupted run.", has_effect=True
        ),
    },
    help="Runs of plans and decisions: list, show, undo, retry, stop, continue.",
)


@command("ls", examples=("hf-gate runs ls", "hf-gate runs ls --all", "hf-gate runs ls --limit 5 --json"))
@limit_options
def ls(context: CommandContext, limit: int | None) -> int:
    """List runs, newest first."""
    workspace = open_workspace(context)
    if limit is None and context.out.is_human:
        limit = FIRST_ROWS
    rows = map(run_record, workspace.store.runs(_NO_LIMIT if limit is None or limit < 0 else limit + 1))
    columns: Sequence[Column[RunRecord]] = (
        Column("RUN", lambda row: row.run),
        Column("KIND", lambda row: KIND_LABELS.get(row.kind, row.kind)),
        Column("STATE", lambda row: row.state, meaning=lambda row: row.state),
        Column("STARTED", lambda row: format_seconds(row.made_at)),
        Column("STARTED BY", lambda row: row.actor, is_flexible=True, is_said_once=True),
        Column("CHANGES", lambda row: f"{row.planned:,}", is_right_aligned=True),
    )
    context.out.records(
        RunRecord, rows, columns, name=lambda row: row.run, limit=limit, empty="No runs yet.", part="the newest {}"
    )
    return 0


@command("show", examples=("hf-gate runs show r_0123456789ab", "hf-gate runs show r_0123456789ab --json"))
@click.argument("ident", metavar="RUN")
def show(context: CommandContext, ident: str) -> int:
    """Show one run with the outcome of each change."""
    workspace = open_workspace(context)
    print_run(context, workspace, find_run(workspace, ident), whole=True)
    return 0


@command(
    "stop",
    examples=("hf-gate runs stop r_0123456789ab", "hf-gate runs stop r_0123456789ab --for-good"),
)
@click.argument("ident", metavar="RUN")
@click.option("--for-good", is_flag=True, help="Stop permanently: the run cannot be continued.")
def stop(context: CommandContext, ident: str, *, for_good: bool) -> int:
    """Stop a run after the current batch, or at once if there is none; `runs continue` continues it.

    Until then, `hf-gate run` applies none of the run's policies at its repos. After --for-good, it applies none of them
    until the policies are edited or promoted. Finished changes stay; `hf-gate undo RUN` plans their undo.
    """
    return _request_stop(context, ident, RunEvent.STOP if for_good else RunEvent.PAUSE)


def _request_stop(context: CommandContext, ident: str, word: RunEvent) -> int:
    from hf_gate.workspace.service import bootstrap

    announce_target(context, writes=True, works_offline=True)
    with bootstrap.connect_workspace(context.connection, context.location, read_only=True) as workspace:
        known = find_run(workspace, ident)
        if known.is_over:
            more = (
                " To stop the run's policies in `hf-gate run`, write `mode: shadow` in their files."
                if known.kind is RunKind.AUTO
                else ""
            )
            return _print_halt(context, known, None, f"Run {known.id} is already over: {known.state}.{more}")
        workspace.store.request_stop(known.id, word)
    try:
        with bootstrap.connect_workspace(
            context.connection, context.location, waits=False, command="hf-gate runs stop"
        ) as workspace:
            known, message = _halt(context, workspace, known.id, word)
    except StoreBusy:  # the process that writes may be executing this run
        message = f"Run {known.id} will {word} after the current batch."
    return _print_halt(context, known, word, message)


def _print_halt(context: CommandContext, known: RunRow, requested: str | None, message: str) -> int:
    """Print the run with what was requested of it; None if the run was already over."""
    context.out.document(extend_record(run_record(known), HaltRecord, requested=requested), lambda: [message])
    return 0


def _halt(context: CommandContext, workspace: Workspace, ident: str, word: RunEvent) -> tuple[RunRow, str]:
    """Halt a run that no process executes; return it and the message to print."""
    from hf_gate.decisions.service.runs.run_executor import halt_run

    store = workspace.store
    known = find_run(workspace, ident)
    if not known.is_over and RUN_STATES.step(known.state, word) is not known.state:
        known = halt_run(store, known, word, to_ms(workspace.now()))
    continue_command = context.command_line("runs", "continue", ident)
    if store.changes(ident, UNSETTLED, 1):
        more = f" Some changes have an unknown outcome: {continue_command} settles them first."
    else:
        more = f" To continue: {continue_command}" if known.state is RunState.PAUSED else ""
    return known, f"Run {ident} has {known.state}.{more}"


@command("continue", examples=("hf-gate runs continue r_0123456789ab", "hf-gate runs continue r_0123456789ab --json"))
@click.argument("ident", metavar="RUN")
def continue_(context: CommandContext, ident: str) -> int:
    """Continue a run: read back the changes with an unknown outcome, then send the rest. Nothing is sent twice."""
    from hf_gate.decisions.service.runs.runs import check_plan_in_workspace
    from hf_gate.verdicts.plan.model import decode_plan

    workspace = open_for_runs(context)
    store = workspace.store
    known = find_run(workspace, ident)
    if not known.is_over or store.changes(ident, UNSETTLED, 1):
        known = executor_for(workspace, known).settle_and_keep(
            known
        )  # changes in flight are settled, whatever their age
    if known.is_over:
        context.out.say(f"Run {known.id} is over ({known.state}): nothing is left to send.")
        return print_run(context, workspace, known)
    document = None if known.plan is None else store.plan(known.plan)
    if document is not None:
        made = decode_plan(document, f"the plan of run {known.id}")
        check_plan_in_workspace(workspace, load_policies_for(workspace, made), made)
    known = resume_run(context, workspace, known, find_actor(context))
    workspace.store.request_stop(known.id, None)
    return execute_run(context, workspace, known)


@command(
    "retry",
    examples=(
        "hf-gate runs retry r_0123456789ab",
        "hf-gate runs retry r_0123456789ab --out retry.json",
    ),
)
@click.argument("ident", metavar="RUN")
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan to this file.")
def retry(context: CommandContext, ident: str, path: Path | None) -> int:
    """Plan the refused and open changes again, for requests that have not changed since. Sends nothing.

    Changes of a policy that has been edited since are skipped and counted. Without --out, the plan is only shown.
    """
    from hf_gate.decisions.service.runs import runs as run_cases

    workspace = open_for_runs(context)
    known = find_run(workspace, ident)
    now = workspace.clock.now()
    made = run_cases.plan_retry(workspace.store, known, now=now)
    bundle = load_policies_for(workspace, made)
    versions = run_cases.policy_versions(() if bundle is None else bundle.policies)
    made = run_cases.plan_retry(workspace.store, known, now=now, versions=versions)
    return _save_plan(context, workspace, known.id, made, path, ())


@command(
    "undo",
    examples=(
        "hf-gate undo",
        "hf-gate undo --out back.json",
        "hf-gate undo r_0123456789ab --out back.json",
    ),
)
@click.argument("ident", metavar="[RUN]", required=False)
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan to this file.")
def undo(context: CommandContext, ident: str | None, path: Path | None) -> int:
    """Plan the undo of a run, and show what cannot be undone. Sends nothing.

    By default, RUN is the latest run with changes, which is printed. Without --out, the plan is only shown.
    """
    from hf_gate.decisions.service.runs import runs as run_cases

    workspace = open_for_runs(context)
    known = _latest_run_with_changes(context, workspace) if ident is None else find_run(workspace, ident)
    made, notes = run_cases.plan_undo(workspace.store, known, now=workspace.clock.now())
    if made.changes and any(change.policy for change in done_changes(workspace, known)):
        notes.append(
            "The current policies would plan the same changes again. Change the rule or write `mode: shadow` "
            "before the next run."
        )
    return _save_plan(context, workspace, known.id, made, path, notes)


def _latest_run_with_changes(context: CommandContext, workspace: Workspace) -> RunRow:
    """Return the latest run that changed something, and print its id."""
    found = next((each for each in workspace.store.runs(_NO_LIMIT) if each.counts.get(OutcomeKind.DONE.value)), None)
    if found is None:
        raise UsageError(
            "no run has changed anything yet, so there is nothing to undo.",
            hint=f"To list runs: {context.command_line('runs', 'ls')}",
        )
    words = describe_done(done_changes(workspace, found))
    made = format_minute(from_ms(found.made_at))
    kind = KIND_LABELS[found.kind]
    context.out.say(f"The latest run with changes is {found.id} ({kind}, {made}, by {found.actor}): {words}.")
    return found


def _save_plan(
    context: CommandContext, workspace: Workspace, ident: str, made: Plan, path: Path | None, notes: Sequence[str]
) -> int:
    """Print a plan, and write it to a file if one was given."""
    from hf_gate.automation.service.turn_permissions import register_plan
    from hf_gate.verdicts.plan.model import encode_plan
    from hf_gate.verdicts.plan.render import render_plan

    closing = "Nothing was saved."
    if made.changes and path is not None:
        write_private_file(path, encode_plan(register_plan(workspace.store, made, workspace.clock.now())))
        remember_file(context, path)
        closing = f"Saved {path}.  Next: {context.command_line('apply', str(path))}"
    elif made.changes:
        again = repeat_command([ident])
        send = context.command_line("apply", "plan.json")
        closing = f"Nothing was saved or sent. To apply the plan: {again} --out plan.json, then {send}"
    context.out.document(made, lambda: map(style_mark, (*render_plan(made, workspace.zone), *notes, closing)))
    return 0


def find_run(workspace: Workspace, ident: str) -> RunRow:
    """Return the run with this id. Raises UsageError if there is no such run."""
    row = workspace.store.run(ident)
    if row is None:
        raise UsageError(f"there is no run {ident!r}.", hint="`hf-gate runs ls` lists the runs.")
    return row
