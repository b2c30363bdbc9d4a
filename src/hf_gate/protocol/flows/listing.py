"""One status list of a repo: lazy, one page ahead, and honest about how complete it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

from ...domain.completeness import NO_RESET_LIST, PROVED, Completeness
from ...domain.ids import Repo
from ...domain.lifecycle import Status
from ...domain.requests import AccessRequest
from ...errors import BadRequest, HubError
from .. import routes
from ..codec import Page, Quarantined, Unreadable, iso, next_link, read_array, read_page, same_origin_path
from ..messages import MIB, Emit, Finish, Reply, Send, Start, Wait
from ..replies import error_of, is_ok
from .calling import Flow, Setting, call, follow_link, unreadable

# A page may be cut at a size of the server's own choosing; a list that ends at exactly one of these is asked once more.
_USUAL_SIZES = frozenset({10, 20, 25, 50, 100, 200, 250, 500})
_REPORT_IS_AFFORDABLE = 20_000
_REPORT_CAP = 64 * MIB  # it holds the requests of every status
_IDLE_PAGES = 20
_MS = timedelta(milliseconds=1)


@dataclass(slots=True)
class _Walk:
    """One walk along a list: what is read, what was seen so far, and every reason to doubt that it is all."""

    repo: Repo
    status: str
    setting: Setting
    limit: int
    seen: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)
    oldest: datetime | None = None
    is_ordered: bool = True
    linked: bool = False
    by_time: bool = False  # no link came after a full page, so that pages are asked for by `before`
    needs_report: bool = False
    idle: int = 0  # pages in a row that brought nobody new

    def doubt(self, why: str) -> None:
        if why not in self.doubts:
            self.doubts.append(why)

    def add(self, page: Page) -> list[AccessRequest]:
        """The rows of a page that were not seen before."""
        border = self.oldest if self.by_time else None
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

    def completeness(self) -> Completeness:
        return Completeness(False, "; ".join(self.doubts)) if self.doubts else PROVED


def list_requests(
    repo: Repo,
    status: str,
    setting: Setting,
    *,
    limit: int = routes.PAGE_LIMIT,
    q: str | None = None,
    before: str | None = None,
    ahead: bool = True,
) -> Flow[Completeness]:
    """Emits `Page`s as the caller takes them, each request once; returns how complete they were together.

    `ahead` asks for a next page once half of one was taken. With `before` the completeness is that of the part.

    A Hub before September 2026 knows no reset: nobody stands there, and the completeness says why the list is empty.
    """
    walk = _Walk(repo, status, setting, limit)
    send: Send | None = routes.list_page(repo, status, limit=limit, before=before, q=q)
    ticket = None
    while send is not None:
        walk.paths.add(send.path)
        try:
            reply, page, begun = yield from _page(walk, send, ticket)
        except BadRequest as refusal:
            if status == Status.RESET and not walk.seen and (yield from _knows_lists(repo, setting, refusal)):
                return NO_RESET_LIST
            raise
        fresh = walk.add(page)
        send, ticket = _next(walk, send, reply, page.size), None
        if begun is not None and send == begun[0]:
            ticket = begun[1]
        half = (len(fresh) + 1) // 2 if ahead else len(fresh)
        yield Emit(Page(tuple(fresh[:half]), page.quarantined))
        if send is not None and ticket is None and ahead:
            # The caller has taken half a page: it will most likely want the next one, so fetch that meanwhile.
            ticket = yield Start(send)
        if fresh[half:]:
            yield Emit(Page(tuple(fresh[half:])))
    if walk.needs_report and not walk.doubts:
        yield from _compare_with_report(walk)
    return walk.completeness()


@dataclass(frozen=True, slots=True)
class Head:
    """The first page of a list: as a rule those who came last. `has_more`: the list goes on behind it."""

    requests: tuple[AccessRequest, ...] = ()
    has_more: bool = False
    quarantined: tuple[Quarantined, ...] = ()


def head(repo: Repo, status: str, setting: Setting, *, limit: int = routes.PAGE_LIMIT) -> Flow[Head]:
    """One call, one page, and nothing fetched ahead. Who is not on it may well be on the list."""
    walk, send = _Walk(repo, status, setting, limit), routes.list_page(repo, status, limit=limit)
    try:
        reply, page, _ = yield from _page(walk, send, None)
    except BadRequest as refusal:
        if status == Status.RESET and (yield from _knows_lists(repo, setting, refusal)):
            return Head()
        raise
    fresh = walk.add(page)
    return Head(tuple(fresh), _next(walk, send, reply, page.size) is not None, page.quarantined)


def _knows_lists(repo: Repo, setting: Setting, refusal: BadRequest) -> Flow[bool]:
    """Whether it is this one list that the Hub refuses: it says so in words only, so another list is asked for."""
    if refusal.status != 400 or refusal.code is not None:
        return False
    answer = yield from call(routes.list_page(repo, Status.PENDING, limit=routes.PAGE_FLOOR), setting)
    return is_ok(answer)


_Ahead = tuple[Send, object]


def _page(walk: _Walk, send: Send, ticket: object) -> Flow[tuple[Reply, Page, _Ahead | None]]:
    """One page that can be read; a garbled one is asked for again, as a failing one is.

    From the second page on the caller is known to want more, so the next page is begun before this one is decoded.
    """
    setting = walk.setting
    ahead: _Ahead | None = None
    first = (yield Finish(ticket)) if ticket is not None else None
    failures, left = 0, setting.patience.max_wait
    while True:
        answer = yield from call(send, setting, first, within=left)
        first = None
        if not is_ok(answer):
            raise error_of(answer, walk.repo)
        assert isinstance(answer, Reply)
        following = None if ticket is None or ahead is not None else _linked(walk, send, answer)
        if following is not None:
            ahead = (following, (yield Start(following)))
        try:
            return answer, read_page(answer.body, walk.repo, answer.at), ahead
        except Unreadable as problem:
            failures += 1
            pause = setting.patience.pause(failures)
            left = None if left is None else left - answer.took - pause
            if failures >= setting.patience.tries or (left is not None and left <= 0):
                raise unreadable(problem, answer, walk.repo) from None
            yield Wait(pause, why="the Hub's answer is garbled", jitter=True)


def _linked(walk: _Walk, sent: Send, reply: Reply) -> Send | None:
    """The page behind a link that is beyond doubt; what is not is judged, and named, by `_next`."""
    link = next_link(reply.headers)
    path = None if link is None else same_origin_path(link, walk.setting.origin)
    if path is None or path in walk.paths or urlsplit(path).path != urlsplit(sent.path).path:
        return None
    return routes.follow(sent, path)


def _next(walk: _Walk, sent: Send, reply: Reply, size: int) -> Send | None:
    """The call for the next page after one of so many records that was added, or None at the end of the list."""
    link = next_link(reply.headers)
    if link is not None:
        return _follow(walk, sent, link)
    has_fresh, by_time = walk.idle == 0, walk.by_time
    is_full = size >= walk.limit or size in _USUAL_SIZES
    if by_time and is_full and not has_fresh and (size >= walk.limit or not walk.linked):
        walk.doubt("a full page brought nobody new, so more may share its time, and the Hub gave no next link")
    walk.needs_report = walk.needs_report or (by_time and has_fresh)
    if not is_full or (by_time and not has_fresh) or walk.oldest is None:
        if by_time and not walk.is_ordered:
            walk.doubt("the list is in no order of time, so whether more lies behind a full page cannot be known")
        return None
    walk.needs_report = walk.needs_report or size >= walk.limit
    return _before(walk, sent, walk.oldest)


def _follow(walk: _Walk, sent: Send, link: str) -> Send | None:
    """The page behind a next link, unless that leads astray or round and round."""
    walk.linked = True
    path = follow_link(link, walk.setting.origin)
    if urlsplit(path).path != urlsplit(sent.path).path:
        walk.doubt("the next link led to another list")
    elif walk.idle >= _IDLE_PAGES:
        walk.doubt(f"{_IDLE_PAGES} pages in a row brought nobody new")
    elif path in walk.paths:
        walk.doubt("a next link led back to a page that was read already")
    else:
        return routes.follow(sent, path)
    return None


def _before(walk: _Walk, sent: Send, oldest: datetime) -> Send | None:
    """After a full page without a link: ask for what is older than the oldest, overlapping by a millisecond."""
    walk.by_time = True
    if oldest.year >= 9999:
        walk.doubt("the list holds times at the end of the calendar")
        return None
    page = routes.list_page(walk.repo, walk.status, limit=walk.limit, before=iso(oldest + _MS))
    if page.path in walk.paths:
        walk.doubt("more than a page of requests share one millisecond, and the Hub gave no next link")
        return None
    return routes.follow(sent, page.path)


def _compare_with_report(walk: _Walk) -> Flow[None]:
    """Compare a list that was read by time, without links, with the total in the Hub's report; a difference is a doubt.

    Every row was given already, so a report that cannot be read is a doubt too, and never an error.
    """
    if len(walk.seen) > _REPORT_IS_AFFORDABLE:
        walk.doubt("a full page came without a next link, and the report is too large to compare with")
        return
    answer = yield from call(routes.report(walk.repo, cap=_REPORT_CAP), walk.setting)
    try:
        if not is_ok(answer) or not isinstance(answer, Reply):
            raise error_of(answer, walk.repo)
        total = sum(isinstance(row, dict) and row.get("status") == walk.status for row in read_array(answer.body))
    except (HubError, Unreadable) as problem:
        status = problem.status if isinstance(problem, HubError) else None
        why = f"the Hub answered {status}" if status else problem
        walk.doubt(f"a full page came without a next link, and the report could not be read ({why})")
        return
    if total != len(walk.seen):
        walk.doubt(f"a full page came without a next link; {len(walk.seen)} were found, the report counts {total}")
