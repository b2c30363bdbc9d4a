"""status: shows what needs a person, pending requests and last syncs; `--check` is for monitors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

import click

from hf_gate.automation.service.health import health_record
from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import format_age, from_ms, to_iso
from hf_gate.command_line.framework import CommandContext, command
from hf_gate.command_line.workspace_opening import open_stored_workspace, open_workspace
from hf_gate.config import parse_seconds
from hf_gate.core.turns import HealthState
from hf_gate.errors import UsageError
from hf_gate.grants.hold_reasons import format_holds
from hf_gate.reports.records import (
    ProcessRecord,
    StatusRecord,
)
from hf_gate.reports.service.workspace_status import repo_status_record
from hf_gate.store.rows.processes import read_processes

if TYPE_CHECKING:
    from hf_gate.automation.service.health import Health
    from hf_gate.core.stored_rows import ProcessRow
    from hf_gate.reports.service.workspace_status import RepoStatus


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
    """Show the last turn, what needs a person, pending requests and their age, and syncs. Reads the store, not the Hub.

    `--check` is for cron, a monitor or a container. States: `fine`; `idle`: `hf-gate run` was never started, which is
    fine too; `late`: no turn for too long; `failed`: the last turn failed; `stuck`: something waits for a person;
    `stopped`: all unattended work was stopped.
    """
    if (check and markdown) or (max_age is not None and not check):
        raise UsageError("--max-age needs --check, and --check excludes --markdown.")
    return check_health(context, max_age) if check else _show_status(context, markdown=markdown)


def _show_status(context: CommandContext, *, markdown: bool) -> int:
    from hf_gate.automation.service.health import list_problems, read_health
    from hf_gate.reports.service.workspace_status import (
        format_answered_line,
        read_workspace_status,
    )

    context.is_announced = markdown  # the lines are for a card, and nothing else is printed
    workspace = open_workspace(context)
    now = workspace.now()
    zone = workspace.zone
    found = read_workspace_status(workspace)
    if markdown:
        for line in _markdown(found, now, zone):
            context.out.line(line)
        return 0
    problems = list(list_problems(workspace))
    health = read_health(workspace.store, now, problems)
    processes = read_processes(workspace.store)
    folder = workspace.location.folder
    record = StatusRecord(
        endpoint=workspace.store.endpoint,
        desk=None if folder is None else str(folder),
        at=to_iso(now),
        repos=[
            repo_status_record(one, format_answered_line(one.answered_before, one.oldest, now, zone)) for one in found
        ],
        problems=[problem.record for problem in problems],
        health=health_record(health),
        processes=list(map(_process_record, processes)),
    )
    context.out.document(
        record,
        lambda: [
            *health_lines(health),
            *(problem.line for problem in problems),
            *_lines(found, now, zone),
            *_process_lines(processes),
        ],
        quiet=[str(each.repo) for each in found if each.waiting],
    )
    return 0


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


# ---- text ------------------------------------------------------------------------------------------------------------


def _lines(found: Sequence[RepoStatus], now: datetime, zone: tzinfo) -> Iterator[str]:
    for repo_status in found:
        yield from _repo_lines(repo_status, now, zone)
    if not found:
        yield "No repo has been synced yet: hf-gate sync"


def _process_lines(processes: Sequence[ProcessRow]) -> Iterator[str]:
    """Yield a line for each process; files that differ from the leader's, or else from the first one's, are named."""
    known = next((each.digest for each in processes if each.digest), "")
    for each in processes:
        what = "leads" if each.is_leading else "stands by" if each.role == "loop" else "serves the desk"
        files = f"files {each.digest[:8]}" if each.digest else "files unknown"
        is_other = each.digest not in {"", known}
        yield f"{'OTHER FILES: ' if is_other else ''}{each.id} {what} (hf-gate {each.version}, {files})."


def _repo_lines(repo_status: RepoStatus, now: datetime, zone: tzinfo) -> Iterator[str]:
    from hf_gate.reports.service.workspace_status import format_answered_line

    wait = ""
    if repo_status.oldest is not None and repo_status.median is not None:
        wait = (
            f", the oldest for {format_age(repo_status.oldest, now)}, half of them for "
            f"{format_age(now - repo_status.median, now)} or longer"
        )
    yield f"{repo_status.repo}: {pluralize(repo_status.waiting, 'request')} pending{wait}."
    if repo_status.on_hold:
        yield f"  on hold: {format_holds(repo_status.on_hold)}"
    read = [
        f"{kind} {format_age(from_ms(at), now)} ago"
        for kind, at in (("quick", repo_status.row.quick_at), ("full", repo_status.row.full_at))
        if at
    ]
    yield f"  synced: {', '.join(read) or 'never'}{'' if repo_status.row.is_complete else '; not proved complete'}"
    if repo_status.row.problem:
        yield f"  PROBLEM: {repo_status.row.problem}"
    if line := format_answered_line(repo_status.answered_before, repo_status.oldest, now, zone):
        yield f"  {line}"


def _markdown(found: Sequence[RepoStatus], now: datetime, zone: tzinfo) -> Iterator[str]:
    from hf_gate.reports.service.workspace_status import format_answered_line

    for repo_status in found:
        line = (
            format_answered_line(repo_status.answered_before, repo_status.oldest, now, zone)
            or "Requests are reviewed by people; no response time is promised"
        )
        needs = format_holds(repo_status.on_hold)
        yield f"- `{repo_status.repo}` {line}.{f' On hold: {needs}.' if needs else ''}"
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
