"""report overview: numbers of the workspace; and the group of all reports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..application.overview_records import OverviewCell, OverviewRecord
from ..application.record_files import csv_lines
from ..domain.display_text import pluralize
from .framework import CommandEntry, GateGroup, Run, command
from .output import Format, format_duration
from .workspace import open_workspace

if TYPE_CHECKING:
    from ..application.overview_records import WeekRecord

report = GateGroup(
    "report",
    {
        "overview": CommandEntry("report:report_overview", "Waits, decisions, rules and ends of the last 26 weeks."),
        "access": CommandEntry("report_access:report_access", "Who has access, or had it on a date."),
    },
    help="Reports: numbers of the workspace without personal data, and who has access.",
)

_WEEKS_SHOWN = 8


@command(
    "overview",
    examples=("hf-gate report overview", "hf-gate report overview --format svg"),
)
def report_overview(run: Run) -> int:
    """Show how many requests wait and how long, who decided each week, which rules decide, and what ends soon.

    CSV and JSON contain all numbers; svg draws the decisions and the requests of each week.
    """
    from ..application.overview import overview_cells, read_overview

    workspace = open_workspace(run)
    overview = read_overview(workspace.store, workspace.now())
    if run.out.format is Format.SVG:
        from ..web.overview import render_svg

        sys.stdout.write(render_svg(overview))
    elif run.out.format is Format.CSV:
        sys.stdout.writelines(csv_lines(OverviewCell, overview_cells(overview)))
    else:
        run.out.record(overview, lambda: _lines(overview))
    return 0


def _lines(overview: OverviewRecord) -> Iterator[str]:
    oldest = f", the oldest since {overview.oldest}" if overview.oldest else ""
    yield f"{pluralize(overview.repos, 'repo')}, {overview.waiting:,} waiting{oldest}"
    if overview.wait_median_s is not None and overview.wait_p95_s is not None:
        yield (
            f"Wait of requests from the last {len(overview.weeks)} weeks:"
            f" median {format_duration(overview.wait_median_s)}, 95 % at most {format_duration(overview.wait_p95_s)}"
        )
        yield f"  {overview.waits_ended:,} answered; {overview.waits_open:,} still waiting, counted with their wait so far"
    yield ""
    yield f"{'WEEK OF':<12}{'ASKED':>8}{'ANSWERED':>10}{'PEOPLE':>8}{'RULES':>8}{'ELSEWHERE':>11}"
    yield from map(_week_line, overview.weeks[: -_WEEKS_SHOWN - 1 : -1])
    yield "Older weeks: hf-gate report overview --format csv"
    if overview.rules:
        yield ""
        yield "Rules that decided, and how often a person changed the decision:"
        yield from (
            f"  {each.policy}/{each.rule}: {each.decided:,}, changed {each.reversed:,}" for each in overview.rules
        )
    ends = sum(each.ends or 0 for each in overview.ends)
    yield ""
    yield f"Access that ends in the next 90 days: {ends:,}"
    for each in overview.unproved:
        yield f"Not proved to be complete: {each.repo} ({each.why})"


def _week_line(week: WeekRecord) -> str:
    numbers = (week.asked, 8), (week.answered, 10), (week.by_people, 8), (week.by_rules, 8), (week.outside, 11)
    return f"{week.starts:<12}" + "".join(f"{number or 0:>{width},}" for number, width in numbers)
