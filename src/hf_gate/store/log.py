"""Entries on their way into the ledger: numbered, chained, sealed, with their private parts beside them."""

from __future__ import annotations

from ..domain.events import AnyEvent, body_of, commitment_of, kind_of
from ..domain.ledger import LedgerLink, link_hash
from .memory import Memory
from .sql import Database, Row

_LEDGER = (
    "INSERT INTO ledger (id, repo_id, seq, at, kind, actor, request_id, run, body, commitment, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_HEAD = (
    "INSERT INTO chains (repo_id, seq, head) VALUES (?, ?, ?)"
    " ON CONFLICT (repo_id) DO UPDATE SET seq = excluded.seq, head = excluded.head"
)


class Log:
    """The entries that one call adds to one chain."""

    def __init__(self, db: Database, memory: Memory, repo_id: int, chain: str, dictionary: int = 0) -> None:
        self._db, self._memory = db, memory
        self._repo_id, self._chain, self._dictionary = repo_id, chain, dictionary
        self._seq, self._head = memory.head(repo_id)
        self._rows: list[Row] = []
        self._private: list[Row] = []

    def add(
        self,
        event: AnyEvent,
        at: int,
        actor: str,
        request: int | None = None,
        person: int | None = None,
        salt: bytes | None = None,
        private: bytes | None = None,
    ) -> int:
        """The number of the entry. A private part (its canonical JSON) is kept only of a person who has a salt."""
        ident = self._memory.take("ledger")
        self._seq += 1
        commitment = None
        if private is not None and salt is not None:
            commitment = commitment_of(salt, private)
            self._private.append((ident, person, self._memory.packer.pack(self._dictionary, private)))
        kind, body = kind_of(event), body_of(event)
        link = LedgerLink(self._chain, self._seq, at, kind, actor, request, body, commitment)
        self._head = link_hash(self._head, link)
        run = getattr(event, "run", None)
        self._rows.append(
            (ident, self._repo_id, self._seq, at, kind, actor, request, run, body.decode(), commitment, self._head)
        )
        return ident

    def flush(self) -> None:
        """Writes the entries and the new head of the chain."""
        if not self._rows:
            return
        self._db.insert_many(_LEDGER, self._rows)
        self._db.insert_many("INSERT INTO private (id, person_id, data) VALUES (?, ?, ?)", self._private)
        self._db.run(_HEAD, (self._repo_id, self._seq, self._head))
        self._memory.heads[self._repo_id] = (self._seq, self._head)
        self._rows, self._private = [], []
