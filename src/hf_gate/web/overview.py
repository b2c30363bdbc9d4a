"""The overview page: who waits and how long, decisions of 26 weeks, rules, ends and unproved repos, also as files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from msgspec.structs import asdict
from starlette.responses import Response

from ..application.overview import mask_small_counts, overview_cells, read_overview
from ..application.overview_records import OverviewCell, OverviewRecord
from ..application.record_files import csv_lines
from ..domain.display_text import to_json
from .approvals import describe_open_alarms
from .charts import Chart, Series, draw_lines, draw_stacked_bars
from .exports import file_response
from .held_ends import count_held
from .request_context import ENVIRONMENT, NotFound, RequestContext

_KINDS: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json", "svg": "image/svg+xml"}


def page(context: RequestContext) -> Response:
    """Show the numbers of the repos that this member sees."""
    overview = _read_numbers(context)
    return context.render(
        "overview.html",
        title="Overview",
        overview=overview,
        alarm_text=describe_open_alarms(context),
        held=count_held(context),
        decisions=decisions_chart(overview),
        asked=asked_chart(overview),
        links=_list_queries(overview) if not context.is_masked else {},
        ends_total=sum(each.ends or 0 for each in overview.ends),
        are_ends_masked=any(each.ends is None for each in overview.ends),
    )


def _list_queries(overview: OverviewRecord) -> dict[str, str]:
    """Return the queries that find the counted requests: of each week by its Monday, of all ends, and of who still waits.

    The weeks are those of UTC; days in a query are days of the workspace's zone.
    """
    starts = [each.starts for each in overview.ends]
    found = {start: _between(start, start) for start in starts} | {"ends": _between(starts[0], starts[-1])}
    return found | {"open": f"status:pending asked:>={overview.weeks[0].starts}"}


def _between(first: str, last: str) -> str:
    """Return the query for access that ends in the weeks of these Mondays."""
    return f"ends:>={first} ends:<={date.fromisoformat(last) + timedelta(days=6)}"


def export(context: RequestContext) -> Response:
    """Return the same numbers as a file."""
    kind = context.params["kind"]
    if kind not in _KINDS:
        raise NotFound
    overview = _read_numbers(context)
    if kind == "csv":
        text: Iterable[str] = csv_lines(OverviewCell, overview_cells(overview))
    else:
        text = [to_json({"schema_version": 1, **asdict(overview)}) if kind == "json" else render_svg(overview)]
    return file_response(map(str.encode, text), _KINDS[kind], "" if kind == "json" else f"overview.{kind}")


def _read_numbers(context: RequestContext) -> OverviewRecord:
    member = context.member
    repos = None if member.repos is None else {row.repo for row in context.app_state.membership.repos(member)}
    overview = read_overview(context.workspace.store, context.now, repos)
    return mask_small_counts(overview) if context.is_masked else overview


def decisions_chart(overview: OverviewRecord) -> Chart:
    """Draw the decisions of each week, by who made them. Without the parts, for viewers, the total is drawn."""
    weeks = overview.weeks
    if any(week.by_people is None for week in weeks):
        series = [Series("all", "ch-all", [week.answered for week in weeks])]
    else:
        series = [
            Series("by people", "ch-people", [week.by_people for week in weeks]),
            Series("by rules", "ch-rules", [week.by_rules for week in weeks]),
            Series("elsewhere", "ch-outside", [week.outside for week in weeks]),
        ]
    return draw_stacked_bars([week.starts for week in weeks], series)


def asked_chart(overview: OverviewRecord) -> Chart:
    """Draw how many asked and how many were answered each week."""
    weeks = overview.weeks
    series = [
        Series("asked", "ch-asked", [week.asked for week in weeks]),
        Series("answered", "ch-answered", [week.answered for week in weeks]),
    ]
    return draw_lines([week.starts for week in weeks], series)


def render_svg(overview: OverviewRecord) -> str:
    """Return a picture of both charts that stands alone."""
    charts = [("Decisions a week", decisions_chart(overview)), ("Asked and answered a week", asked_chart(overview))]
    return ENVIRONMENT.get_template("overview.svg").render(charts=charts, overview=overview)
