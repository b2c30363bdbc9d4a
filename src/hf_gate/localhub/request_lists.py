"""Reads requests from the world: a page of a list, one person's request, or all requests of a repo.

Also reads them as a fault distorts them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from heapq import merge
from itertools import chain, islice, takewhile
from typing import NamedTuple
from zlib import crc32

from ..domain.lifecycle import STATUSES, Status
from .http_messages import PLAIN_VIEW, ReadView
from .records import HubAccount, HubRepo, StoredRequest, newest_first, sort_key
from .world import World

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


def read_page(
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
    accounts, all_rows = world.find_accounts_by_prefix(query.prefix), hub_repo.lists[status]
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


def find_request(
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
