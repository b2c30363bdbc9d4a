"""The lists of requests and the access report: reads their rows from the world, and answers calls page by page."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Iterator
from heapq import merge
from itertools import chain, islice, takewhile
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode
from zlib import crc32

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from hf_gate.core.lifecycle import STATUSES, Status
from hf_gate.hub.protocol.endpoints import MAX_PAGE_SIZE, MIN_PAGE_SIZE
from hf_gate.localhub.context import BodyValidator, CallContext, parse_query_number
from hf_gate.localhub.http_messages import (
    PLAIN_VIEW,
    HttpError,
    HttpResponse,
    ReadView,
    format_ms,
    json_response,
    parse_ms,
)
from hf_gate.localhub.records import HubAccount, HubRepo, StoredRequest, newest_first, sort_key
from hf_gate.localhub.world import World

SortKey = tuple[int, str]


class ListPage(NamedTuple):
    rows: list[StoredRequest]
    has_more: bool


class ListQuery(NamedTuple):
    """A part of a list: after the key `after_row`, between exclusive times, with a username `prefix` in lower case."""

    limit: int
    after_row: SortKey | None = None
    before_ms: int | None = None
    after_ms: int | None = None
    prefix: str = ""


def read_list_page(
    world: World, hub_repo: HubRepo, status: Status, query: ListQuery, view: ReadView = PLAIN_VIEW, now_ms: int = 0
) -> ListPage:
    """Read one page, newest first.

    The cost depends on the limit, not on the list's length, unless the list is shuffled.
    """
    rows = _shuffle_rows(world, hub_repo, status, query, view, now_ms) if view.is_shuffled else None
    if rows is None and query.prefix and view is PLAIN_VIEW:
        rows = _find_by_name(world, hub_repo, status, query)
    if rows is None:
        rows = _newest_first(world, hub_repo, status, _find_upper_bound(query), view, now_ms)
        if query.prefix:
            rows = (row for row in rows if row.account.username.lower().startswith(query.prefix))
    if (after_ms := query.after_ms) is not None and not view.is_shuffled:
        rows = takewhile(lambda row: row.asked_ms > after_ms, rows)
    found = list(islice(rows, query.limit + 1))
    return ListPage(found[: query.limit], len(found) > query.limit)


def _find_upper_bound(query: ListQuery) -> SortKey | None:
    ends = [] if query.before_ms is None else [(query.before_ms, "")]
    return min([*ends, *([] if query.after_row is None else [query.after_row])], default=None)


def _newest_first(
    world: World, hub_repo: HubRepo, status: Status, below: SortKey | None, view: ReadView = PLAIN_VIEW, now_ms: int = 0
) -> Iterator[StoredRequest]:
    """Yield rows below a key, newest first.

    A lagging view shows rows that have changed since its time as they were then.
    """
    rows = newest_first(hub_repo.lists[status], below)
    if not view.lag_ms:
        return rows
    past = _find_past_rows(world, hub_repo, now_ms - view.lag_ms)
    past_rows = [row for row in past.values() if row is not None and row.status is status]
    past_rows = sorted((row for row in past_rows if below is None or sort_key(row) < below), key=sort_key, reverse=True)
    return merge((row for row in rows if row.id not in past), past_rows, key=sort_key, reverse=True)


def _shuffle_rows(
    world: World, hub_repo: HubRepo, status: Status, query: ListQuery, view: ReadView, now_ms: int
) -> Iterator[StoredRequest]:
    rows = sorted(_newest_first(world, hub_repo, status, None, view, now_ms), key=shuffled_key)
    high = len(rows) if query.after_row is None else bisect_left(rows, query.after_row, key=shuffled_key)
    return (rows[at] for at in range(high - 1, -1, -1) if _is_match(rows[at], query))


def _is_match(row: StoredRequest, query: ListQuery) -> bool:
    if query.before_ms is not None and row.asked_ms >= query.before_ms:
        return False
    if query.after_ms is not None and row.asked_ms <= query.after_ms:
        return False
    return row.account.username.lower().startswith(query.prefix)


def shuffled_key(row: StoredRequest) -> SortKey:
    """Return a sort key unrelated to time."""
    return crc32(row.id.encode()), row.id


def _find_by_name(world: World, hub_repo: HubRepo, status: Status, query: ListQuery) -> Iterator[StoredRequest] | None:
    """Find rows by accounts with the name prefix; None if scanning the list down to a full page is cheaper."""
    accounts = world.find_accounts_by_prefix(query.prefix)
    all_rows = hub_repo.lists[status]
    if accounts and len(accounts) > min(len(all_rows), query.limit * len(world.accounts) // len(accounts)):
        return None
    below = _find_upper_bound(query)
    rows = [row for a in accounts if (row := hub_repo.people.get(a.id)) is not None and row.status is status]
    return iter(sorted((row for row in rows if below is None or sort_key(row) < below), key=sort_key, reverse=True))


def _find_past_rows(world: World, hub_repo: HubRepo, at_ms: int) -> dict[str, StoredRequest | None]:
    """Return the requests that changed since a time as they were then; None for those that did not exist yet."""
    rows: dict[str, StoredRequest | None] = {}
    for changed_ms, repo, request_id, before in reversed(world.past_rows):
        if changed_ms <= at_ms:
            break
        if repo is hub_repo:
            rows[request_id] = before
    return rows


def find_request_in_view(
    world: World, hub_repo: HubRepo, account: HubAccount, view: ReadView, now_ms: int
) -> StoredRequest | None:
    """Return one person's request, possibly from a lagging view."""
    row = hub_repo.people.get(account.id)
    if not view.lag_ms:
        return row
    past = _find_past_rows(world, hub_repo, now_ms - view.lag_ms)
    past_row = next((old for old in past.values() if old is not None and old.account is account), None)
    return None if past_row is None and row is not None and row.id in past else past_row or row


