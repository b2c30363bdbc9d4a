"""Finds or creates the stored person behind each record, by account id, and updates changed names and addresses.

A record that hides the person belongs to a person known only by that request. A person with an account id is never
matched by name, because names can pass to other accounts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from hf_gate.core.events.erasure import ErasedRequest
from hf_gate.core.events.request_state import RecordUpdate
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.requests import AccessRequest
from hf_gate.store.sql import Database

from .search_text import clean
from .writer_cache import WriterCache

_SALT_BYTES = 16
_COLUMNS = "id, pseudonym, salt, user_id, username, fullname, email"


class StoredPerson(Struct):
    """A row of `people` as it will be written."""

    id: int
    pseudonym: str
    salt: bytes | None
    user_id: str | None
    username: str | None
    fullname: str | None
    email: str | None

    @property
    def name_key(self) -> str | None:
        """The folded username that identifies a person without an account id; None for others."""
        return fold_for_search(self.username) if self.username and self.user_id is None else None


class People:
    """The people whom one transaction reads or changes."""

    def __init__(self, db: Database, memory: WriterCache) -> None:
        self._db = db
        self._memory = memory
        self._by_id: dict[int, StoredPerson] = {}
        self._by_user: dict[str, StoredPerson] = {}
        self._by_name: dict[str, StoredPerson] = {}
        self._new: list[StoredPerson] = []
        self._changed: dict[int, StoredPerson] = {}
        self.renamed: dict[int, StoredPerson] = {}
        self._named_at: dict[int, datetime] = {}  # when the request was made from which a person's names were taken
        self._random = b""
        self._used = 0

    def find_or_create(self, seen: Sequence[RecordUpdate]) -> list[StoredPerson]:
        """Return the person of each record, updated with the record's data, in the order of the records."""
        self._load("id", {one.known.person for one in seen if one.known} - self._by_id.keys())
        self._load(
            "user_id", {one.request.person.id.lower() for one in seen if one.request.person.id} - self._by_user.keys()
        )
        nameless = {
            fold_for_search(p.username) for p in (one.request.person for one in seen) if p.username and not p.id
        }
        self._load("user_key", nameless - self._by_name.keys(), " AND user_id IS NULL")
        return [self._find_or_create_one(one) for one in seen]

    def read_salts(self, idents: Iterable[int]) -> dict[int, bytes | None]:
        """Return the salts of people by their numbers."""
        wanted = set(idents)
        self._load("id", wanted - self._by_id.keys())
        return {ident: self._by_id[ident].salt for ident in wanted}

    def flush(self) -> None:
        """Write changed and new people."""
        self._db.run_many(
            "UPDATE people SET salt = ?, user_id = ?, username = ?, fullname = ?, email = ?, user_key = ? WHERE id = ?",
            [(p.salt, p.user_id, p.username, p.fullname, p.email, p.name_key, p.id) for p in self._changed.values()],
        )
        self._db.insert_many(
            "INSERT INTO people (id, pseudonym, salt, user_id, username, fullname, email, user_key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(p.id, p.pseudonym, p.salt, p.user_id, p.username, p.fullname, p.email, p.name_key) for p in self._new],
        )
        self._new = []
        self._changed = {}

    def _load(self, column: str, values: set[int] | set[str], more: str = "") -> None:
        if not values:
            return
        among, value = self._db.in_clause(values)
        for row in self._db.rows(f"SELECT {_COLUMNS} FROM people WHERE {column} {among}{more}", (value,)):
            if row[0] not in self._by_id:
                self._remember(StoredPerson(*row))

    def _remember(self, someone: StoredPerson) -> None:
        self._by_id[someone.id] = someone
        if someone.user_id is not None:
            self._by_user[someone.user_id] = someone
        elif someone.username:
            self._by_name[fold_for_search(someone.username)] = someone

    def _find_or_create_one(self, update: RecordUpdate) -> StoredPerson:
        request = update.request
        user_id = request.person.id.lower() if request.person.id else None
        found: StoredPerson | None
        if update.known is not None:
            found = self._by_id[update.known.person]
        elif user_id is not None:
            found = self._by_user.get(user_id)
        else:
            found = self._by_name.get(fold_for_search(request.person.username)) if request.person.username else None
        if found is not None and request.asked_at < self._named_at.get(found.id, request.asked_at):
            return found  # an older record of a transaction says nothing new about the person
        person = self._create(request, user_id) if found is None else self._update(found, request, user_id)
        self._named_at[person.id] = request.asked_at
        return person

    def _create(self, request: AccessRequest, user_id: str | None) -> StoredPerson:
        chance = self._random_bytes(24)
        is_erased = isinstance(request, ErasedRequest)
        username = request.person.username
        fullname = request.person.fullname
        email = request.email
        someone = StoredPerson(
            self._memory.take_number("people"),
            f"p_{chance[:8].hex()}",
            None if is_erased else chance[8:],
            user_id,
            clean(username) if username else None,
            clean(fullname) if fullname else None,
            clean(email) if email else None,
        )
        self._new.append(someone)
        self._remember(someone)
        return someone

    def _random_bytes(self, size: int) -> bytes:
        """Return random bytes. Many are read from the operating system at once, because each call is slow."""
        if self._used + size > len(self._random):
            self._random = os.urandom(size * 1000)
            self._used = 0
        self._used += size
        return self._random[self._used - size : self._used]

    def _update(self, someone: StoredPerson, request: AccessRequest, user_id: str | None) -> StoredPerson:
        """Update a person. A field that the record omits is hidden, so the stored value stays."""
        if isinstance(request, ErasedRequest):
            return someone
        if someone.salt is None:  # the older requests of this person lost their personal data; this one has it
            someone.salt = self._random_bytes(_SALT_BYTES)
            self._changed[someone.id] = someone
        if user_id is not None and someone.user_id is None and user_id not in self._by_user:
            someone.user_id = user_id
            self._by_user[user_id] = someone
            self._changed[someone.id] = someone
        told = (request.person.username, request.person.fullname, request.email)
        known = (someone.username, someone.fullname, someone.email)
        now = tuple(clean(new) if new else old for new, old in zip(told, known, strict=True))
        if now != known:
            someone.username, someone.fullname, someone.email = now
            self._changed[someone.id] = someone
            self.renamed[someone.id] = someone
        return someone
