"""Selections as they lie in the store: which requests somebody picked, each as it looked then; never a list in a browser."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo

from ..domain.query import Query
from .query_sql import conditions
from .reading import Store
from .search import Key, Wanted, keys_of
from .weighing import LOOK
from .writer import Writer

_PAGE = 10_000


class Picks:
    """Selections by their names."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, pick: str, member: str, requests: Iterable[int], at: int) -> None:
        """Takes requests in, by their numbers, each as it looks now; one that is in already is taken in anew."""
        with self._store.writing() as write:
            _begin(write, pick, member, at)
            _take(write, pick, list(requests))

    def fill(self, pick: str, member: str, query: Query, at: int, zone: tzinfo) -> None:
        """Takes in everybody whom a query finds at this moment; whoever comes later is not in it. At once, or not at all."""
        with self._store.writing() as write:
            _begin(write, pick, member, at)
            found = conditions(query, write.db, now=at, zone=zone)
            after: Key | None = None
            while True:
                keys = keys_of(write.db, found, Wanted(_PAGE, after=after))
                _take(write, pick, [ident for _, ident in keys])
                if len(keys) < _PAGE:
                    return
                after = keys[-1]

    def remove(self, pick: str, requests: Sequence[int]) -> None:
        """Lets requests go."""
        with self._store.writing() as write:
            among, value = write.db.among(requests)
            write.db.run(f"DELETE FROM picked WHERE pick = ? AND request_id {among}", (pick, value))

    def clear(self, pick: str) -> None:
        """Lets all go."""
        with self._store.writing() as write:
            write.db.run("DELETE FROM picked WHERE pick = ?", (pick,))
            write.db.run("DELETE FROM picks WHERE id = ?", (pick,))

    def let_go(self, pick: str, decided: str) -> None:
        """Lets go whom another selection has: what else was selected meanwhile stays."""
        with self._store.writing() as write:
            write.db.run(
                "DELETE FROM picked WHERE pick = ? AND request_id IN (SELECT request_id FROM picked WHERE pick = ?)",
                (pick, decided),
            )

    def freeze(self, pick: str, into: str, member: str, at: int) -> int:
        """A copy that does not change any more; how many are in it. Copies older than a day are forgotten."""
        with self._store.writing() as write:
            old = "SELECT id FROM picks WHERE id LIKE 'b!_%' ESCAPE '!' AND made_at < ?"
            write.db.run(f"DELETE FROM picked WHERE pick IN ({old})", (at - 86_400_000,))
            write.db.run("DELETE FROM picks WHERE id LIKE 'b!_%' ESCAPE '!' AND made_at < ?", (at - 86_400_000,))
            write.db.run("INSERT INTO picks (id, member, made_at) VALUES (?, ?, ?)", (into, member, at))
            copy = (
                "INSERT INTO picked (pick, request_id, ground) SELECT ?, request_id, ground FROM picked WHERE pick = ?"
            )
            return write.db.run(copy, (into, pick))

    def count(self, pick: str, besides: int = 0) -> int:
        """Return how many requests are in a selection; `besides`: the number of one that is not counted."""
        row = self._store.reads.row("SELECT count(*) FROM picked WHERE pick = ? AND request_id <> ?", (pick, besides))
        return int(row[0]) if row else 0

    def owner(self, pick: str) -> str | None:
        """Who made it; None when there is none of that name."""
        row = self._store.reads.row("SELECT member FROM picks WHERE id = ?", (pick,))
        return None if row is None else str(row[0])

    def among(self, pick: str, requests: Iterable[int]) -> frozenset[int]:
        """Which of these are in it."""
        among, value = self._store.reads.among(list(requests))
        rows = self._store.reads.rows(
            f"SELECT request_id FROM picked WHERE pick = ? AND request_id {among}", (pick, value)
        )
        return frozenset(row[0] for row in rows)

    def all(self, pick: str) -> dict[int, str]:
        """Number to ground, in the order of the numbers."""
        rows = self._store.reads.rows(
            "SELECT request_id, ground FROM picked WHERE pick = ? ORDER BY request_id", (pick,)
        )
        return {row[0]: row[1] for row in rows}


def _begin(write: Writer, pick: str, member: str, at: int) -> None:
    sql = "INSERT INTO picks (id, member, made_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
    write.db.run(sql, (pick, member, at))


def _take(write: Writer, pick: str, requests: Sequence[int]) -> None:
    among, value = write.db.among(requests)
    write.db.run(
        f"INSERT INTO picked (pick, request_id, ground) SELECT ?, r.id, {LOOK} FROM requests r WHERE r.id {among}"
        " ON CONFLICT (pick, request_id) DO UPDATE SET ground = excluded.ground",
        (pick, value),
    )
