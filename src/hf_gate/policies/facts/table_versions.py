"""Keeps the versions of a table: who was listed, as salted hashes, so that no copy of the owner's data is stored.

The last good version stays in force while the file is refused, and shows who is gone from a roster. Its other columns
are unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from hf_gate.base.decoding import decode_msgpack

from .tables import Table, TableRow, index_of_rows

_COLUMNS: Final = ("user_id", "email", "username", "domain")  # in the order of TableRow
_FLAW: Final = "its date cannot be read"


class ListedRow(msgspec.Struct, frozen=True, array_like=True):
    """One row with hashed keys. The dates are ISO 8601."""

    line: int
    keys: dict[str, str]
    starts: datetime | None = None
    expires: datetime | None = None
    is_flawed: bool = False


class TableVersion(msgspec.Struct, frozen=True):
    """The people of one version of a table. `departed` were in an earlier version."""

    digest: str
    key: tuple[str, ...]
    salt: bytes
    rows: list[ListedRow]
    skipped: list[int] = []
    departed: list[ListedRow] = []


def encode_version(version: TableVersion) -> bytes:
    """Encode a version for the store."""
    return msgspec.msgpack.encode(version)


def decode_version(document: bytes) -> TableVersion:
    """Decode a stored version."""
    return decode_msgpack(document, TableVersion)


def hide_key(salt: bytes, column: str, value: str) -> str:
    """Return the hash that stands for one key of a row."""
    return hashlib.blake2b(f"{column}\0{value}".encode("utf-8", "replace"), key=salt, digest_size=12).hexdigest()


def make_version(table: Table, salt: bytes, before: TableVersion | None = None) -> TableVersion:
    """Return the version of a table, with those who left since `before`."""
    rows = [_list_row(row, salt) for row in table.rows]
    skipped = list(table.skipped_lines)
    if before is None or before.salt != salt:
        return TableVersion(table.digest, table.key, salt, rows, skipped)
    gone = _rows_without([*before.rows, *before.departed], rows)
    return TableVersion(table.digest, table.key, salt, rows, skipped, gone)


def find_departed(table: Table, before: TableVersion) -> list[ListedRow]:
    """Return the rows of an earlier version that are gone from the table."""
    return _rows_without(before.rows, (_list_row(row, before.salt) for row in table.rows))


def restore_version(version: TableVersion, refused: Table, as_of: datetime | None) -> Table:
    """Return a stored version of a table whose file is refused or has changed."""
    rows = tuple(_to_row(row) for row in version.rows)
    restored = replace(
        refused,
        rows=rows,
        digest=version.digest,
        skipped_lines=tuple(version.skipped),
        refusal="",
        outdated=refused.refusal,
        as_of=as_of,
        _index=index_of_rows(rows, refused.key, partial(hide_key, version.salt)),
        _departed=None,
    )
    return add_departed(restored, version, version.departed)


def add_departed(table: Table, version: TableVersion, departed: Iterable[ListedRow]) -> Table:
    """Return an add-only roster that does not say of those who left it that they are missing."""
    rows = tuple(_to_row(each) for each in departed)
    if not rows:
        return table
    digest = hashlib.sha256(f"{table.digest} {sorted(tuple(each.keys.items()) for each in departed)}".encode())
    index = index_of_rows(rows, table.key, partial(hide_key, version.salt))
    return replace(table, digest=digest.hexdigest(), _departed=index)


def departed_of(table: Table, version: TableVersion) -> list[ListedRow]:
    """Return everybody who was in the add-only roster and is not in this version of it."""
    rows = [_list_row(row, version.salt) for row in table.rows]
    return _rows_without([*version.rows, *version.departed], rows)


def _list_row(row: TableRow, salt: bytes) -> ListedRow:
    keys = {each: hide_key(salt, each, value) for each in _COLUMNS if (value := row.value_of_key(each))}
    return ListedRow(row.line, keys, row.starts, row.expires, bool(row.date_problem))


def _to_row(listed: ListedRow) -> TableRow:
    flaw = _FLAW if listed.is_flawed else ""
    user_id, email, username, domain = (listed.keys.get(each) for each in _COLUMNS)
    return TableRow(
        listed.line,
        user_id,
        email,
        username,
        domain,
        starts=listed.starts,
        expires=listed.expires,
        date_problem=flaw,
    )


def _rows_without(rows: Iterable[ListedRow], others: Iterable[ListedRow]) -> list[ListedRow]:
    """Return the rows that have no key in common with the others."""
    present = {key for other in others for key in other.keys.items()}
    return [row for row in rows if present.isdisjoint(row.keys.items())]
