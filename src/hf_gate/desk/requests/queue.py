"""The queue: requests that match a query with verdicts and decisions, views, and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from hf_gate.base.batches import iterate_cursor_pages
from hf_gate.base.timestamps import format_span, from_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.query import Query
from hf_gate.core.records import RequestRecord
from hf_gate.core.stored_rows import QueryPage, QueueCount, RequestRow
from hf_gate.desk.decisions.approvals import describe_open_alarms
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import HttpContext
from hf_gate.desk.policies.policy_texts import visible_tables
from hf_gate.grants.hold_reasons import count_holds, format_holds
from hf_gate.grants.service.row_details import pair_with_details
from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.queue_counters import Counters
from hf_gate.requests.rows.selections import filter_selected
from hf_gate.requests.service.request_records import stored_request

from .queue_counts import (
    MAX_COUNTED,
    build_facets,
    count_matching,
    count_pending_by_verdict,
    format_count,
    format_total,
    list_counts,
)
from .queue_query import (
    PENDING,
    QueueQuery,
    build_chips,
    count_up_to,
    has_half_approved_request,
    merge_search,
    parse_queue_query,
    queue_url,
    run_query,
)
from .request_lines import RequestLine, build_request_lines
from .selection import describe_selection

PAGE_SIZE: Final = 50
_OLDEST: Final = f"{PENDING} age:>7d"
_NOT_OLDEST: Final = f"{PENDING} age:<=7d"
_NEEDS_REVIEW: Final = f"{PENDING} verdict:human"
_SECOND_APPROVAL: Final = f"{PENDING} approval:second"
_SECOND_CHANCE: Final = "status:rejected quality:good"
VIEWS: Final = (
    ("Pending", PENDING),
    ("Oldest", _OLDEST),
    ("Suggested", f"{PENDING} verdict:accept,reset,reject"),
    ("Needs review", _NEEDS_REVIEW),
    ("Needs a second approval", _SECOND_APPROVAL),
    ("On hold", f"{PENDING} verdict:wait"),
    ("Accepted", "status:accepted"),
    ("Second chance", _SECOND_CHANCE),
)
"""The views. A second chance: the rejected people who described a purpose."""


def home(context: HttpContext) -> Response:  # noqa: ARG001 - as every page
    """Redirect to the queue."""
    return RedirectResponse("/queue", 303)


# ---- the page --------------------------------------------------------------------------------------------------------


def page(context: HttpContext) -> Response:
    """Show one page of the queue with its facets."""
    order = "newest" if context.query_value("order") == "newest" else None
    if "terms" in context.query:  # sent by the search form
        merged = merge_search(context.query_value("terms"), context.query_value("q"))
        return RedirectResponse(queue_url(merged, order=order), 303)
    asked = parse_queue_query(context)
    after = context.query_value("after") or None
    counters = list_counts(context)
    matching = count_matching(asked.query, counters)
    shown = _rows(context, asked, order, after, is_known=matching is not None)
    following = shown.pop("next")
    total = shown.pop("total", None)
    standing = count_pending_by_verdict(counters)
    more = "" if order is None else f"&order={order}"
    return context.render(
        "queue.html",
        **shown,
        **_shared_repo(asked, shown["lines"], counters.cells),
        asked=asked,
        following=queue_url(asked.text, order=order, after=following) if following else None,
        first=queue_url(asked.text, order=order) if after else None,
        turned=queue_url(asked.text, order=None if order else "newest"),
        newest=order is not None,
        total=total or format_total(context, asked.query, counters),
        views=list_views(context, asked, counters),
        facets=build_facets(asked, counters, more),
        chips=build_chips(asked, more),
        cleared=queue_url(PENDING, order=order),
        more=more,
        standing=standing,
        holds=_describe_holds(context, counters.cells),
        exports=[(kind, f"/queue.{kind}?{urlencode({'q': asked.text})}") for kind in ("csv", "json")],
        problem=context.app_state.policies.problem_for(context.member),
        unread=list_failed_syncs(context),
        refused_tables=list_refused_tables(context),
        alarm_text=describe_open_alarms(context),
        **describe_selection(context, asked, counters),
        **({} if shown["lines"] else empty_state(context, asked, standing[Status.PENDING], more)),
    )


def _rows(
    context: HttpContext, asked: QueueQuery, order: str | None, after: str | None, *, is_known: bool
) -> dict[str, Any]:
    """Return the rows and the next cursor. `is_known`: the total need not be counted here."""
    most = MAX_COUNTED if after is None and not is_known else 0
    newest_first = order is not None
    found = run_query(context, asked.query, limit=PAGE_SIZE, cursor=after, newest_first=newest_first, most=most)
    values = _page_values(context, found)
    return values | {"total": format_count(found.count)} if most else values


def _page_values(context: HttpContext, found: QueryPage) -> dict[str, Any]:
    picks = filter_selected(context.workspace.store, context.selection_name, [row.id for row in found.rows])
    return {"lines": build_request_lines(context, found.rows), "picks": picks, "next": found.next}


def _shared_repo(asked: QueueQuery, lines: Sequence[RequestLine], cells: Sequence[QueueCount]) -> dict[str, Any]:
    """Return the repo of all rows, which stands above them unless the page names it."""
    repos = {line.row.repo for line in lines}
    repo = repos.pop() if len(repos) == 1 else None
    is_named = asked.values_of("repo") == {str(repo)} or len({cell.repo for cell in cells}) == 1
    return {"one_repo": repo, "is_repo_unnamed": not is_named}


def list_views(context: HttpContext, asked: QueueQuery, counters: Counters) -> list[dict[str, object]]:
    """Return the views, with their number of requests if the counters cover the query.

    Those that are empty or show the same as Pending are left out, except the current one.
    """
    views: list[dict[str, object]] = [
        {
            "name": name,
            "href": queue_url(query),
            "is_current": query in {str(asked.query), asked.text},
            "query": query,
            "n": _count_view(query, counters),
        }
        for name, query in VIEWS
    ]
    pending = _count_view(PENDING, counters)
    return [view for view in views if view["is_current"] or _is_worth_showing(context, view, pending)]


def _is_worth_showing(context: HttpContext, view: Mapping[str, object], pending: int | None) -> bool:
    """Tell whether a view is not empty and differs from Pending."""
    if view["query"] == _OLDEST:
        return bool(pending) and all(count_up_to(context, parse_query(text), 0) for text in (_OLDEST, _NOT_OLDEST))
    if view["query"] == _SECOND_APPROVAL:
        return has_half_approved_request(context)
    is_same = view["query"] == _NEEDS_REVIEW and view["n"] == pending
    return view["query"] == PENDING or not (view["n"] == 0 or is_same)


def _count_view(query: str, counters: Counters) -> int | None:
    return count_matching(_parse_view(query), counters)


@lru_cache
def _parse_view(query: str) -> Query:
    return parse_query(query)


# ---- problems and empty pages ----------------------------------------------------------------------------------------


def list_failed_syncs(context: HttpContext) -> list[tuple[str, str, str]]:
    """Return repos whose last sync failed, with the reason and the age of their rows."""
    failed = []
    for row in context.list_visible_repos().rows:
        if row.problem:
            at = max((one for one in (row.quick_at, row.full_at) if one is not None), default=None)
            failed.append((str(row.repo), row.problem, "" if at is None else context.format_age(from_ms(at))))
    return failed


def _describe_holds(context: HttpContext, cells: Sequence[QueueCount]) -> str:
    """Return how many requests are on hold for what; empty if nobody is, or the policies cannot be read."""
    bundle = context.app_state.policies.current
    needs = Counter[str]()
    for counts in (count_holds(cells, bundle.policies) if bundle is not None else {}).values():
        needs += counts
    return format_holds(needs)


def list_refused_tables(context: HttpContext) -> list[str]:
    """Return why visible tables were refused; rules treat their rows as unknown."""
    bundle = context.app_state.policies.current
    if bundle is None or not any(table.refusal for table in bundle.tables.values()):
        return []
    known = visible_tables(context, bundle.folder)
    return [table.refusal_text for name, table in sorted(bundle.tables.items()) if table.refusal and name in known]


def empty_state(context: HttpContext, asked: QueueQuery, pending: int, more: str) -> dict[str, Any]:
    """Return the values of a page without rows."""
    app_state = context.app_state
    repos = context.list_visible_repos().rows
    soon = app_state.sync_status.next_at
    if pending or str(asked.query) != PENDING:
        return {"repos": repos, "open_gates": [], "soon": "", "drops": build_chips(asked, more, with_words=True)}
    return {
        "soon": format_span(soon - context.now) if soon is not None and soon > context.now else "",
        "repos": repos,
        "open_gates": [row.repo for row in repos if row.gated == "auto"],
    }


# ---- files -----------------------------------------------------------------------------------------------------------


def export(context: HttpContext) -> Response:
    """Return all matching rows as a file."""
    asked = parse_queue_query(context)
    if asked.problem is not None:
        raise asked.problem
    records = request_records(context, _list_all(context, asked))
    return export_response("requests", context.params["kind"], RequestRecord, records)


def request_records(context: HttpContext, rows: Iterable[RequestRow]) -> Iterator[RequestRecord]:
    """Yield the records of requests. The quality of answers is not computed for CSV."""
    verdicts = context.app_state.policies.current_verdicts
    with_quality = context.params.get("kind") != "csv"
    pairs = pair_with_details(context.workspace, rows, lambda: context.app_state.policies.current)
    return (stored_request(row, verdicts, details, with_quality=with_quality) for row, details in pairs)


def _list_all(context: HttpContext, asked: QueueQuery) -> Iterator[RequestRow]:
    for found in iterate_cursor_pages(lambda cursor: run_query(context, asked.query, limit=500, cursor=cursor)):
        yield from found.rows
