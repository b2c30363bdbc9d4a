"""How many requests stand where: counted whole by repo, status and verdict, or up to a limit for any query."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import NamedTuple

from ..domain.query import Query
from .query_sql import conditions
from .reading import Store
from .search import Wanted, keys_of
from .states import repo_of


class Cell(NamedTuple):
    """So many current requests of a repo in a status with a verdict; `action` None: not judged."""

    repo: str
    status: str
    action: str | None
    rule: str | None
    n: int


def cube(store: Store) -> list[Cell]:
    """Every combination that there is. Looks at every current request once."""
    rows = store.reads.rows(
        "SELECT o.type, o.namespace, o.name, c.status, v.action, v.rule, sum(c.n) FROM"
        " (SELECT repo_id, status, verdict_id, count(*) AS n FROM requests WHERE is_current GROUP BY 1, 2, 3) AS c"
        " JOIN repos o ON o.id = c.repo_id LEFT JOIN verdicts v ON v.id = c.verdict_id GROUP BY 1, 2, 3, 4, 5, 6"
    )
    return [Cell(str(repo_of(*row[:3])), row[3], row[4], row[5], int(row[6])) for row in rows]


def size(store: Store) -> int:
    """How many entries the ledger has: as long as it stays the same, so does every count."""
    row = store.reads.row("SELECT max(id) FROM ledger")
    return int(row[0] or 0) if row else 0


def count(store: Store, query: Query, *, now: int, zone: tzinfo = UTC, most: int = 1000) -> int:
    """How many a query holds for; `most` and one when there are more."""
    ready = conditions(query, store.reads, now=now, zone=zone)
    return len(keys_of(store.reads, ready, Wanted(most + 1)))
