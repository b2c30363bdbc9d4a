"""Keeps the search text of requests and its index up to date within the writer's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from .people import StoredPerson
from .search_text import EMPTY_TEXT, SearchText, find_dense_runs, replace_names, with_dense_runs
from .sql import Database

_BATCH: Final = 5_000  # texts in memory while the index is rebuilt


class SearchIndex:
    """The search texts that one transaction changes. All are written together, ordered by request number."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._new: dict[int, SearchText] = {}
        self._changed: dict[int, SearchText] = {}
        self._must_rebuild = False

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
            if not self._must_rebuild:
                self._insert_grams((ident, text + more) for ident, text, more in rows)
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
        """Replace the texts of requests by empty ones. `finish` then removes their trigrams from the index."""
        self._must_rebuild = self._db.is_sqlite
        self._delete_texts(requests)
        self._new |= dict.fromkeys(requests, EMPTY_TEXT)
        self.flush()

    def finish(self) -> None:
        """Rebuild the index of SQLite if texts were emptied; call this before the transaction ends.

        A normal delete leaves the trigrams in the file. FTS5's `secure-delete` damages an index with earlier normal deletes,
        such as those of changed names, and is 100 times slower.
        """
        if not self._must_rebuild:
            return
        self._db.run("INSERT INTO grams (grams) VALUES ('delete-all')")
        last = 0
        while rows := self._db.rows("SELECT id, text FROM texts WHERE id > ? ORDER BY id LIMIT ?", (last, _BATCH)):
            self._insert_grams((ident, text + find_dense_runs(text)) for ident, text in rows)
            last = rows[-1][0]
        self._must_rebuild = False

    def _insert_grams(self, rows: Iterable[tuple[int, str]]) -> None:
        self._db.insert_many("INSERT INTO grams (rowid, text) VALUES (?, ?)", rows)

    def _delete_texts(self, requests: Collection[int]) -> None:
        among, value = self._db.in_clause(requests)
        if self._db.is_sqlite and not self._must_rebuild:
            old = self._db.rows(f"SELECT id, text FROM texts WHERE id {among} ORDER BY id", (value,))
            rows = [(ident, text + find_dense_runs(text)) for ident, text in old]
            self._db.run_many("INSERT INTO grams (grams, rowid, text) VALUES ('delete', ?, ?)", rows)
        self._db.run(f"DELETE FROM texts WHERE id {among}", (value,))
