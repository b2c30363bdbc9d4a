"""Reads one status list of a repo: lazily, one page ahead, with a statement of how complete the listing is.

`core/completeness.py` says when a listing is proved to be complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field

from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.core.completeness import NO_RESET_LIST, PROVED, Completeness
from hf_gate.core.lifecycle import STATUS_OF, Status
from hf_gate.core.requests import AccessRequest
from hf_gate.errors import BadRequest, HubError
from hf_gate.hub.protocol import endpoints
from hf_gate.hub.protocol.codec import (
    MAX_RECORD_BYTES,
    Quarantined,
    RequestPage,
    UnreadableBody,
    find_next_link,
    format_hub_time,
    read_array,
    read_request_page,
    same_origin_path,
)
from hf_gate.hub.protocol.messages import MIB, AwaitCall, EmitValue, HubCall, Pause, Reply, StartCall
from hf_gate.hub.protocol.replies import build_error, is_ok

from .calls import Flow, FlowContext, build_unreadable_error, follow_link, send_call

# The Hub may choose a smaller page size. A list that ends at exactly one of these sizes may continue.
_COMMON_PAGE_SIZES = frozenset({10, 20, 25, 50, 100, 200, 250, 500})
_MAX_REPORT_ROWS = 20_000
_MAX_REPORT_BYTES = 64 * MIB  # large, because the report contains all statuses
_MAX_EMPTY_PAGES = 20
_MAX_PAGES = 10_000  # ten million requests, with the largest pages
_PAGES_PER_CHECK = 1000  # after so many pages, the list is compared with the report again
_MS = timedelta(milliseconds=1)


class _Pagination(Struct):
    """The state of reading one list: what was seen so far, and each reason to doubt that the listing is complete."""

    repo: Repo
    status: str
    context: FlowContext
    limit: int
    seen_keys: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)
    oldest: datetime | None = None
    is_ordered: bool = True
    has_link: bool = False
    is_by_time: bool = False  # a full page had no link, so later pages are requested by `before`
    should_compare_report: bool = False
    empty_pages: int = 0  # empty pages in a row

    def add_doubt(self, why: str) -> None:
        if why not in self.doubts:
            self.doubts.append(why)

    def add(self, page: RequestPage) -> list[AccessRequest]:
        """Return the rows of a page that were not seen before."""
        border = self.oldest if self.is_by_time else None
        fresh: list[AccessRequest] = []
        for row in page.rows:
            if row.key not in self.seen_keys:
                self.seen_keys.add(row.key)
                fresh.append(row)
            elif border is None or row.asked_at < border:
                self.add_doubt("a request appeared twice: the list changed, or the Hub repeated rows")
        times = [row.asked_at for row in fresh]
        if times:
            self.is_ordered = self.is_ordered and all(a >= b for a, b in pairwise(times))
            self.is_ordered = self.is_ordered and (self.oldest is None or times[0] <= self.oldest)
            self.oldest = min(times) if self.oldest is None else min(self.oldest, *times)
        self.empty_pages = 0 if fresh else self.empty_pages + 1
        if page.quarantined:
            self.add_doubt(f"{pluralize(len(page.quarantined), 'record')} of a page could not be read")
        if any(row.status not in STATUS_OF for row in fresh):
            self.add_doubt("a request has a status that this version of hf-gate does not know")
        return fresh

    def completeness(self) -> Completeness:
        return Completeness(False, "; ".join(self.doubts)) if self.doubts else PROVED


def list_requests(
    repo: Repo,
    status: str,
    context: FlowContext,
    *,
    limit: int = endpoints.MAX_PAGE_SIZE,
    q: str | None = None,
    before: str | None = None,
    ahead: bool = True,
) -> Flow[Completeness]:
    """Emit a list as `RequestPage`s, each request once; return how complete it is.

    With `ahead`, the next page is requested once the caller has taken half of a page. With `before`, the completeness
    covers only that part. A Hub before September 2026 has no reset list: the result is empty, and the completeness says
    why.
    """
    pages = _Pagination(repo, status, context, limit)
    send: HubCall | None = endpoints.build_list_call(repo, status, limit=limit, before=before, q=q)
    ticket = None
    while send is not None:
        pages.paths.add(send.path)
        try:
            reply, page, begun = yield from _read_page(pages, send, ticket)
        except BadRequest as refusal:
            if status == Status.RESET and not pages.seen_keys and (yield from _has_other_lists(repo, context, refusal)):
                return NO_RESET_LIST
            raise
        fresh = pages.add(page)
        send = _find_next_call(pages, send, reply, page.size)
        ticket = None
        if begun is not None and send == begun[0]:
            ticket = begun[1]
        if send is not None and (yield from _is_endless(pages)):
            send = None
            ticket = None
        half = (len(fresh) + 1) // 2 if ahead else len(fresh)
        yield EmitValue(RequestPage(tuple(fresh[:half]), page.quarantined))
        if send is not None and ticket is None and ahead:
            # The caller has taken half a page and will probably want the next one.
            ticket = yield StartCall(send)
        if fresh[half:]:
            yield EmitValue(RequestPage(tuple(fresh[half:])))
    if pages.should_compare_report and not pages.doubts:
        yield from _compare_with_report(pages)
    return pages.completeness()


@dataclass(frozen=True, slots=True)
class Head:
    """The first page of a list, usually the newest requests. `has_more` is whether the list continues."""

    requests: tuple[AccessRequest, ...] = ()
    has_more: bool = False
    quarantined: tuple[Quarantined, ...] = ()

    def __repr__(self) -> str:
        return f"<Head {pluralize(len(self.requests), 'request')}{', more follow' if self.has_more else ''}>"


def read_head(repo: Repo, status: str, context: FlowContext, *, limit: int = endpoints.MAX_PAGE_SIZE) -> Flow[Head]:
    """Read the first page of a list with one call. People who are not on this page may still be on the list."""
    pages = _Pagination(repo, status, context, limit)
    send = endpoints.build_list_call(repo, status, limit=limit)
    try:
        reply, page, _ = yield from _read_page(pages, send, None)
    except BadRequest as refusal:
        if status == Status.RESET and (yield from _has_other_lists(repo, context, refusal)):
            return Head()
        raise
    fresh = pages.add(page)
    return Head(tuple(fresh), _find_next_call(pages, send, reply, page.size) is not None, page.quarantined)


def _has_other_lists(repo: Repo, context: FlowContext, refusal: BadRequest) -> Flow[bool]:
    """Return whether the Hub refused only this list.

    The error has no code, so another list is requested to find out.
    """
    if refusal.status != 400 or refusal.code is not None:
        return False
    answer = yield from send_call(
        endpoints.build_list_call(repo, Status.PENDING, limit=endpoints.MIN_PAGE_SIZE), context
    )
    return is_ok(answer)


_NextPage = tuple[HubCall, object]


def _read_page(pages: _Pagination, send: HubCall, ticket: object) -> Flow[tuple[Reply, RequestPage, _NextPage | None]]:
    """Read one page; an unreadable answer is requested again, like a failed call.

    From the second page on, the next page is requested before this one is decoded.
    """
    context = pages.context
    ahead: _NextPage | None = None
    first = (yield AwaitCall(ticket)) if ticket is not None else None
    failures = 0
    left = context.retry_policy.max_wait
    while True:
        answer = yield from send_call(send, context, first, within=left)
        first = None
        if not is_ok(answer):
            raise build_error(answer, pages.repo)
        assert isinstance(answer, Reply)
        following = None if ticket is None or ahead is not None else _find_trusted_next(pages, send, answer)
        if following is not None:
            ahead = (following, (yield StartCall(following)))
        try:
            return answer, read_request_page(answer.body, pages.repo, answer.received_at, MAX_RECORD_BYTES), ahead
        except UnreadableBody as problem:
            failures += 1
            pause = context.retry_policy.pause_after(failures)
            left = None if left is None else left - answer.elapsed - pause
            if failures >= context.retry_policy.max_tries or (left is not None and left <= 0):
                raise build_unreadable_error(problem, answer, pages.repo) from None
            yield Pause(pause, reason="the Hub's answer is unreadable", has_jitter=True)


def _find_trusted_next(pages: _Pagination, sent: HubCall, reply: Reply) -> HubCall | None:
    """Return the call for a next link that is certainly valid; `_find_next_call` handles the others."""
    link = find_next_link(reply.headers)
    path = None if link is None else same_origin_path(link, pages.context.origin)
    if path is None or path in pages.paths or urlsplit(path).path != urlsplit(sent.path).path:
        return None
    return endpoints.build_next_call(sent, path)


def _find_next_call(pages: _Pagination, sent: HubCall, reply: Reply, size: int) -> HubCall | None:
    """Return the call for the page after one of `size` records; None at the end of the list."""
    link = find_next_link(reply.headers)
    if link is not None:
        return _follow_next_link(pages, sent, link)
    has_fresh = pages.empty_pages == 0
    by_time = pages.is_by_time
    is_full = size >= pages.limit or size in _COMMON_PAGE_SIZES
    if by_time and is_full and not has_fresh and (size >= pages.limit or not pages.has_link):
        pages.add_doubt("a full page had no new requests and no next link, so more requests may share its time")
    pages.should_compare_report = pages.should_compare_report or (by_time and has_fresh)
    if not is_full or (by_time and not has_fresh) or pages.oldest is None:
        if by_time and not pages.is_ordered:
            pages.add_doubt("the list is not ordered by time, so more requests may follow a full page")
        return None
    pages.should_compare_report = pages.should_compare_report or size >= pages.limit
    return _request_older_page(pages, sent, pages.oldest)


def _follow_next_link(pages: _Pagination, sent: HubCall, link: str) -> HubCall | None:
    """Return the call for a next link, unless it leads to another list or loops."""
    pages.has_link = True
    path = follow_link(link, pages.context.origin)
    if urlsplit(path).path != urlsplit(sent.path).path:
        pages.add_doubt("the next link led to another list")
    elif pages.empty_pages >= _MAX_EMPTY_PAGES:
        pages.add_doubt(f"{_MAX_EMPTY_PAGES} pages in a row had no new requests")
    elif path in pages.paths:
        pages.add_doubt("a next link led back to an earlier page")
    else:
        return endpoints.build_next_call(sent, path)
    return None


def _request_older_page(pages: _Pagination, sent: HubCall, oldest: datetime) -> HubCall | None:
    """Return the call for requests older than `oldest`, with a millisecond of overlap, after a full page without a
    link.
    """
    pages.is_by_time = True
    if oldest.year >= 9999:
        pages.add_doubt("the list contains times beyond the year 9998")
        return None
    page = endpoints.build_list_call(pages.repo, pages.status, limit=pages.limit, before=format_hub_time(oldest + _MS))
    if page.path in pages.paths:
        pages.add_doubt("more than a page of requests share one millisecond, and there is no next link")
        return None
    return endpoints.build_next_call(sent, page.path)


def _compare_with_report(pages: _Pagination) -> Flow[None]:
    """Compare a list that was read without links with the total in the Hub's report; a difference is a reason for
    doubt.

    All rows have been emitted already, so an unreadable report is a reason for doubt, not an error.
    """
    if len(pages.seen_keys) > _MAX_REPORT_ROWS:
        pages.add_doubt("a full page had no next link, and the report is too large for a comparison")
        return
    try:
        rows = yield from _read_report(pages)
    except (HubError, UnreadableBody) as problem:
        status = problem.status if isinstance(problem, HubError) else None
        why = f"the Hub answered {status}" if status else problem
        pages.add_doubt(f"a full page had no next link, and the report could not be read ({why})")
        return
    total = sum(isinstance(row, dict) and row.get("status") == pages.status for row in rows)
    if total != len(pages.seen_keys):
        pages.add_doubt(
            f"a full page came without a next link; {len(pages.seen_keys)} were found, the report counts {total}"
        )


def _read_report(pages: _Pagination) -> Flow[list[Any]]:
    """Return the rows of the Hub's report: all statuses."""
    answer = yield from send_call(endpoints.build_report_call(pages.repo, max_bytes=_MAX_REPORT_BYTES), pages.context)
    if not is_ok(answer):
        raise build_error(answer, pages.repo)
    return read_array(answer.body)


def _is_endless(pages: _Pagination) -> Flow[bool]:
    """Return whether to stop reading, because the list is longer than the Hub's whole report, or than any real list."""
    count = len(pages.paths)
    if count >= _MAX_PAGES:
        pages.add_doubt(f"reading stopped after {_MAX_PAGES:,} pages, and the list goes on")
        return True
    if count % _PAGES_PER_CHECK:
        return False
    try:
        total = len((yield from _read_report(pages)))
    except (HubError, UnreadableBody):  # the report of a very long list is too large
        return False
    if len(pages.seen_keys) > total:
        pages.add_doubt(
            f"the list goes on after {len(pages.seen_keys):,} requests, the report counts {total:,} of all statuses"
        )
    return len(pages.seen_keys) > total