def read_all_rows(world: World, hub_repo: HubRepo, view: ReadView = PLAIN_VIEW, now_ms: int = 0) -> list[StoredRequest]:
    """Return all requests of a repo with a status that the protocol has, newest first."""
    lists = (
        _newest_first(world, hub_repo, status, None, view, now_ms) for status in STATUSES if status in world.statuses
    )
    return sorted(chain.from_iterable(lists), key=sort_key, reverse=True)


_encode = msgspec.json.Encoder().encode


class WireUser(Struct, frozen=True, gc=False):
    id: str = field(name="_id")
    avatarUrl: str  # noqa: N815 - the wire's spelling
    isPro: bool  # noqa: N815 - as above
    fullname: str
    user: str
    type: str
    verifiedOrgNames: tuple[str, ...] | UnsetType = UNSET  # noqa: N815 - as above
    email: str | UnsetType = UNSET


class WireRow(Struct, frozen=True, gc=False):
    requestId: str | UnsetType  # noqa: N815 - as above
    user: WireUser | UnsetType
    timestamp: str
    reviewedAt: str | UnsetType  # noqa: N815 - as above
    status: str
    grantedBy: WireUser | UnsetType  # noqa: N815 - as above
    fields: Raw | UnsetType


def _build_user(account: HubAccount, *, is_granter: bool = False, mailed: bool = False) -> WireUser:
    return WireUser(
        account.id,
        account.avatar,
        account.is_pro,
        account.fullname,
        account.username,
        "user",
        UNSET if is_granter else account.verified_orgs,
        account.email or UNSET if mailed else UNSET,
    )


def _build_row(hub_repo: HubRepo, row: StoredRequest, status: str, *, is_old: bool) -> WireRow:
    return WireRow(
        UNSET if is_old else row.id,
        UNSET
        if hub_repo.hide_usernames
        else _build_user(row.account, mailed=row.has_email and not hub_repo.hide_emails),
        format_ms(row.asked_ms),
        UNSET if row.reviewed_ms is None else format_ms(row.reviewed_ms),
        status,
        UNSET if row.granter is None else _build_user(row.granter, is_granter=True),
        UNSET if row.answers is None else Raw(row.answers),
    )


# ---- lists -----------------------------------------------------------------------------------------------------------


