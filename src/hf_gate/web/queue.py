"""The queue: requests by query, the oldest first, each with its verdict, decided without being opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from statistics import median
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from ..application.record_builders import stored_request
from ..application.records import RequestRecord
from ..domain.lifecycle import Status
from ..domain.members import MAX_SAVED_VIEWS, MemberRole
from ..domain.query_parser import parse_query
from ..domain.rows import QueryPage, QueueCount, RequestRow
from ..domain.timestamps import from_ms, to_ms
from ..errors import InvalidQuery
from . import crowd, words
from .asking import PENDING, QueueQuery, asked_of, read_and_count, run_query
from .drafts import tables_known
from .exports import export_response
from .lines import lines_of
from .request_context import NotFound, Refused, RequestContext
from .tallies import MOST, about, address, cells_of, count_from_cells, facets_of, standing_of, total_of

PAGE: Final = 50
VIEWS: Final = (
    ("Pending", PENDING),
    ("Oldest", f"{PENDING} age:>7d"),
    ("Suggested", f"{PENDING} verdict:accept,reset,reject"),
    ("Needs review", f"{PENDING} verdict:human"),
    ("On hold", f"{PENDING} verdict:wait"),
    ("Accepted", "status:accepted"),
)
"""The views that everybody has."""

_WEEK: Final = timedelta(days=7)
_LATELY: Final = 1000  # decisions of the last week that are looked at, to say how long they took


def home(context: RequestContext) -> Response:  # noqa: ARG001 - as every page
    """The desk begins with its queue."""
    return RedirectResponse("/queue", 303)


# ---- the page ----------------------------------------------------------------------------------------------------------


def page(context: RequestContext) -> Response:
    """One page of the queue with its facets; by person when that is asked for."""
    asked = asked_of(context)
    by, order = crowd.way(context), "newest" if context.query_value("order") == "newest" else None
    after = context.query_value("after") or None
    cells = cells_of(context)
    matching = count_from_cells(asked.query, cells)
    shown = _rows(context, asked, order, after, is_known=by is not None or matching is not None)
    following, total = shown.pop("next"), shown.pop("total", None)
    standing, more = standing_of(cells), f"&by={by}" if by else ""
    return context.page(
        "queue.html",
        **shown,
        asked=asked,
        following=address(asked.text, by=by, order=order, after=following) if following else None,
        first=address(asked.text, by=by, order=order) if after else None,
        turned=address(asked.text, by=by, order=None if order else "newest"),
        regrouped=address(asked.text, by=None if by else crowd.BY, order=order),
        newest=order is not None,
        by=by,
        total=total or total_of(context, asked.query, cells),
        views=views_of(context, asked, cells, by),
        facets=facets_of(asked, cells, more),
        more=more,
        standing=standing,
        exports=[(kind, _file(asked.text, kind, by)) for kind in ("csv", "json")],
        problem=context.app_state.policy_problem_for(context.member),
        unread=unread(context),
        refused_tables=refused_tables(context),
        picked=context.workspace.selections.count(context.selection),
        matching=matching,
        query_text=asked.text,
        **({} if shown["lines"] else empty(context, asked, standing[Status.PENDING])),
    )


def _rows(
    context: RequestContext, asked: QueueQuery, order: str | None, after: str | None, *, is_known: bool
) -> dict[str, Any]:
    """The rows, and where they go on. `is_known`: how many there are is not asked here."""
    if crowd.way(context):
        return _people(context, asked, order, after)
    if after is None and not is_known:
        return _search(context, asked, order)
    return _page_values(
        context, run_query(context, asked.query, limit=PAGE, cursor=after, newest_first=order is not None)
    )


def _search(context: RequestContext, asked: QueueQuery, order: str | None) -> dict[str, Any]:
    """The first page of what no counter knows: it is looked for once, for the rows and for their number."""
    found, count = read_and_count(context, asked.query, limit=PAGE, most=MOST, newest_first=order is not None)
    return _page_values(context, found) | {"total": about(count)}


def _page_values(context: RequestContext, found: QueryPage) -> dict[str, Any]:
    picks = context.workspace.selections.filter_selected(context.selection, [row.id for row in found.rows])
    return {"lines": lines_of(context, found.rows), "picks": picks, "next": found.next}


def _people(context: RequestContext, asked: QueueQuery, order: str | None, after: str | None) -> dict[str, Any]:
    people, following = crowd.read_people(context, asked.query, cursor=after, newest_first=order is not None)
    return {"lines": people, "hidden": sum(one.is_hidden for one in people), "next": following}


def _file(text: str, kind: str, by: str | None) -> str:
    return f"/queue.{kind}?{urlencode({'q': text} | ({'by': by} if by else {}))}"


def views_of(
    context: RequestContext, asked: QueueQuery, cells: Sequence[QueueCount], by: str | None = None
) -> list[dict[str, object]]:
    """The saved views, each with how many it holds where that is known without looking."""
    own = context.workspace.members.list_views(context.member.id)
    named = [*((name, query, False) for name, query in VIEWS), *((name, query, True) for name, query in own)]
    return [
        {
            "name": name,
            "href": address(query, by=by),
            "is_current": query in {str(asked.query), asked.text},
            "n": _how_many(query, cells),
            "is_own": is_own,
        }
        for name, query, is_own in named
    ]


def _how_many(query: str, cells: Sequence[QueueCount]) -> int | None:
    try:
        return count_from_cells(parse_query(query), cells)
    except InvalidQuery:  # a view of an earlier version; its page says what is wrong
        return None


def save_view(context: RequestContext) -> Response:
    """Keeps the query under a name, or forgets a name."""
    name, query = context.form_value("name").strip()[:40], context.form_value("q").strip()
    if not name:
        raise Refused("A view needs a name.")
    if context.form_value("do") == "forget":
        context.workspace.members.save_view(context.member.id, name, None, to_ms(context.now))
        return context.back()
    if (problem := asked_of(context, query).problem) is not None:
        raise problem
    if not context.workspace.members.save_view(context.member.id, name, query, to_ms(context.now)):
        raise Refused(
            f"You have {MAX_SAVED_VIEWS} saved views, and no more are kept.", hint="Forget one that you do not use."
        )
    return RedirectResponse(address(query), 303)


# ---- nobody is there -----------------------------------------------------------------------------------------------------


def unread(context: RequestContext) -> list[tuple[str, str, str]]:
    """Repos whose last reading did not end well: which, why, and how old what is shown of it is."""
    found = []
    for row in context.app_state.membership.repos(context.member):
        if row.problem:
            at = max((one for one in (row.quick_at, row.full_at) if one is not None), default=None)
            found.append((str(row.repo), row.problem, "" if at is None else context.ago(from_ms(at))))
    return found


def refused_tables(context: RequestContext) -> list[str]:
    """Why tables that this person may know of are unknown to every rule."""
    bundle = context.app_state.policies.current
    if bundle is None or not any(table.refusal for table in bundle.tables.values()):
        return []
    known = tables_known(context, bundle.folder)
    return [table.refusal for name, table in sorted(bundle.tables.items()) if table.refusal and name in known]


def empty(context: RequestContext, asked: QueueQuery, pending: int) -> dict[str, Any]:
    """What there is to say where no row is."""
    app_state = context.app_state
    repos, soon = app_state.membership.repos(context.member), app_state.sync_status.next_at
    if pending or str(asked.query) != PENDING:
        return {"repos": repos, "decided": None, "open_gates": [], "soon": ""}
    return {
        "soon": words.span(soon - context.now) if soon is not None and soon > context.now else "",
        "repos": repos,
        "decided": None if app_state.sync_status.read_at is None else _recent_speed(context),
        "open_gates": [row.repo for row in repos if row.gated == "auto"],
    }


def _recent_speed(context: RequestContext) -> tuple[str, str] | None:
    """How many of those who asked in the last month were decided in the last week, and how long half of them waited."""
    week, month = (from_ms(to_ms(context.now)) - each for each in (_WEEK, 30 * timedelta(days=1)))
    text = f"asked:>={month:%Y-%m-%d} reviewed:>={week:%Y-%m-%d}"
    found = run_query(context, parse_query(text), limit=_LATELY, cursor=None, newest_first=True)
    waits = [row.state.reviewed_at - row.state.asked_at for row in found.rows if row.state.reviewed_at]
    if not waits:
        return None
    count = f"more than {_LATELY:,}" if found.next else f"{len(waits):,}"
    return count, words.span(timedelta(milliseconds=median(waits)))


# ---- files ---------------------------------------------------------------------------------------------------------------


def export(context: RequestContext) -> Response:
    """All rows of the query, as a file, those of one person together when asked so; who sees no names gets none."""
    if not context.member.role.covers(MemberRole.REVIEWER):
        raise NotFound
    asked = asked_of(context)
    if asked.problem is not None:
        raise asked.problem
    rows = crowd.rows_of(context, asked.query) if crowd.way(context) else _all(context, asked)
    return export_response("requests", context.params["kind"], RequestRecord, request_records(context, rows))


def request_records(context: RequestContext, rows: Iterable[RequestRow]) -> Iterator[RequestRecord]:
    """Make the records of these requests, rated where the file shows it."""
    verdicts = context.app_state.policies.current_verdicts
    return (stored_request(row, verdicts, with_quality=context.params.get("kind") != "csv") for row in rows)


def _all(context: RequestContext, asked: QueueQuery) -> Iterator[RequestRow]:
    cursor = None
    while True:
        found = run_query(context, asked.query, limit=500, cursor=cursor)
        yield from found.rows
        cursor = found.next
        if cursor is None:
            return
