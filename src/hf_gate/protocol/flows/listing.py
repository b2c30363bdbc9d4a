"""One status list of a repo: lazy, one page ahead, and honest about how complete it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

from ...domain.completeness import PROVED, Completeness
from ...domain.ids import Repo
from ...domain.requests import AccessRequest
from ...errors import HubUnavailable
from .. import routes
from ..codec import Page, Unreadable, iso, next_link, read_array, read_page, same_origin_path
from ..messages import Emit, Finish, Reply, Send, Start, Wait
from ..replies import error_of, is_ok
from .calling import Flow, Setting, call, follow_link, unreadable

# A page may be cut at a size of the server's own choosing; a list that ends at exactly one of these is asked once more.
_USUAL_SIZES = frozenset({10, 20, 25, 50, 100, 200, 250, 500})
_REPORT_IS_AFFORDABLE = 20_000
_IDLE_PAGES = 20


@dataclass(slots=True)
class _Tally:
    """What was seen so far, and every reason to doubt that it is all."""

    seen: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)
    oldest: datetime | None = None
    is_ordered: bool = True
    linked: bool = False
    walked: bool = False
    needs_report: bool = False
    idle: int = 0

    def doubt(self, why: str) -> None:
        if why not in self.doubts:
            self.doubts.append(why)

    def add(self, page: Page) -> list[AccessRequest]:
        """The rows of a page that were not seen before."""
        border = self.oldest if self.walked else None
        fresh: list[AccessRequest] = []
        for row in page.rows:
            if row.key not in self.seen:
                self.seen.add(row.key)
                fresh.append(row)
            elif border is None or row.asked_at < border:
                self.doubt("a request came twice, so the list changed or the Hub repeated itself")
        times = [row.asked_at for row in fresh]
        if times:
            self.is_ordered = self.is_ordered and all(a >= b for a, b in pairwise(times))
            self.is_ordered = self.is_ordered and (self.oldest is None or times[0] <= self.oldest)
            self.oldest = min(times) if self.oldest is None else min(self.oldest, *times)
        self.idle = 0 if fresh else self.idle + 1
        if page.quarantined:
            self.doubt(f"{len(page.quarantined)} records of a page could not be read")
        return fresh


def list_requests(
    repo: Repo, status: str, setting: Setting, *, limit: int = routes.PAGE_LIMIT, q: str | None = None
) -> Flow[Completeness]:
    """Emits `Page`s as the caller takes them, each request once; returns how complete they were together."""
    tally = _Tally()
    send: Send | None = routes.list_page(repo, status, limit=limit, q=q)
    ticket = None
    while send is not None:
        tally.paths.add(send.path)
        reply, page, ahead = yield from _page(send, ticket, repo, setting, tally)
        fresh = tally.add(page)
        send, ticket = _next(send, reply, page, bool(fresh), tally, setting, repo, status, limit), None
        if ahead is not None and send == ahead[0]:
            ticket = ahead[1]
        half = (len(fresh) + 1) // 2
        yield Emit(Page(tuple(fresh[:half]), page.quarantined))
        if send is not None and ticket is None:
            # The caller has taken half a page: it will most likely want the next one, so fetch that meanwhile.
            ticket = yield Start(send)
        if fresh[half:]:
            yield Emit(Page(tuple(fresh[half:])))
    if tally.needs_report and not tally.doubts:
        yield from _compare_with_report(repo, status, tally, setting)
    return Completeness(False, "; ".join(tally.doubts)) if tally.doubts else PROVED


_Ahead = tuple[Send, object]


def _page(
    send: Send, ticket: object, repo: Repo, setting: Setting, tally: _Tally
) -> Flow[tuple[Reply, Page, _Ahead | None]]:
    """One page that can be read; a garbled one is asked for again, as a failing one is.

    From the second page on the caller is known to want more, so the next page is begun before this one is decoded.
    """
    ahead: _Ahead | None = None
    first = (yield Finish(ticket)) if ticket is not None else None
    failures = 0
    while True:
        answer = yield from call(send, setting, first)
        first = None
        if not is_ok(answer):
            raise error_of(answer, repo)
        assert isinstance(answer, Reply)
        following = None if ticket is None or ahead is not None else _linked(send, answer, tally, setting)
        if following is not None:
            ahead = (following, (yield Start(following)))
        try:
            return answer, read_page(answer.body, repo, answer.at), ahead
        except Unreadable as problem:
            failures += 1
            if failures >= setting.patience.tries:
                raise unreadable(problem, answer, repo) from None
            yield Wait(setting.patience.pause(failures), why="the Hub's answer is garbled", jitter=True)


def _linked(sent: Send, reply: Reply, tally: _Tally, setting: Setting) -> Send | None:
    """The page behind a link that is beyond doubt; what is not is judged, and named, by `_next`."""
    link = next_link(reply.headers)
    path = None if link is None else same_origin_path(link, setting.origin)
    if path is None or path in tally.paths or urlsplit(path).path != urlsplit(sent.path).path:
        return None
    return routes.follow(sent, path)


def _next(
    sent: Send,
    reply: Reply,
    page: Page,
    has_fresh: bool,
    tally: _Tally,
    setting: Setting,
    repo: Repo,
    status: str,
    limit: int,
) -> Send | None:
    """The call for the next page, or None at the end of the list."""
    link = next_link(reply.headers)
    if link is not None:
        tally.linked = True
        path = follow_link(link, setting.origin)
        if urlsplit(path).path != urlsplit(sent.path).path:
            tally.doubt("the next link led to another list")
            return None
        if tally.idle >= _IDLE_PAGES:
            tally.doubt(f"{_IDLE_PAGES} pages in a row brought nobody new")
            return None
        if path in tally.paths:
            tally.doubt("a next link led back to a page that was read already")
            return None
        return routes.follow(sent, path)
    is_full = page.size >= limit or page.size in _USUAL_SIZES
    if tally.walked and is_full and not has_fresh and (page.size >= limit or not tally.linked):
        tally.doubt("a full page brought nobody new, so more may share its time, and the Hub gave no next link")
    tally.needs_report = tally.needs_report or (tally.walked and has_fresh)
    if not is_full or (tally.walked and not has_fresh) or tally.oldest is None:
        if tally.walked and not tally.is_ordered:
            tally.doubt("the list is in no order of time, so whether more lies behind a full page cannot be known")
        return None
    return _walk_on(sent, page, tally, repo, status, limit)


def _walk_on(sent: Send, page: Page, tally: _Tally, repo: Repo, status: str, limit: int) -> Send | None:
    """After a full page without a link: ask for what is older than the oldest, overlapping by a millisecond."""
    tally.walked = True
    tally.needs_report = tally.needs_report or page.size >= limit
    assert tally.oldest is not None
    if tally.oldest.year >= 9999:
        tally.doubt("the list holds times at the end of the calendar")
        return None
    send = routes.follow(sent, routes.list_page(repo, status, limit=limit, before=iso(tally.oldest + _MS)).path)
    if send.path in tally.paths:
        tally.doubt("more than a page of requests share one millisecond, and the Hub gave no next link")
        return None
    return send


_MS = timedelta(milliseconds=1)


def _compare_with_report(repo: Repo, status: str, tally: _Tally, setting: Setting) -> Flow[None]:
    """A full page came without a link: the walk by time is believed only when the Hub's own total agrees."""
    if len(tally.seen) > _REPORT_IS_AFFORDABLE:
        tally.doubt("a full page came without a next link, and the report is too large to compare with")
        return
    try:
        answer = yield from call(routes.report(repo), setting)
        if not is_ok(answer) or not isinstance(answer, Reply):
            raise error_of(answer, repo)
        total = sum(isinstance(row, dict) and row.get("status") == status for row in read_array(answer.body))
    except (HubUnavailable, Unreadable) as problem:
        tally.doubt(f"a full page came without a next link, and the report could not be read ({problem})")
        return
    if total != len(tally.seen):
        tally.doubt(f"a full page came without a next link; {len(tally.seen)} were found, the report counts {total}")
