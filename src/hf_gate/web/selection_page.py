"""The page of the member's selection: all selected requests, to untick some and to choose a decision."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ..domain.lifecycle import STATUSES
from ..domain.rows import GONE, IN_RUN, MOVED, QUEUED, SelectionScope
from .queue_query import queue_url
from .request_context import RequestContext, local_path
from .selection_rows import read_selection_page

_NOT_SHOWN: Final = {
    GONE: "no longer there", MOVED: "changed since they were selected", QUEUED: "already in a tray",
    IN_RUN: "in a run that has not ended",
}  # fmt: skip


def page(context: RequestContext) -> Response:
    """Show the selected requests that can be decided, and how many others are selected and why they are not shown."""
    selections = context.workspace.selections
    repos = [row.id for row in context.app_state.membership.repos(context.member)]
    scope = SelectionScope(context.selection_name, STATUSES, repos, ())
    buckets = selections.count_buckets(scope)
    count = sum(one.n for one in buckets if not one.why)
    others: dict[str, int] = {}
    for one in buckets:
        if one.why:
            others[_NOT_SHOWN.get(one.why, one.why)] = others.get(_NOT_SHOWN.get(one.why, one.why), 0) + one.n
    query = context.query_value("q")
    return context.render(
        "selected.html",
        title=f"{count:,} selected",
        count=count,
        others=others,
        shown=read_selection_page(context, scope, count, context.query_value("after")),
        has_repos=len({one.repo for one in buckets if not one.why}) > 1,
        back=local_path(context.query_value("next")) or (queue_url(query) if query else "/queue"),
    )
