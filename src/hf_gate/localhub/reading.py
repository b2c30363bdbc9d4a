"""What a Hub shows of its requests: a page of a list, one person's request, all of a repo; also as a fault lets it be seen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from heapq import merge
from itertools import chain, islice, takewhile
from typing import NamedTuple
from zlib import crc32

from ..domain.lifecycle import STATUSES, Status
from .records import Account, Gated
from .shelf import Row, newest_first, place
from .wire import PLAIN, View
from .world import World

Place = tuple[int, str]


class Page(NamedTuple):
    rows: list[Row]
    has_more: bool


class Wanted(NamedTuple):
    """Which part of a list: from behind `after_row`; times are exclusive; `prefix` is of the username, in lower case."""

    limit: int
    after_row: Place | None = None
    before_ms: int | None = None
    after_ms: int | None = None
    prefix: str = ""


def page(world: World, gated: Gated, status: Status, wanted: Wanted, view: View = PLAIN, now_ms: int = 0) -> Page:
    """Newest first. What it costs depends on the limit, not on how long the list is; with `view.shuffled` on all of it."""
    rows = _mixed(world, gated, status, wanted, view, now_ms) if view.shuffled else None
    if rows is None and wanted.prefix and view is PLAIN:
        rows = _found_by_name(world, gated, status, wanted)
    if rows is None:
        rows = _down(world, gated, status, _below(wanted), view, now_ms)
        if wanted.prefix:
            rows = (row for row in rows if row.account.username.lower().startswith(wanted.prefix))
    if (after_ms := wanted.after_ms) is not None and not view.shuffled:
        rows = takewhile(lambda row: row.asked_ms > after_ms, rows)
    found = list(islice(rows, wanted.limit + 1))
    return Page(found[: wanted.limit], len(found) > wanted.limit)


def _below(wanted: Wanted) -> Place | None:
    ends = [] if wanted.before_ms is None else [(wanted.before_ms, "")]
    return min([*ends, *([] if wanted.after_row is None else [wanted.after_row])], default=None)


def _down(
    world: World, gated: Gated, status: Status, below: Place | None, view: View = PLAIN, now_ms: int = 0
) -> Iterator[Row]:
    """Newest first from behind a place. A lagging view takes out who has moved since, and puts them in as they were."""
    rows = newest_first(gated.lists[status], below)
    if not view.lag_ms:
        return rows
    past = _past(world, gated, now_ms - view.lag_ms)
    were = [row for row in past.values() if row is not None and row.status is status]
    were = sorted((row for row in were if below is None or place(row) < below), key=place, reverse=True)
    return merge((row for row in rows if row.id not in past), were, key=place, reverse=True)


def _mixed(world: World, gated: Gated, status: Status, wanted: Wanted, view: View, now_ms: int) -> Iterator[Row]:
    rows = sorted(_down(world, gated, status, None, view, now_ms), key=mixed_place)
    high = len(rows) if wanted.after_row is None else bisect_left(rows, wanted.after_row, key=mixed_place)
    return (rows[at] for at in range(high - 1, -1, -1) if _is_wanted(rows[at], wanted))


def _is_wanted(row: Row, wanted: Wanted) -> bool:
    if wanted.before_ms is not None and row.asked_ms >= wanted.before_ms:
        return False
    if wanted.after_ms is not None and row.asked_ms <= wanted.after_ms:
        return False
    return row.account.username.lower().startswith(wanted.prefix)


def mixed_place(row: Row) -> Place:
    """A place that has nothing to do with time."""
    return crc32(row.id.encode()), row.id


def _found_by_name(world: World, gated: Gated, status: Status, wanted: Wanted) -> Iterator[Row] | None:
    """By way of those who are called so, when that is less to look at than the list down to a full page; else None."""
    called, shelf = world.called(wanted.prefix), gated.lists[status]
    if called and len(called) > min(len(shelf), wanted.limit * len(world.accounts) // len(called)):
        return None
    below = _below(wanted)
    rows = [row for a in called if (row := gated.people.get(a.id)) is not None and row.status is status]
    return iter(sorted((row for row in rows if below is None or place(row) < below), key=place, reverse=True))


def _past(world: World, gated: Gated, at_ms: int) -> dict[str, Row | None]:
    """Requests that have moved since then, as they were; None for what was not there."""
    was: dict[str, Row | None] = {}
    for moved_ms, repo, request_id, before in reversed(world.before):
        if moved_ms <= at_ms:
            break
        if repo is gated:
            was[request_id] = before
    return was


def request_of(world: World, gated: Gated, account: Account, view: View, now_ms: int) -> Row | None:
    """One person's request, as a lagging Hub may still see it."""
    row = gated.people.get(account.id)
    if not view.lag_ms:
        return row
    past = _past(world, gated, now_ms - view.lag_ms)
    was = next((old for old in past.values() if old is not None and old.account is account), None)
    return None if was is None and row is not None and row.id in past else was or row


def all_rows(world: World, gated: Gated, view: View = PLAIN, now_ms: int = 0) -> list[Row]:
    """All requests of a repo that this protocol can name, newest first."""
    lists = (_down(world, gated, status, None, view, now_ms) for status in STATUSES if status in world.statuses)
    return sorted(chain.from_iterable(lists), key=place, reverse=True)
