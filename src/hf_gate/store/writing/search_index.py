"""Keeps the search text of requests and its index up to date within the writer's transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from hf_gate.errors import StoreDamaged
from hf_gate.store.sql import Database

from . import search_text
from .people import StoredPerson
from .search_text import EMPTY_TEXT, SearchText, find_dense_runs, replace_names, with_dense_runs

_BATCH: Final = 5_000  # texts in memory while the index is rebuilt
_VERSION: Final = "search index"
"""The setting with the version of the code that indexed all texts; missing if several versions did."""


@cache
def read_index_version() -> str:
    """Return the version of what decides which trigrams a text has."""
    code = Path(search_text.__file__).read_bytes()
    return f"{hashlib.blake2b(code, digest_size=8).hexdigest()} {sqlite3.sqlite_version}"


class SearchIndex:
    """The search texts that one transaction changes. All are written together, ordered by request number."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._new: dict[int, SearchText] = {}
        self._changed: dict[int, SearchText] = {}
        self._has_emptied = False
        self._must_rebuild = False
        self._is_version_noted = False

    def add(self, ident: int, text: SearchText) -> None:
        """Add the text of a new request."""
        self._new[ident] = text

    def replace(self, ident: int, text: SearchText) -> None:
        """Replace the text of a request."""
        (self._new if ident in self._new else self._changed)[ident] = text

    def flush(self, people: Collection[StoredPerson] = ()) -> None:
        """Write the pending texts, and update all texts of these people with their new names."""
        if people:
            self._replace_names({person.id: person for person in people})
        if self._changed:
            self._delete_texts(self._changed)
        rows = [(ident, *text) for ident, text in sorted((self._changed | self._new).items())]
        if not self._db.is_sqlite:
            self._db.insert_many("INSERT INTO texts (id, text, extra) VALUES (?, ?, ?)", rows)
        elif rows:
            self._note_version()
            self._db.insert_many("INSERT INTO texts (id, text) VALUES (?, ?)", [row[:2] for row in rows])
            if not self._must_rebuild:
                self._insert_grams((ident, text + more) for ident, text, more in rows)
        self._new = {}
        self._changed = {}

    def _replace_names(self, people: dict[int, StoredPerson]) -> None:
        among, value = self._db.in_clause(people)
        sql = f"SELECT t.id, t.text, r.person_id FROM texts t JOIN requests r ON r.id = t.id WHERE r.person_id {among}"
        for ident, text, person in self._db.rows(sql, (value,)):
            if ident not in self._new and ident not in self._changed:
                one = people[person]
                self._changed[ident] = with_dense_runs(replace_names(text, one.fullname, one.username, one.email))

    def empty(self, requests: Sequence[int]) -> None:
        """Replace the texts of requests by empty ones. `finish` then removes their trigrams from the file."""
        self._has_emptied = self._db.is_sqlite
        self._delete_texts(requests)
        self._new |= dict.fromkeys(requests, EMPTY_TEXT)
        self.flush()

    def finish(self) -> None:
        """Remove the trigrams of emptied texts from the file of SQLite; call this before the transaction ends.

        A delete only marks the trigrams as deleted. To merge all parts of the index into one drops them, together with
        those of earlier names. FTS5's `secure-delete` damages an index with earlier normal deletes, and is 100 times
        slower. The index is rebuilt if it is damaged, or if another version of the code may have indexed other
        trigrams.
        """
        if self._has_emptied and (self._must_rebuild or not self._is_of_this_version() or not self._merge()):
            self.rebuild()
        self._has_emptied = self._must_rebuild = False

    def _merge(self) -> bool:
        """Merge the index into one part; return False if it is damaged."""
        try:
            self._db.run("INSERT INTO grams (grams) VALUES ('optimize')")
            self._db.run("INSERT INTO grams (grams) VALUES ('integrity-check')")
        except StoreDamaged:
            return False
        return True

    def rebuild(self) -> None:
        """Index all texts again, also if the index is damaged."""
        if not self._db.is_sqlite:
            return
        self._db.run("INSERT INTO grams (grams) VALUES ('delete-all')")
        last = 0
        while rows := self._db.rows("SELECT id, text FROM texts WHERE id > ? ORDER BY id LIMIT ?", (last, _BATCH)):
            self._insert_grams((ident, text + find_dense_runs(text)) for ident, text in rows)
            last = rows[-1][0]
        self._db.write_setting(_VERSION, read_index_version())

    def _is_of_this_version(self) -> bool:
        return self._db.setting(_VERSION) == read_index_version()

    def _note_version(self) -> None:
        """Store the version before the first text is indexed, and delete another one before a text is added to it."""
        if self._is_version_noted or not self._db.is_sqlite:
            return
        self._is_version_noted = True
        if self._is_of_this_version():
            return
        is_first = self._db.row("SELECT 1 FROM texts LIMIT 1") is None
        self._db.write_setting(_VERSION, read_index_version() if is_first else None)

    def _insert_grams(self, rows: Iterable[tuple[int, str]]) -> None:
        self._db.insert_many("INSERT INTO grams (rowid, text) VALUES (?, ?)", rows)

    def _delete_grams(self, rows: Sequence[tuple[int, str]]) -> None:
        """Delete the trigrams of these texts. They must be the indexed ones, which the index does not keep."""
        try:
            self._db.run_many("INSERT INTO grams (grams, rowid, text) VALUES ('delete', ?, ?)", rows)
        except StoreDamaged:
            if not self._has_emptied:
                raise
            self._must_rebuild = True

    def _delete_texts(self, requests: Collection[int]) -> None:
        among, value = self._db.in_clause(requests)
        if self._db.is_sqlite:
            old = self._db.rows(f"SELECT id, text FROM texts WHERE id {among} ORDER BY id", (value,))
            rows = [(ident, text + find_dense_runs(text)) for ident, text in old]
            self._delete_grams(rows)
        self._db.run(f"DELETE FROM texts WHERE id {among}", (value,))
