"""Reads how the store knows one person: ids, current names, and the names of earlier records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import msgspec

from hf_gate.core.events.erasure import NamePattern
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.store.sql import Reader
from hf_gate.store.writing.compression import decode_record, unpack

_PERSON: Final = "id, pseudonym, user_id, username, fullname, email"
_NAMES: Final = ("user", "fullname", "email")  # of the user in a record from the Hub


@dataclass(frozen=True)
class StoredIdentity:
    """What the store knows about one person.

    `former` are the usernames, full names and addresses of earlier records.
    """

    id: int
    pseudonym: str
    user_id: str | None
    username: str | None
    fullname: str | None
    email: str | None
    former: tuple[tuple[str, str], ...] = ()  # field of the record and its value

    @cached_property
    def pattern(self) -> NamePattern:
        """Recognises texts that name the person."""
        return NamePattern(
            [word for word in (self.user_id, self.username, self.fullname, self.email) if word]
            + [word for _, word in self.former]
        )

    @property
    def account(self) -> str:
        """The account id for comparisons with table matches; without one, a text that no match has (a match with nobody
        has "").
        """
        return self.user_id or "?"

    @property
    def usernames(self) -> frozenset[str]:
        """The usernames, also the former ones."""
        former = (word for name, word in self.former if name == "user")
        return frozenset(word for word in (self.username, *former) if word)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The lower-case usernames and e-mail addresses, also the former ones."""
        former = (word for name, word in self.former if name != "fullname")
        return frozenset(word.lower() for word in (self.username, self.email, *former) if word)

    def is_subject(self, change: Mapping[str, object]) -> bool:
        """Tell whether a change of a plan or run is about the person: by the account id, or by a name if
        it has no id.
        """
        user_id = change.get("user_id")
        user = change.get("user")
        if user_id:
            return str(user_id).lower() == self.user_id
        return isinstance(user, str) and user.lower() in self.keys


def read_identity(reader: Reader, person: int) -> StoredIdentity:
    """Return what the store knows about a person, without former names."""
    row = reader.reads.row(f"SELECT {_PERSON} FROM people WHERE id = ?", (person,))
    assert row is not None
    return StoredIdentity(*row)


def read_full_identity(reader: Reader, person: int) -> StoredIdentity:
    """Return what the store knows about a person, with the names of earlier records."""
    identity = read_identity(reader, person)
    names = dict.fromkeys(name for record in _iterate_records(reader, person) for name in _names_in(record))
    return replace(identity, former=tuple(names))


def find_same_account(reader: Reader, person: int) -> list[int]:
    """Return the other stored people who are the same account by the ids in their records.

    A repo that hid a person and shows them later leaves a person without an account id, if another repo showed them
    before.
    """
    me = read_full_identity(reader, person)
    own = _accounts_in_records(reader, person)
    account = me.user_id or (min(own) if len(own) == 1 else None)
    if account is None:
        return []
    found = {row[0] for row in reader.reads.rows("SELECT id FROM people WHERE user_id = ?", (account,))}
    among, keys = reader.reads.in_clause([fold_for_search(name) for name in me.usernames])
    nameless = reader.reads.rows(f"SELECT id FROM people WHERE user_id IS NULL AND user_key {among}", (keys,))
    found |= {ident for (ident,) in nameless if _accounts_in_records(reader, ident) == {account}}
    return sorted(found - {person})


def _accounts_in_records(reader: Reader, person: int) -> set[str]:
    """Return the account ids in the records of a stored person."""
    users = (_user_in(record) for record in _iterate_records(reader, person))
    return {ident.lower() for user in users if isinstance(ident := user.get("_id"), str)}


def _iterate_records(reader: Reader, person: int) -> Iterator[bytes]:
    """Iterate over the records of a person, oldest first."""
    parts = reader.reads.rows("SELECT data FROM private WHERE person_id = ? ORDER BY id", (person,))
    return (decode_record(unpack(bytes(data))) for (data,) in parts)


def _names_in(record: bytes) -> Iterator[tuple[str, str]]:
    user = _user_in(record)
    yield from ((name, word) for name in _NAMES if isinstance(word := user.get(name), str) and word)


def _user_in(record: bytes) -> Mapping[str, object]:
    """Return the user of a record from the Hub; nothing if it is hidden or cannot be read."""
    try:
        found = msgspec.json.decode(record)
    except msgspec.DecodeError:
        return {}
    user = found.get("user") if isinstance(found, dict) else None
    return user if isinstance(user, dict) else {}
