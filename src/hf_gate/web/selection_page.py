"""The page of the member's selection, its rows a page at a time, and the rows that a person unticks there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from ..domain.lifecycle import STATUSES
from ..domain.roles import Role
from ..domain.rows import GONE, IN_RUN, MOVED, QUEUED, RepoRow, RequestRow, SelectionScope
from .queue_query import queue_url
from .request_context import RequestContext, local_path
from .request_lines import RequestLine, list_answers, request_lines
from .verdicts import read_repos

PAGE_SIZE: Final = 100
MAX_SORTED: Final = 1000
"""The largest selection that is sorted by the length of the answers; a larger one is sorted by age."""

_SHORT_ROLES: Final = frozenset({Role.COUNTRY, Role.CONSENT, Role.EMAIL, Role.NAME, Role.BIRTH_DATE, Role.AFFILIATION})
"""Roles of questions whose answers do not say what a person wants to do."""

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


@dataclass(frozen=True, slots=True)
class SelectionPage:
    """One page of rows. `after`: the cursor of this page; `next`: that of the next page, empty at the end.

    `people`: the number of distinct people in the whole selection; None if it is too large to count.
    """

    lines: Sequence[RequestLine]
    after: str
    next: str
    is_by_length: bool
    people: int | None


def read_selection_page(context: RequestContext, scope: SelectionScope, count: int, after: str) -> SelectionPage:
    """Return a page of the requests that can be decided: longest answer first, or longest wait first if there are many."""
    selections, store = context.workspace.selections, context.workspace.store
    cursor = _parse_cursor(after)
    if count > MAX_SORTED:
        start = (cursor[0], cursor[1]) if cursor is not None and len(cursor) == 2 else None
        keys = selections.list_by_age(scope, start, PAGE_SIZE + 1)
        known = store.requests([ident for _, ident in keys[:PAGE_SIZE]])
        rows = [known[ident] for _, ident in keys[:PAGE_SIZE] if ident in known]
        following = _format_cursor(*keys[PAGE_SIZE - 1]) if len(keys) > PAGE_SIZE else ""
        return SelectionPage(request_lines(context, rows), after if start else "", following, False, None)
    found = [row for idents in selections.iterate_ready(scope) for row in store.requests(idents).values()]
    repos = read_repos(context.app_state, found)
    ordered = sorted(((_sort_key(row, repos.get(row.repo)), row) for row in found), key=lambda pair: pair[0])
    start_key = (-cursor[0], cursor[1], cursor[2]) if cursor is not None and len(cursor) == 3 else None
    left = [pair for pair in ordered if start_key is None or pair[0] > start_key]
    shown, following = left[:PAGE_SIZE], ""
    if len(left) > PAGE_SIZE:
        length, asked_at, ident = shown[-1][0]
        following = _format_cursor(-length, asked_at, ident)
    lines = request_lines(context, [row for _, row in shown])
    return SelectionPage(lines, after if start_key else "", following, True, len({row.person.id for row in found}))


def _sort_key(row: RequestRow, repo: RepoRow | None) -> tuple[int, int, int]:
    """Return a key that sorts the longest answer first, then the longest wait."""
    lengths = (
        len(answer.text.strip())
        for answer in list_answers(row, repo)
        if answer.role not in _SHORT_ROLES and not answer.is_tick
    )
    return -max(lengths, default=0), row.state.asked_at, row.id


def _parse_cursor(text: str) -> tuple[int, ...] | None:
    """Return the numbers of a cursor; None if it is not one, so that the first page is shown."""
    parts = text.split(".") if len(text) <= 60 else []
    return tuple(map(int, parts)) if len(parts) in {2, 3} and all(map(is_row_number, parts)) else None


def _format_cursor(*numbers: int) -> str:
    return ".".join(str(number) for number in numbers)


def parse_unticked(context: RequestContext) -> list[int]:
    """Return the numbers of the requests that the form showed and the member unticked. Rows not shown are not among them."""
    kept = set(context.form.get("keep", []))
    shown = dict.fromkeys(context.form.get("shown", [])[:PAGE_SIZE])
    return [int(text) for text in shown if text not in kept and is_row_number(text)]


def is_row_number(text: str) -> bool:
    """Return whether a text is the number of a request in the store."""
    return text.isascii() and text.isdecimal() and len(text) < 16