def answer_list(context: CallContext) -> HttpResponse:
    _, hub_repo = context.require_reviewer(can_decide=False)
    params = context.request.params
    world = context.world
    check = BodyValidator({"status": context.call.parts["status"]})
    status = Status(check.get_option("status", [s.value for s in world.statuses]))
    check.raise_problems()
    limit = parse_query_number(params.get("limit"), "limit", MIN_PAGE_SIZE, MAX_PAGE_SIZE, MAX_PAGE_SIZE)
    before_ms = _parse_time(params, "before")
    after_ms = _parse_time(params, "after")
    check = BodyValidator(params)
    prefix = "" if world.is_old else (check.get_text("q", most=250) or "").lower()
    check.raise_problems()
    view = context.request.view
    wanted = ListQuery(min(limit, world.page_size), _parse_cursor(params.get("cursor")), before_ms, after_ms, prefix)
    rows, has_more = read_list_page(world, hub_repo, status, wanted, view, context.now_ms)
    word = status.value
    is_old = world.is_old
    answer = json_response(None, raw=_encode([_build_row(hub_repo, row, word, is_old=is_old) for row in rows]))
    if not has_more:
        return answer
    last = (shuffled_key if view.is_shuffled else sort_key)(rows[-1])
    return answer.with_headers(
        Link=build_next_link(context, urlsafe_b64encode(f"{last[0]}:{last[1]}".encode()).decode().rstrip("="))
    )


def build_next_link(context: CallContext, cursor: str) -> str:
    """Return the next link of a page: the same query with another cursor."""
    pairs = [(key, value) for key, value in parse_qsl(context.request.query) if key != "cursor"]
    return f'<{context.request.base_url}{context.request.path}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'


def _parse_time(params: dict[str, str], key: str) -> int | None:
    if key not in params:
        return None
    ms = parse_ms(params[key]) if params[key].endswith("Z") else None
    if ms is None:
        raise HttpError(400, f"✖ Invalid ISO datetime\n  → at {key}")
    return ms


def _parse_cursor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    try:
        at, _, row_id = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        return int(at), row_id
    except ValueError:
        raise HttpError(400, "✖ Invalid cursor\n  → at cursor") from None


# ---- report ----------------------------------------------------------------------------------------------------------


class _Granter(Struct, frozen=True, gc=False):
    fullname: str
    user: str


class _ReportLine(Struct, frozen=True, gc=False):
    fullname: str | UnsetType
    user: str | UnsetType
    email: str | UnsetType
    time: str
    reviewedAt: str | UnsetType  # noqa: N815 - the wire's spelling
    status: str
    grantedBy: _Granter | UnsetType  # noqa: N815 - as above


def build_report(context: CallContext) -> HttpResponse:
    """Return the complete report. It is encoded in parts of 1,000 rows, so that a million rows need little memory."""
    _, hub_repo = context.require_reviewer(can_decide=False)
    rows = read_all_rows(context.world, hub_repo, context.request.view, context.now_ms)
    words = {status: status.value for status in STATUSES}
    parts = (rows[at : at + 1000] for at in range(0, len(rows), 1000))
    lines = (_encode([_build_report_line(hub_repo, row, words[row.status]) for row in part])[1:-1] for part in parts)
    name = f"user-access-report-{hub_repo.repo.namespace}-{hub_repo.repo.name}.json"
    headers = {"Content-Type": "application/json", "Content-Disposition": f"attachment; filename={name}"}
    return HttpResponse(200, headers, b"[%b]" % b",".join(lines))


def _build_report_line(hub_repo: HubRepo, row: StoredRequest, status: str) -> _ReportLine:
    account = row.account
    granter = row.granter
    is_hidden = hub_repo.hide_usernames
    mailed = row.has_email and not hub_repo.hide_emails and not is_hidden
    return _ReportLine(
        UNSET if is_hidden else account.fullname,
        UNSET if is_hidden else account.username,
        account.email or UNSET if mailed else UNSET,
        format_ms(row.asked_ms),
        UNSET if row.reviewed_ms is None else format_ms(row.reviewed_ms),
        status,
        UNSET if granter is None else _Granter(granter.fullname, granter.username),
    )
