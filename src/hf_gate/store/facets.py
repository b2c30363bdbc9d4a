"""How many requests stand where: by repo, status and verdict as the writer counts, or up to a limit for any query."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import NamedTuple

from ..domain.query import Query
from ..domain.rows import QueryPage
from .query_sql import conditions
from .reading import Store
from .search import Wanted, cursor_of, keys_of
from .states import repo_of


class Cell(NamedTuple):
    """So many current requests of a repo in a status with a verdict; `action` None: not judged."""

    repo: str
    status: str
    action: str | None
    rule: str | None
    n: int


def cube(store: Store) -> list[Cell]:
    """Every combination that there is, as the writer counts them."""
    rows = store.reads.rows(
        "SELECT o.type, o.namespace, o.name, c.name, c.n FROM counters c JOIN repos o ON o.id = c.repo_id"
        " WHERE c.kind = 'cell' AND c.n > 0"
    )
    paths = {row[:3]: str(repo_of(*row[:3])) for row in rows}
    return [_cell(paths[row[:3]], row[3], int(row[4])) for row in rows]


def _cell(repo: str, name: str, n: int) -> Cell:
    status, action, rule = name.rsplit(" ", 2)
    return Cell(repo, status, None if action == "-" else action, None if rule == "-" else rule, n)


def count(store: Store, query: Query, *, now: int, zone: tzinfo = UTC, most: int = 1000) -> int:
    """How many a query holds for; `most` and one when there are more."""
    ready = conditions(query, store.reads, now=now, zone=zone)
    return len(keys_of(store.reads, ready, Wanted(most + 1)))


def first_page(
    store: Store,
    query: Query,
    *,
    now: int,
    zone: tzinfo = UTC,
    limit: int = 50,
    most: int = 1000,
    newest_first: bool = False,
) -> tuple[QueryPage, int]:
    """The first page of a query, and how many it holds for, found in one go; `most` and one when there are more."""
    ready = conditions(query, store.reads, now=now, zone=zone)
    keys = keys_of(store.reads, ready, Wanted(max(limit, most) + 1, newest_first))
    rows = list(store.requests([ident for _, ident in keys[:limit]]).values())
    following = cursor_of(query, keys[limit - 1], newest_first=newest_first) if len(keys) > limit else None
    return QueryPage(rows=rows, next=following), len(keys)
