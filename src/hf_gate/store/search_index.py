"""Keeps the search text of requests and its index up to date within the writer's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .people import StoredPerson
from .search_text import EMPTY_TEXT, SearchText, find_dense_runs, replace_names, with_dense_runs
from .sql import Database


class SearchIndex:
    """The search texts that one transaction changes. All are written together, ordered by request number."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._new: dict[int, SearchText] = {}
        self._changed: dict[int, SearchText] = {}

    def add(self, ident: int, text: SearchText) -> None:
        """Add the text of a new request."""
        self._new[ident] = text

    def replace(self, ident: int, text: SearchText) -> None:
        """Replace the text of a request."""
        (self._new if ident in self._new else self._changed)[ident] = text

    def flush(self, people: Collection[StoredPerson] = ()) -> None:
        """Write the pending texts, and update all texts of these people with their new names."""
        if people:
            self._replace_names({one.id: one for one in people})
        if self._changed:
            self._delete_texts(self._changed)
        rows = [(ident, *text) for ident, text in sorted((self._changed | self._new).items())]
        if self._db.is_sqlite:
            self._db.insert_many("INSERT INTO texts (id, text) VALUES (?, ?)", [row[:2] for row in rows])
            self._db.insert_many(
                "INSERT INTO grams (rowid, text) VALUES (?, ?)", [(i, text + more) for i, text, more in rows]
            )
        else:
            self._db.insert_many("INSERT INTO texts (id, text, extra) VALUES (?, ?, ?)", rows)
        self._new, self._changed = {}, {}

    def _replace_names(self, people: dict[int, StoredPerson]) -> None:
        among, value = self._db.in_clause(people)
        sql = f"SELECT t.id, t.text, r.person_id FROM texts t JOIN requests r ON r.id = t.id WHERE r.person_id {among}"
        for ident, text, person in self._db.rows(sql, (value,)):
            if ident not in self._new and ident not in self._changed:
                one = people[person]
                self._changed[ident] = with_dense_runs(replace_names(text, one.fullname, one.username, one.email))

    def empty(self, requests: Sequence[int]) -> None:
        """Replace the texts of requests by empty ones, without a trace in the index: SQLite would only mark them as deleted."""
        if self._db.is_sqlite:
            self._db.run("INSERT INTO grams (grams, rank) VALUES ('secure-delete', 1)")
        self._delete_texts(requests)
        if self._db.is_sqlite:
            self._db.run("INSERT INTO grams (grams, rank) VALUES ('secure-delete', 0)")
        self._new |= dict.fromkeys(requests, EMPTY_TEXT)
        self.flush()

    def _delete_texts(self, requests: Collection[int]) -> None:
        among, value = self._db.in_clause(requests)
        old = self._db.rows(f"SELECT id, text FROM texts WHERE id {among} ORDER BY id", (value,))
        if self._db.is_sqlite:
            rows = [(ident, text + find_dense_runs(text)) for ident, text in old]
            self._db.run_many("INSERT INTO grams (grams, rowid, text) VALUES ('delete', ?, ?)", rows)
        self._db.run(f"DELETE FROM texts WHERE id {among}", (value,))
