"""Compares the owner's tables with those that were evaluated last, so that a changed row concerns only who looked it
up.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping

from hf_gate.core.events.evaluations import NO_LOOKUPS, Lookups
from hf_gate.core.events.events import canonical_json
from hf_gate.policies.facts.fact_values import FactInputs
from hf_gate.policies.facts.tables import KEYS, Table, TableRow
from hf_gate.store.store import Store
from hf_gate.store.writing.erased import read_hash_key
from hf_gate.verdicts.rows.evaluations import EvaluatedTable, read_table, read_table_digests, write_table

_KINDS = KEYS  # user_id, email, username: the order of `Lookups`


class LookupHasher:
    """Returns the keyed hashes of what is looked up for a request."""

    def __init__(self, store: Store, tables: Mapping[str, Table]) -> None:
        self._secret = read_hash_key(store) if tables else b""
        kinds = {key for table in tables.values() for key in table.key}
        self._kinds = kinds | {"user_id"} if "username" in kinds else kinds  # a username can be bound to an account

    def hash_request(self, at: FactInputs) -> Lookups:
        """Return the hashes of the keys by which tables are searched for the person of a request."""
        if not self._kinds:
            return NO_LOOKUPS
        person = at.request.person
        email = at.email
        address = email.address if email is not None and email.domain else None
        values = (person.id and person.id.lower(), address, person.username and person.username.lower())
        user, mail, name = (
            hash_key(self._secret, kind, value) if value and kind in self._kinds else None
            for kind, value in zip(_KINDS, values, strict=True)
        )
        return user, mail, name


def hash_key(secret: bytes, kind: str, value: str) -> int:
    """Return 8 bytes of a keyed hash of one key, as a number."""
    return _number(f"{kind}\0{value}".encode("utf-8", "replace"), secret)


def _number(data: bytes, key: bytes = b"") -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=key).digest(), "big", signed=True)


def note_tables(store: Store, tables: Mapping[str, Table]) -> dict[str, tuple[str, str]]:
    """Store these tables as evaluated, and have requests evaluated whose rows changed; return digest and epoch of each.

    A new epoch says that the lookup of anybody may give another result.
    """
    known = read_table_digests(store)
    noted = {}
    for name, table in tables.items():
        digest = _digest_of(table)
        noted[name] = known.get(name, ("", ""))
        if noted[name][0] != digest:
            noted[name] = digest, _note_table(store, name, table, digest)
    return noted


def _note_table(store: Store, name: str, table: Table, digest: str) -> str:
    before = read_table(store, name)
    shape = shape_of_table(table)
    secret = read_hash_key(store)
    keys = dict(_hash_rows(table, secret))
    is_same_shape = before is not None and before.shape == shape
    epoch = before.epoch if before is not None and is_same_shape else secrets.token_hex(8)
    old = before.keys if before is not None and is_same_shape else keys
    changed = {key for key in keys.keys() | old.keys() if keys.get(key) != old.get(key)}
    bound = store.bindings(name).items() if changed else ()
    changed |= {
        hash_key(secret, "user_id", user_id.lower())
        for username, user_id in bound
        if user_id and hash_key(secret, "username", username) in changed
    }
    with store.writing() as write:
        write_table(write, name, EvaluatedTable(digest, shape, epoch, keys), changed)
    return epoch


def _digest_of(table: Table) -> str:
    """Return a digest of everything that a lookup can depend on. Rows with one key are alike, so their order is not."""
    return _digest([canonical_json([table.digest, shape_of_table(table)])])


def shape_of_table(table: Table) -> str:
    """Return a digest of what the lookup of anybody depends on: not on the rows of single people."""
    about = [
        table.key,
        table.refusal,
        bool(table.skipped_lines),
        sorted(sorted(keys) for keys in table.key_sets),
    ]
    rows = (_row_bytes(row) for domain in table.rows_by("domain").values() for row in domain)
    return _digest([canonical_json(about), *rows])


def _hash_rows(table: Table, secret: bytes) -> Iterator[tuple[int, int]]:
    for kind in _KINDS:
        for value, rows in table.rows_by(kind).items():
            yield hash_key(secret, kind, value), _number(b"\0".join(map(_row_bytes, rows)), secret)


def _row_bytes(row: TableRow) -> bytes:
    return canonical_json([row.user_id, row.email, row.username, row.domain, row.terms])


def _digest(parts: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part)
        whole.update(b"\0")
    return whole.hexdigest()
