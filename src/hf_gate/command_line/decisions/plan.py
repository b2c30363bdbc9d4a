"""plan and apply: show what the policies would change, save the plan in a file, and apply the file once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import pluralize
from hf_gate.base.environment import is_read_only
from hf_gate.base.private_files import read_regular_file, write_private_file
from hf_gate.base.timestamps import format_span, to_ms
from hf_gate.command_line.automation.run import lateness_of
from hf_gate.command_line.framework import command, full_evaluation_option
from hf_gate.command_line.output import StyledLine, clock_advice, style_mark
from hf_gate.command_line.workspace_opening import (
    executor_for,
    find_actor,
    open_for_runs,
    open_with_policies,
    remember_file,
)
from hf_gate.config import parse_seconds
from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import Action
from hf_gate.core.runs import ChangeOrigin, RunKind
from hf_gate.core.stored_rows import count_pending
from hf_gate.decisions.records import outcomes_record
from hf_gate.errors import UsageError
from hf_gate.grants.service.ends.end_adoption import describe_kept_access
from hf_gate.requests.rows.queue import read_verdict_counts
from hf_gate.verdicts.plan.words import describe_hold

from .confirmation import authorize_run, confirm_plan, resume_run
from .execution import execute_run, print_preview, print_run

if TYPE_CHECKING:
    from hf_gate.command_line.framework import CommandContext
    from hf_gate.core.people.members import RunAuthor
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.plan.model import Plan
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle

PROFILE_BUDGET: Final = 200
CHANGES = 3  # exit code of --detailed-exitcode if there are changes


@command(
    "plan",
    examples=(
        "hf-gate plan",
        "hf-gate plan --out plan.json",
        "hf-gate plan --detailed-exitcode --json",
    ),
)
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan to this file.")
@click.option("--valid", metavar="TIME", default="24h", show_default=True, help="How long the plan can be applied.")
@click.option("--now", "moment", metavar="TIME", help="Evaluate as of this time (ISO 8601); records no verdicts.")
@click.option(
    "--profiles",
    type=click.IntRange(0),
    default=PROFILE_BUDGET,
    show_default=True,
    help="Maximum number of profiles to read.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 3 if there are changes.")
@full_evaluation_option
def plan(
    context: CommandContext,
    path: Path | None,
    valid: str,
    moment: str | None,
    profiles: int,
    detailed_exitcode: bool,
    full_evaluation: bool,
) -> int:
    """Show what the policies of this workspace would change, and why. Nothing is sent.

    Evaluates the requests in the store (`hf-gate sync` updates the store), records new verdicts in the audit log, and
    prints the plan. The same store, policies and --now give the same plan, byte for byte. With HF_GATE_READ_ONLY=1,
    nothing is recorded.
    """
    lasting = timedelta(seconds=parse_seconds(valid, "--valid"))
    must_not_write = is_read_only()
    workspace, bundle = open_with_policies(context, is_preview=must_not_write)
    made = make_plan_file(
        context,
        workspace,
        bundle,
        path,
        profile_budget=profiles,
        moment=_parse_time(moment) or (context.now() if must_not_write else None),
        valid=lasting,
        is_full=full_evaluation,
    )
    lines = [*plan_lines(workspace, bundle, made), *_next_lines(context, workspace, made, path)]
    context.out.document(made, lambda: lines)
    return CHANGES if detailed_exitcode and made.changes else 0


def make_plan_file(
    context: CommandContext,
    workspace: Workspace,
    bundle: PolicyBundle,
    path: Path | None,
    *,
    profile_budget: int = PROFILE_BUDGET,
    moment: datetime | None = None,
    valid: timedelta = timedelta(days=1),
    is_full: bool = False,
) -> Plan:
    """Make a plan, register it in the store, and write it to a file if there is a path."""
    from hf_gate.automation.service.turn_permissions import register_plan
    from hf_gate.decisions.service.plans.planning import make_plan
    from hf_gate.grants.service.ends.end_adoption import count_outdated_ends, outdated_ends_note
    from hf_gate.verdicts.plan.model import encode_plan
    from hf_gate.verdicts.service.evaluation_pool import EvaluationPool

    with EvaluationPool(workspace, bundle) as pool:
        found = make_plan(
            workspace,
            bundle,
            pool.evaluate,
            profile_budget=profile_budget,
            moment=moment,
            valid=valid,
            is_full=is_full,
        )
    made = found.plan
    if moment is None and (note := outdated_ends_note(count_outdated_ends(workspace, bundle, workspace.clock.now()))):
        context.out.say(note)
    if found.skew is not None:
        context.out.warn(f"This plan ends no grants: {clock_advice(found.skew)}")
    if not is_read_only():
        register_plan(workspace.store, made, workspace.clock.now())
    if path is not None:
        write_private_file(path, encode_plan(made))
        remember_file(context, path)
    return made


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--now: {text!r} is not a time.", hint="Write a time like 2026-11-25T12:00:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _next_lines(context: CommandContext, workspace: Workspace, made: Plan, path: Path | None) -> Iterator[str]:
    if path is not None:
        saved = describe_saved(workspace, made, path)
        yield f"{saved}  Next: {context.command_line('apply', str(path))}" if made.changes else saved
    elif made.changes:
        save = context.command_line("plan", "--out", "plan.json")
        send = context.command_line("apply", "plan.json")
        yield f"Nothing was sent. To apply the plan: {save}, then {send}"


def describe_saved(workspace: Workspace, made: Plan, path: Path) -> str:
    """Return a sentence about the file of a plan."""
    from hf_gate.verdicts.plan.render import format_validity

    return f"Saved {path} ({format_validity(made, workspace.clock.now())})."


def plan_lines(workspace: Workspace, bundle: PolicyBundle, made: Plan) -> Iterable[str | StyledLine]:
    """Return a plan as lines for people."""
    from hf_gate.verdicts.plan.render import estimate_calls, render_plan

    rows = workspace.store.repos()
    waiting = count_pending(rows)
    names = ", ".join(f"{policy.name}@{policy.digest[:8]} ({policy.mode})" for policy in bundle.policies) or "none"
    synced = min((row.quick_at or row.full_at or 0 for row in rows), default=0)
    ago = format_span(workspace.clock.now().timestamp() - synced / 1000) + " ago" if synced else "never"
    lines = [f"Policies   {names}", f"Data       {waiting:,} pending in {pluralize(len(rows), 'repo')}, synced {ago}"]
    holds = _describe_holds(workspace, bundle, made)
    lines += render_plan(made, bundle.zone, calls=estimate_calls(made), policies=bundle.policies, holds=holds)
    if late := lateness_of(made.changes):
        lines.append(late)
    if kept := describe_kept_access(workspace, bundle):
        lines.append(kept)
    return map(style_mark, lines)


def _describe_holds(workspace: Workspace, bundle: PolicyBundle, made: Plan) -> list[tuple[int, str]]:
    """Return how many requests each rule keeps on hold, with the rule in words; empty unless that is all of them."""
    counts = Counter[tuple[str, str]]()
    for each in read_verdict_counts(workspace.store, Status.PENDING.value):
        if each.action == Action.WAIT:
            counts[each.policy or "", each.rule] += each.n
    if counts.total() != made.summary.get(Action.WAIT, 0):
        return []  # the stored verdicts are not those of this plan
    return [(number, describe_hold(bundle.policies, *rule)) for rule, number in counts.most_common()]


# ---- apply -----------------------------------------------------------------------------------------------------------


@command(
    "apply",
    examples=(
        "hf-gate apply plan.json",
        "hf-gate apply plan.json --dry-run",
        "hf-gate apply plan.json --yes --max-changes 773 --json",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--max-changes", type=click.IntRange(1), help="With --yes: maximum number of changes.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
def apply(context: CommandContext, file: Path, yes: bool, max_changes: int | None, dry_run: bool) -> int:
    """Apply a plan: each change once, after reading each request again.

    The plan must be made in this workspace, by a command or in the desk. Requests that have changed since are skipped
    (stale); --dry-run shows them and what would be sent. The same command resumes an interrupted run. A plan that has
    already been applied changes nothing.
    """
    from hf_gate.automation.service.health import describe_missing_loop
    from hf_gate.automation.service.turn_permissions import check_registered
    from hf_gate.decisions.service.runs import runs
    from hf_gate.settings.service.workspace import new_id
    from hf_gate.verdicts.plan.model import decode_plan

    made = decode_plan(_read_plan_file(file), str(file))
    if not made.changes:
        context.out.document(outcomes_record((), 0, None), lambda: ["This plan has no changes: nothing to apply."])
        return 0
    workspace, bundle = (
        open_with_policies(context, is_preview=dry_run)
        if runs.needs_policies(made)
        else (open_for_runs(context, is_preview=dry_run), None)
    )
    store = workspace.store
    known = store.run_of_plan(made.digest)
    if known is not None and known.is_over:
        context.out.say(f"This plan has already been applied in run {known.id}; nothing was sent.")
        return print_run(context, workspace, known)
    runs.check_plan_in_workspace(workspace, bundle, made)
    if known is None:
        check_registered(store, made)
        confirm_plan(context, workspace, made.changes, yes=yes, max_changes=max_changes, is_dry_run=dry_run)
        now = workspace.clock.now()
        acts = Counter(change.action for change in made.changes)
        repos = (change.repo_ref for change in made.changes)
        author = authorize_run(context, workspace, acts, repos, plan=made.digest, about=_decided_by_hand(made))
        if dry_run:
            return _preview_plan(context, workspace, made, author)
        known = runs.create_run(
            workspace.store, made, run_id=new_id(), kind=RunKind.PLAN, actor=find_actor(context), now=now, author=author
        )
    elif dry_run:
        runs.check_changes_match_plan(store, known)
        return print_preview(context, executor_for(workspace, known).preview(known, store.changes(known.id)))
    else:
        known = resume_run(context, workspace, known, find_actor(context))
        if (
            workspace.store.stop_request(known.id) == "pause"
        ):  # a second apply resumes a paused run, but not a run that is about to stop
            workspace.store.request_stop(known.id, None)
    code = execute_run(context, workspace, known)
    if note := describe_missing_loop(workspace.store, workspace.now()):
        context.out.hint(note)
    return code


def _preview_plan(context: CommandContext, workspace: Workspace, made: Plan, author: RunAuthor) -> int:
    """Print what a run of this plan would send now; return the exit code that it would have."""
    from hf_gate.decisions.service.runs import runs

    runs.check_row_ids(workspace.store, made.changes)
    at = to_ms(workspace.clock.now())
    run = runs.make_run("", RunKind.PLAN, find_actor(context), made.changes, at, author=author, plan=made.digest)
    rows = runs.make_change_rows(run.id, made.changes)
    return print_preview(context, executor_for(workspace, run).preview(run, rows))


def _decided_by_hand(made: Plan) -> Iterator[tuple[str | None, str | None]]:
    """Return the people of changes that a person decided: changes without a policy that are not the end of a grant."""
    return (
        (change.user, change.user_id)
        for change in made.changes
        if not change.policy and change.rule != ChangeOrigin.UNTIL
    )


def _read_plan_file(file: Path) -> bytes:
    try:
        return read_regular_file(file)
    except OSError as problem:
        raise UsageError(
            f"the plan {file} cannot be read: {problem.strerror}.", hint="Create one: hf-gate plan --out plan.json"
        ) from None
