"""Keeps the versions of a table: who was listed, as salted hashes, so that no copy of the owner's data is stored.

The last good version stays in force while the file is refused, and shows who is gone from a roster. Earlier versions
are kept as changes, for facts of an earlier time. The other columns of all these versions are unknown.
"""

from __future__ import annotations

import hashlib
from collections import Counter
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
MAX_EARLIER: Final = 500
"""How many earlier versions of a table are kept."""

MAX_EARLIER_ROWS: Final = 20_000
"""How many rows the changes between them may name."""


class ListedRow(msgspec.Struct, frozen=True, array_like=True):
    """One row with hashed keys. The dates are ISO 8601."""

    line: int
    keys: dict[str, str]
    starts: datetime | None = None
    expires: datetime | None = None
    is_flawed: bool = False


class EarlierVersion(msgspec.Struct, frozen=True, array_like=True):
    """An earlier version, as the change from the version that followed it. It was in force from `since` until `until`
    (ms).

    `added` are rows of the following version that this one did not have, `removed` the rows that only this one had, and
    `returned` those who had left an add-only roster by then and were listed again in the following version.
    """

    digest: str
    since: int | None
    until: int
    added: list[ListedRow]
    removed: list[ListedRow]
    returned: list[ListedRow]
    skipped: list[int]
    has_departed: bool = False

    @property
    def rows(self) -> list[ListedRow]:
        """All rows that the change names."""
        return [*self.added, *self.removed, *self.returned]


class TableVersion(msgspec.Struct, frozen=True):
    """The people of one version of a table, in force since `since` (ms).

    `departed` were in an earlier version; with `has_departed`, of an add-only roster. `earlier` are the versions
    before, the newest first.
    """

    digest: str
    key: tuple[str, ...]
    salt: bytes
    rows: list[ListedRow]
    skipped: list[int] = []
    departed: list[ListedRow] = []
    since: int | None = None
    has_departed: bool = False
    earlier: list[EarlierVersion] = []


def encode_version(version: TableVersion) -> bytes:
    """Encode a version for the store."""
    return msgspec.msgpack.encode(version)


def decode_version(document: bytes) -> TableVersion:
    """Decode a stored version."""
    return decode_msgpack(document, TableVersion)


def hide_key(salt: bytes, column: str, value: str) -> str:
    """Return the hash that stands for one key of a row."""
    return hashlib.blake2b(f"{column}\0{value}".encode("utf-8", "replace"), key=salt, digest_size=12).hexdigest()


def make_version(table: Table, salt: bytes, before: TableVersion | None = None, at: int | None = None) -> TableVersion:
    """Return the version of a table at a time (ms), with the earlier versions and those who left since `before`."""
    rows = [_list_row(row, salt) for row in table.rows]
    skipped = list(table.skipped_lines)
    if before is None or before.salt != salt:
        return TableVersion(table.digest, table.key, salt, rows, skipped, since=at, has_departed=table.has_departed)
    gone = _rows_without([*before.rows, *before.departed], rows)
    version = TableVersion(table.digest, table.key, salt, rows, skipped, gone, at, table.has_departed)
    return version if at is None else msgspec.structs.replace(version, earlier=_list_earlier(before, version, at))


def _list_earlier(before: TableVersion, version: TableVersion, at: int) -> list[EarlierVersion]:
    """Return the versions before this one, as many as may be kept."""
    here = _count(version.rows)
    there = _count(before.rows)
    last = EarlierVersion(
        digest=before.digest,
        since=before.since,
        until=at,
        added=_take(version.rows, here - there),
        removed=_take(before.rows, there - here),
        returned=_take(before.departed, _count(before.departed) - _count(version.departed)),
        skipped=before.skipped,
        has_departed=before.has_departed,
    )
    kept: list[EarlierVersion] = []
    left = MAX_EARLIER_ROWS
    for one in [last, *before.earlier][:MAX_EARLIER]:
        left -= len(one.rows)
        if left < 0:
            break
        kept.append(one)
    return kept


def _content_of(row: ListedRow) -> tuple[object, ...]:
    """Return what a row says, without its place in the file."""
    return (*sorted(row.keys.items()), row.starts, row.expires, row.is_flawed)


def _count(rows: Iterable[ListedRow]) -> Counter[tuple[object, ...]]:
    return Counter(map(_content_of, rows))


def _take(rows: Iterable[ListedRow], wanted: Counter[tuple[object, ...]]) -> list[ListedRow]:
    """Return the rows with these contents, each as often as it is wanted."""
    left = Counter(wanted)
    found = []
    for row in rows:
        if left[content := _content_of(row)] > 0:
            left[content] -= 1
            found.append(row)
    return found


class TableHistory:
    """The earlier versions of a table, built from its present version one after the other, the newest first."""

    def __init__(self, table: Table, version: TableVersion) -> None:
        self._table = table
        self._version = version
        self._place = -1
        self._rows = version.rows
        self._departed = version.departed
        self._found: tuple[int, Table] | None = None

    def find(self, digest: str | None, at: int) -> Table | None:
        """Return the version that was known at a time (ms), if it is kept.

        `digest` is the short digest of the version that was read before, if any. The later of that version and of the
        version in force at the time is returned.
        """
        version = self._version
        spans = [(version.digest, version.since, at + 1), *((e.digest, e.since, e.until) for e in version.earlier)]
        read = [place for place, (name, _, _) in enumerate(spans) if digest and name.startswith(digest)]
        then = [place for place, (_, since, until) in enumerate(spans) if since is not None and since <= at < until]
        if not (read or then) or (digest and not read):
            return None
        place = min(*read[:1], *then[:1], len(spans))
        return self._table if spans[place][0] == self._table.digest else self._build(place - 1)

    def _build(self, place: int) -> Table:
        """Return a version by its place among the earlier ones; -1 is the present one."""
        if self._found is not None and self._found[0] == place:
            return self._found[1]
        if place < self._place:
            self._place = -1
            self._rows = self._version.rows
            self._departed = self._version.departed
        while self._place < place:
            self._step()
        known = self._version.earlier[place] if place >= 0 else None
        then = TableVersion(
            digest=self._version.digest if known is None else known.digest,
            key=self._version.key,
            salt=self._version.salt,
            rows=self._rows,
            skipped=self._version.skipped if known is None else known.skipped,
        )
        changed = replace(self._table, refusal="the table has changed since, and its other columns are not kept")
        table = restore_version(then, changed, self._table.as_of)
        if (self._version if known is None else known).has_departed:
            table = replace(add_departed(table, then, self._departed), digest=then.digest)
        self._found = place, table
        return table

    def _step(self) -> None:
        """Go back by one version."""
        self._place += 1
        change = self._version.earlier[self._place]
        self._rows = [*_take(self._rows, _count(self._rows) - _count(change.added)), *change.removed]
        listed = _count(self._rows)
        self._departed = [*(row for row in self._departed if _content_of(row) not in listed), *change.returned]


def forget_person(version: TableVersion, keys: Iterable[tuple[str, str | None]]) -> TableVersion | None:
    """Return the version without the earlier ones that tell of a person; None if none does.

    `keys` are columns and values.
    """
    hidden = {(column, hide_key(version.salt, column, value.lower())) for column, value in keys if value}
    for place, one in enumerate(version.earlier):
        if any(not hidden.isdisjoint(row.keys.items()) for row in one.rows):
            return msgspec.structs.replace(version, earlier=version.earlier[:place])
    return None


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
