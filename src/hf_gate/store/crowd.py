"""Pages of people: whoever a query finds, once, with all of their requests that it finds, where the first of them stood."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Final, NamedTuple

from ..domain.query import Query
from ..domain.rows import RequestRow
from .query_sql import Conditions, conditions
from .reading import Store
from .search import Key, Wanted, cursor_of, kept_of, key_of, keys_of
from .sql import Database

_STRETCH: Final = 100  # requests that are looked at together
_STRETCHES: Final = 20  # at most for one page: late in a list nearly everybody was met before


class PeoplePage(NamedTuple):
    """The requests of each person together; `next` is the cursor of the following page, None at the end."""

    people: list[list[RequestRow]]
    next: str | None


def by_person(
    store: Store,
    query: Query,
    *,
    now: int,
    zone: tzinfo = UTC,
    limit: int = 50,
    newest_first: bool = False,
    cursor: str | None = None,
) -> PeoplePage:
    """One page of at most `limit` people. Whoever hides who they are is as many people as they have requests."""
    db = store.reads
    found = conditions(query, db, now=now, zone=zone)
    after = None if cursor is None else key_of(query, cursor, newest_first=newest_first)
    people: list[list[Key]] = []
    for _ in range(_STRETCHES):
        keys = keys_of(db, found, Wanted(_STRETCH, newest_first, after))
        firsts = _firsts(db, found, keys, newest_first=newest_first)
        for key in keys:
            if key in firsts and len(people) == limit:
                return PeoplePage(_whole(store, people), cursor_of(query, after or key, newest_first=newest_first))
            people += [firsts[key]] if key in firsts else []
            after = key
        if len(keys) < _STRETCH:
            return PeoplePage(_whole(store, people), None)
    assert after is not None
    return PeoplePage(_whole(store, people), cursor_of(query, after, newest_first=newest_first))


def _firsts(db: Database, found: Conditions, keys: Sequence[Key], *, newest_first: bool) -> dict[Key, list[Key]]:
    """All that the query finds of the people behind these requests, by the first of each."""
    among, value = db.among([ident for _, ident in keys])
    people = f"SELECT person_id FROM requests WHERE id {among}"
    rows = db.rows(f"SELECT id, person_id FROM requests WHERE is_current AND person_id IN ({people})", (value,))
    whose: dict[int, int] = dict(rows)
    theirs: dict[int, list[Key]] = {}
    for key in kept_of(db, found, list(whose), newest_first=newest_first):
        theirs.setdefault(whose[key[1]], []).append(key)
    return {keys[0]: keys for keys in theirs.values()}


def _whole(store: Store, people: Sequence[Sequence[Key]]) -> list[list[RequestRow]]:
    rows = store.requests([ident for keys in people for _, ident in keys])
    return [[rows[ident] for _, ident in keys if ident in rows] for keys in people]
