"""The search text of requests, and the index over it, kept up in the writer's transaction."""

from __future__ import annotations

from collections.abc import Iterable

from .people import Someone
from .sql import Database
from .texts import NAME, names_text


class Indexer:
    """The search texts that one transaction touches."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._new: dict[int, str] = {}

    def add(self, ident: int, text: str) -> None:
        """The text of a new request."""
        self._new[ident] = text

    def replace(self, ident: int, text: str) -> None:
        """The text of a request that reads differently now."""
        if ident in self._new:
            self._new[ident] = text
            return
        found = self._db.row("SELECT text FROM texts WHERE id = ?", (ident,))
        if found is not None:
            if found[0] == text:
                return
            self._forget([(ident, found[0])])
        self._new[ident] = text

    def rename(self, people: Iterable[Someone]) -> None:
        """New names in every text of these people."""
        for one in people:
            names = names_text(one.fullname, one.username, one.email)
            sql = "SELECT t.id, t.text FROM texts t JOIN requests r ON r.id = t.id WHERE r.person_id = ?"
            for ident, text in self._db.rows(sql, (one.id,)):
                self.replace(ident, names + answers_part(text))

    def flush(self) -> None:
        """Writes what is new."""
        if not self._new:
            return
        rows = list(self._new.items())
        self._db.insert_many("INSERT INTO texts (id, text) VALUES (?, ?)", rows)
        if self._db.is_sqlite:
            self._db.insert_many("INSERT INTO grams (rowid, text) VALUES (?, ?)", rows)
        self._new = {}

    def _forget(self, old: list[tuple[int, str]]) -> None:
        if self._db.is_sqlite:
            self._db.run_many("INSERT INTO grams (grams, rowid, text) VALUES ('delete', ?, ?)", old)
        self._db.run_many("DELETE FROM texts WHERE id = ?", [(ident,) for ident, _ in old])


def answers_part(text: str) -> str:
    """What follows the three names of a search text."""
    last = text.rfind(NAME)
    end = last + 1
    while end < len(text) and not "\ue000" <= text[end] <= "\uf8fe":
        end += 1
    return text[end:]
