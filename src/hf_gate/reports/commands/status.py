"""status: shows pending requests, last syncs, the token's budget, and what is held; `--check` is for monitors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING, Final

import click

from hf_gate.automation.service.health import health_record
from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import format_age, from_ms, ms_to_iso, to_iso
from hf_gate.cli.framework import CommandContext, command
from hf_gate.cli.output import clock_advice
from hf_gate.cli.workspace import open_stored_workspace, open_workspace
from hf_gate.config import parse_seconds
from hf_gate.core.turns import HealthState
from hf_gate.errors import HfGateError, NotAllowed, UsageError
from hf_gate.grants.hold_reasons import format_holds
from hf_gate.hub.protocol.clock_skew import WARN_ABOVE_S
from hf_gate.inbox.records import run_record
from hf_gate.reports.records import (
    GuardStatusRecord,
    MissingApprovalsRecord,
    ProcessRecord,
    RefusedTableRecord,
    StatusRecord,
    TokenStatusRecord,
    UnknownConditionsRecord,
)
from hf_gate.reports.service.workspace_status import add_holds, repo_status_record
from hf_gate.store.rows.processes import read_processes

if TYPE_CHECKING:
    from hf_gate.automation.service.health import Health
    from hf_gate.automation.service.turn_permissions import BudgetUse
    from hf_gate.core.stored_rows import ProcessRow
    from hf_gate.grants.service.ends.unknown_conditions import UnknownConditions
    from hf_gate.reports.service.workspace_status import RepoStatus, WorkspaceStatus
    from hf_gate.settings.service.workspace import Workspace


_UNKNOWN: Final = TokenStatusRecord()


@command("status", examples=("hf-gate status", "hf-gate status --check --max-age 1h", "hf-gate status --markdown"))
@click.option(
    "--markdown",
    is_flag=True,
    help=(
        "Print lines for a repo card: until when requests were answered, and what to run if a download fails. No "
        "personal data."
    ),
)
@click.option(
    "--check",
    is_flag=True,
    help="Only say whether unattended work is alive: exit code 0 if it is, else 1. Reads the store, not the Hub.",
)
@click.option(
    "--max-age",
    metavar="TIME",
    help="With --check: the last turn is late after this time; default: 30m, or twice the pause of `run --every`.",
)
def status(context: CommandContext, *, markdown: bool, check: bool, max_age: str | None) -> int:
    """Show the last turn, pending requests and their age, syncs, the token's budget, and what is stuck or unfinished.

    `--check` is for cron, a monitor or a container. States: `fine`; `idle`: `hf-gate run` was never started, which is
    fine too; `late`: no turn for too long; `failed`: the last turn failed; `stuck`: something waits for a person;
    `stopped`: all unattended work was stopped.
    """
    if (check and markdown) or (max_age is not None and not check):
        raise UsageError("--max-age needs --check, and --check excludes --markdown.")
    return check_health(context, max_age) if check else _show_status(context, markdown=markdown)


def _show_status(context: CommandContext, *, markdown: bool) -> int:
    from hf_gate.automation.service.health import list_problems, read_health
    from hf_gate.reports.service.workspace_status import read_workspace_status

    token = _UNKNOWN if markdown else _check_token(context)
    context.is_announced = token.ok is not True  # an invalid token is reported below, and must not stop the command
    workspace = open_workspace(context)
    location = workspace.location
    rates = {} if location.folder is None else location.config.guards.budgets
    found = add_holds(workspace, read_workspace_status(workspace.store, rates, workspace.now()))
    zone = workspace.zone
    if markdown:
        for line in _markdown(found, zone):
            context.out.line(line)
        return 0
    problems = list(list_problems(workspace))
    health = read_health(workspace.store, workspace.now(), problems)
    processes = read_processes(workspace.store)
    context.out.document(
        _build_record(workspace, found, token, health, processes),
        lambda: [
            *health_lines(health),
            *(problem.line for problem in problems),
            *_lines(found, token, zone),
            *_process_lines(processes),
        ],
        quiet=[str(each.repo) for each in found.repos if each.waiting],
    )
    return 4 if token.ok is False else 0


def _build_record(
    workspace: Workspace,
    found: WorkspaceStatus,
    token: TokenStatusRecord,
    health: Health,
    processes: Sequence[ProcessRow],
) -> StatusRecord:
    from hf_gate.approvals.service.approval_alarms import list_open_alarms
    from hf_gate.automation.service.health import list_unfinished_runs
    from hf_gate.grants.service.ends.grant_ends import read_held_ends
    from hf_gate.grants.service.ends.unknown_conditions import find_unknown_conditions
    from hf_gate.messages.service.message_records import list_undelivered
    from hf_gate.reports.service.workspace_status import format_answered_line
    from hf_gate.verdicts.service.policy_bundle import find_refused_tables

    location = workspace.location
    zone = workspace.zone
    return StatusRecord(
        endpoint=workspace.store.endpoint,
        desk=None if location.folder is None else str(location.folder),
        at=to_iso(found.at),
        repos=[
            repo_status_record(one, format_answered_line(one.answered_before, found.at, zone)) for one in found.repos
        ],
        token=token,
        guards=list(map(_guard_record, found.budgets)),
        held=dict(found.held_counts),
        refused_tables=[RefusedTableRecord(table=one.name, why=one.refusal) for one in find_refused_tables(workspace)],
        held_ends=read_held_ends(workspace.store),
        unknown_conditions=list(map(_unknown_record, find_unknown_conditions(workspace))),
        undelivered=list_undelivered(workspace),
        approvals_missing=[
            MissingApprovalsRecord(
                request_id=row.state.hub_request,
                repo=row.repo.id,
                repo_type=row.repo.type,
                at=ms_to_iso(one.at),
                given=one.given,
                needed=one.needed,
            )
            for one, row in list_open_alarms(workspace.store)
        ],
        runs=list(map(run_record, list_unfinished_runs(workspace.store))),
        health=health_record(health),
        processes=list(map(_process_record, processes)),
    )


def _guard_record(budget: BudgetUse) -> GuardStatusRecord:
    return GuardStatusRecord(
        name=budget.name,
        limit=budget.rate.limit,
        seconds=budget.rate.seconds,
        used=budget.used,
        stuck=budget.is_used_up,
    )


def _process_record(process: ProcessRow) -> ProcessRecord:
    return ProcessRecord(
        id=process.id,
        role=process.role,
        leads=process.is_leading,
        host=process.host,
        version=process.version,
        revision=process.revision,
        files=process.digest,
    )


def _unknown_record(conditions: UnknownConditions) -> UnknownConditionsRecord:
    repo = conditions.repo
    return UnknownConditionsRecord(
        repo=repo.id,
        repo_type=repo.type,
        grants=conditions.grants,
        tables=list(conditions.tables),
    )


def _check_token(context: CommandContext) -> TokenStatusRecord:
    """Ask the Hub whether the token is valid and how many calls are left.

    A cached answer could hide an invalid token.
    """
    account = None
    is_valid = None
    detail = ""
    try:
        account = context.hub.whoami().name
        is_valid = True
    except NotAllowed as problem:
        is_valid = False
        detail = str(problem)
    except HfGateError as problem:
        detail = str(problem)
    outlook = context.hub.outlook()
    skew = context.hub.skew
    return TokenStatusRecord(
        ok=is_valid,
        account=account,
        detail=detail,
        remaining=outlook.remaining,
        quota=outlook.quota,
        window_s=outlook.window_s,
        clock_skew_s=None if skew is None else round(skew),
    )


# ---- text ------------------------------------------------------------------------------------------------------------


def _lines(found: WorkspaceStatus, token: TokenStatusRecord, zone: tzinfo) -> Iterator[str]:
    for repo_status in found.repos:
        yield from _repo_lines(repo_status, found, zone)
    if not found.repos:
        yield "No repo has been synced yet: hf-gate sync"
    yield _token_line(token)
    skew = token.clock_skew_s
    if skew is not None and abs(skew) > WARN_ABOVE_S:
        yield f"CLOCK: {clock_advice(skew)}"
    for budget in found.budgets:
        if budget.is_used_up:
            yield (
                f"STUCK: the guard `{budget.name}: {budget.rate}` is used up ({budget.used:,}), so `run` "
                "defers such changes. Raise it in hf-gate.yaml, or apply a plan: hf-gate plan --out plan.json"
            )


def _process_lines(processes: Sequence[ProcessRow]) -> Iterator[str]:
    """Yield a line for each process; files that differ from the leader's, or else from the first one's, are named."""
    known = next((each.digest for each in processes if each.digest), "")
    for each in processes:
        what = "leads" if each.is_leading else "stands by" if each.role == "loop" else "serves the desk"
        files = f"files {each.digest[:8]}" if each.digest else "files unknown"
        is_other = each.digest not in {"", known}
        yield f"{'OTHER FILES: ' if is_other else ''}{each.id} {what} (hf-gate {each.version}, {files})."


def _repo_lines(repo_status: RepoStatus, found: WorkspaceStatus, zone: tzinfo) -> Iterator[str]:
    from hf_gate.reports.service.workspace_status import format_answered_line

    wait = ""
    if repo_status.oldest is not None and repo_status.median is not None:
        wait = (
            f", the oldest for {format_age(repo_status.oldest, found.at)}, half of them for "
            f"{format_age(found.at - repo_status.median, found.at)} or longer"
        )
    yield f"{repo_status.repo}: {pluralize(repo_status.waiting, 'request')} waiting{wait}."
    if repo_status.on_hold:
        yield f"  on hold: {format_holds(repo_status.on_hold)}"
    read = [
        f"{kind} {format_age(from_ms(at), found.at)} ago"
        for kind, at in (("quick", repo_status.row.quick_at), ("full", repo_status.row.full_at))
        if at
    ]
    yield f"  synced: {', '.join(read) or 'never'}{'' if repo_status.row.is_complete else '; not proved complete'}"
    if repo_status.row.problem:
        yield f"  PROBLEM: {repo_status.row.problem}"
    if line := format_answered_line(repo_status.answered_before, found.at, zone):
        yield f"  {line}"


def _token_line(token: TokenStatusRecord) -> str:
    if token.ok is False:
        return f"TOKEN: {token.detail}"
    if token.ok is None:
        return f"Token: could not be checked. {token.detail}"
    budget = "" if token.quota is None else f", {token.remaining:,} of {token.quota:,} calls left in this window"
    return f"Token: {token.account}{budget}."


def _markdown(found: WorkspaceStatus, zone: tzinfo) -> Iterator[str]:
    from hf_gate.reports.service.workspace_status import format_answered_line

    for repo_status in found.repos:
        line = (
            format_answered_line(repo_status.answered_before, found.at, zone)
            or "Requests are reviewed by people; no response time is promised"
        )
        needs = format_holds(repo_status.on_hold)
        yield f"- `{repo_status.repo}` {line}.{f' Now {needs}.' if needs else ''}"
        yield (
            f"- Cannot download? Run `hf-gate why {repo_status.repo}`: it shows the cause and what to do. It does not "
            "request access."
        )
        yield "- A program failed? Run `... 2>&1 | hf-gate why -`: it reads the error. Your token goes to the Hub only."


# ---- status --check --------------------------------------------------------------------------------------------------


def health_lines(health: Health) -> Iterator[str]:
    """Yield the first line of the status; nothing if `hf-gate run` was never started."""
    if health.state.is_good and health.last is None:
        return
    word = "" if health.state.is_good else f"{health.state.value.upper()}: "
    yield f"{word}{health.sentence}{f' {health.hint}' if health.hint else ''}"


def check_health(context: CommandContext, max_age: str | None) -> int:
    """Print the state of unattended work in one line; return 0 if nobody needs to do anything, else 1."""
    from hf_gate.automation.service.health import Health, list_problems, read_health

    patience = None if max_age is None else timedelta(seconds=parse_seconds(max_age, "--max-age"))
    context.is_announced = True  # one line only
    workspace = open_stored_workspace(context)
    if workspace is None:
        health = Health(HealthState.IDLE, "`hf-gate run` was never started here.")
    else:
        health = read_health(workspace.store, workspace.now(), list_problems(workspace), max_age=patience)
    line = f"{health.state}: {health.sentence}{f' {health.hint}' if health.hint else ''}"
    context.out.document(
        health_record(health),
        lambda: [line, *(f"  {each}" for each in health.stuck)],
        quiet=[health.state.value],
    )
    return 0 if health.state.is_good else 1
