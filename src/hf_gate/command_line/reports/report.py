"""report: numbers of the workspace, who has or had access, and the Hub's own report of a repo."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import format_span
from hf_gate.command_line.framework import (
    CommandContext,
    CommandEntry,
    LazyGroup,
    command,
    limit_options,
    repo_type_option,
)
from hf_gate.command_line.output import Format
from hf_gate.command_line.request_table import repo_argument, target_argument
from hf_gate.command_line.targets import parse_repo_argument
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import open_workspace
from hf_gate.core.people.grants import format_last_day
from hf_gate.errors import HfGateError, UsageError
from hf_gate.ledger.service.access_report import AccessRecord, describe_outside, name_deciders, name_rule
from hf_gate.reports.service.overview import OverviewRecord
from hf_gate.requests.service.record_files import csv_lines

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from hf_gate.base.ids import Repo
    from hf_gate.ledger.service.access_report import AccessView, PeriodView
    from hf_gate.reports.service.overview import WeekRecord
    from hf_gate.settings.service.workspace import Workspace


report = LazyGroup(
    "report",
    {
        "overview": CommandEntry(
            "hf_gate.command_line.reports.report:report_overview",
            "Waiting times and decisions of the last 26 weeks.",
        ),
        "access": CommandEntry(
            "hf_gate.command_line.reports.report:report_access", "Who has access, or had it on a date."
        ),
    },
    help="Reports: numbers of the workspace without personal data, and who has access.",
)

_WEEKS_SHOWN = 8


@command(
    "overview",
    examples=("hf-gate report overview", "hf-gate report overview --format csv"),
)
def report_overview(context: CommandContext) -> int:
    """Show how many requests wait and how long, who decided each week, and what ends soon.

    CSV contains all weeks, JSON all numbers.
    """
    from hf_gate.reports.service.overview import WeekRecord, read_overview

    workspace = open_workspace(context)
    overview = read_overview(workspace.store, workspace.now())
    if context.out.format is Format.CSV:
        sys.stdout.writelines(csv_lines(WeekRecord, overview.weeks))
    else:
        context.out.document(overview, lambda: _lines(overview))
    return 0


def _lines(overview: OverviewRecord) -> Iterator[str]:
    oldest = f", the oldest since {overview.oldest}" if overview.oldest else ""
    yield f"{pluralize(overview.repos, 'repo')}, {overview.waiting:,} waiting{oldest}"
    if overview.wait_median_s is not None and overview.wait_p95_s is not None:
        yield (
            f"Wait of requests from the last {len(overview.weeks)} weeks:"
            f" median {format_span(overview.wait_median_s)}, 95 % at most {format_span(overview.wait_p95_s)}"
        )
        yield (
            f"  {overview.waits_ended:,} answered; {overview.waits_open:,} still waiting, counted with their wait "
            "so far"
        )
    yield ""
    yield f"{'WEEK OF':<12}{'ASKED':>8}{'ANSWERED':>10}{'PEOPLE':>8}{'RULES':>8}{'ELSEWHERE':>11}"
    yield from map(_week_line, overview.weeks[: -_WEEKS_SHOWN - 1 : -1])
    yield "Older weeks: hf-gate report overview --format csv"
    ends = sum(week.ends or 0 for week in overview.ends)
    yield ""
    yield f"Access that ends in the next 90 days: {ends:,}"


def _week_line(week: WeekRecord) -> str:
    numbers = (week.asked, 8), (week.answered, 10), (week.by_people, 8), (week.by_rules, 8), (week.outside, 11)
    return f"{week.starts:<12}" + "".join(f"{number or 0:>{width},}" for number, width in numbers)


# ---- report access ---------------------------------------------------------------------------------------------------


_EMPTY: Final = "Nobody had access through a request."
_BYPASSES: Final = {"member": "(member, bypasses the gate)", "owner": "(owner)"}


@command(
    "access",
    examples=(
        "hf-gate report access",
        "hf-gate report access datasets/acme/eeg --as-of 2026-05-01",
        "hf-gate report access 2026-05",
        "hf-gate report access --from 2026-01-01 --until 2026-03-31 --format csv",
    ),
)
@click.argument("repos", nargs=-1, metavar="[REPO|MONTH]...")
@repo_type_option
@limit_options
@click.option("--from", "first", metavar="DATE", help="Show everybody who had access in a period: its first day.")
@click.option("--until", "last", metavar="DATE", help="The last day of the period; default: today.")
@click.option(
    "--as-of",
    metavar="DATE",
    help="Show an earlier time: a timestamp, or the end of a date in the workspace's time zone.",
)
def report_access(
    context: CommandContext,
    *,
    repos: tuple[str, ...],
    repo_type: str | None,
    limit: int | None,
    first: str | None,
    last: str | None,
    as_of: str | None,
) -> int:
    """Show who has access to REPOs (default: those of the workspace), since when, by whom or which rule, and until
    when; or everybody who had access in a period, such as the MONTH 2026-05.

    The list is made from the audit log, so it shows any moment since the log began. stderr says which syncs prove it.
    Accounts that bypass the gate follow: the owner, or the members of the organisation as the Hub lists them now.
    FOUND LATER marks a request that had changed on the Hub by then, as a later sync showed.
    """
    from hf_gate.ledger.service.access_report import is_month, parse_period

    workspace = open_workspace(context)
    month = next(filter(is_month, repos), None)
    if (as_of is not None) + (month is not None) + (first is not None or last is not None) > 1:
        raise UsageError("give only one of --as-of, a month, and --from with --until.")
    named = list(dict.fromkeys(parse_repo_argument(context, text, repo_type) for text in repos if text != month))
    period = parse_period(month or first, month or last, workspace.now(), workspace.zone)
    view = _read_view(workspace, named, as_of, period)
    people = list(view.records()) if view.is_period else view.records()  # a period counts them
    rows = chain(people, _bypassing_accounts(context, view))
    columns = _build_columns(view, workspace.zone)
    empty = _EMPTY if period is None else "Nobody is known to have had access through a request."
    context.out.records(
        AccessRecord, rows, columns, name=target_argument, limit=limit, empty=empty, part="the first {}"
    )
    _print_certainty(context, view)
    return 0


def _read_view(
    workspace: Workspace, repos: Sequence[Repo], as_of: str | None, period: tuple[datetime, datetime] | None
) -> AccessView | PeriodView:
    """Return the view of these repos, or of all repos of the workspace, in a period or at a moment; None means now."""
    from hf_gate.ledger.service.access_report import parse_moment, read_access, read_period

    now = workspace.now()
    at = now if as_of is None else parse_moment(as_of, now, workspace.zone)
    location = workspace.location
    stored = (row.repo for row in workspace.store.repos())
    own = sorted(repo for repo in stored if location.folder is None or location.config.includes(repo))
    if not repos and not own:
        raise UsageError("the store has no repo yet.", hint="Read the repos first: hf-gate sync REPO")
    if period is not None:
        return read_period(workspace.store, repos or own, period, now.astimezone(workspace.zone))
    return read_access(workspace.store, repos or own, at.astimezone(workspace.zone))


def _print_certainty(context: CommandContext, view: AccessView | PeriodView) -> None:
    """Print on stderr how certain a view is: for people and agents in sentences, else what is missing."""
    if context.out.format in {Format.HUMAN, Format.AGENT}:
        for line in view.describe():
            context.out.say(line, "dim")
        return
    for repo in view.unknown:
        context.out.warn(f"{repo} is left out, because its audit log begins later.")


def _bypassing_accounts(context: CommandContext, view: AccessView | PeriodView) -> Iterator[AccessRecord]:
    """Yield the accounts that bypass the gate, and print what could not be read."""
    from hf_gate.ledger.service.access_report import read_bypassing_accounts

    try:
        account = context.account
    except HfGateError:
        account = None  # reading the members reports the error
    for row in read_bypassing_accounts(context.hub, view.certainties, () if account is None else (account.name,)):
        if row.user is None and row.note:
            context.out.warn(f"{repo_argument(row)}: {row.note}.")
        yield row


def _build_columns(view: AccessView | PeriodView, zone: tzinfo) -> Sequence[Column[AccessRecord]]:
    columns: list[Column[AccessRecord]] = [
        Column("WHO", _name_account, is_flexible=True),
        Column("SINCE", lambda row: _format_day(row.since)),
        Column("BY", _describe_deciders, is_flexible=True),
        Column("RULE", lambda row: name_rule(row) or "-", is_flexible=True, drop_rank=1),
        Column("UNTIL", lambda row: _format_until(row, zone)),
    ]
    if len(view.certainties) > 1:
        columns.insert(1, Column("REPO", repo_argument, is_flexible=True, is_tail_shown=True))
    if view.is_period:
        columns.append(Column("ENDED", _describe_ending, is_flexible=True))
        columns.append(Column("REASON", lambda row: row.reason or "-", is_flexible=True))
        return columns
    columns.insert(-1, Column("ROWS", lambda row: row.until_row or "-", is_flexible=True, drop_rank=2))
    columns.insert(-1, Column("FORM", lambda row: (row.form or "-")[:8], drop_rank=3))
    if any(certainty.found_later for certainty in view.certainties):
        columns.append(Column("FOUND LATER", lambda row: "yes" if row.found_later else ""))
    return columns


def _format_until(row: AccessRecord, zone: tzinfo) -> str:
    end = row.ended_at or row.until
    return "-" if end is None else format_last_day(end, zone)


def _describe_ending(row: AccessRecord) -> str:
    if row.ended_at is None:
        return "-"
    return f"{row.ended_as} by {row.ended_by or 'somebody on the Hub'}"


def _describe_deciders(row: AccessRecord) -> str:
    if row.through in _BYPASSES:
        return _BYPASSES[row.through]
    outside = describe_outside(row)
    return " ".join(filter(None, [name_deciders(row), f"({outside})" if outside else ""])) or "-"


def _name_account(row: AccessRecord) -> str:
    if row.through == "member" and row.user is None:
        return "(members not read)"
    return row.user or row.user_id or "(hidden)"


def _format_day(time: str | None) -> str:
    return "-" if time is None else time[:10]
