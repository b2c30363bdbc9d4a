"""Looks up people in the owner's tables after the rows have been read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import Person
from hf_gate.core.policy_model import UnknownReason

from .email_addresses import parent_domains
from .fact_values import TableHit

KEYS: tuple[str, ...] = ("user_id", "email", "username")
"""The columns that can identify a person, the most reliable first."""

NO_ACCOUNT = ""
"""The binding of a username that had no account when its row was first read.

An account created later does not match.
"""

_FOR_EVER = datetime.max.replace(tzinfo=UTC)
_EMPTY: Mapping[str, str] = MappingProxyType({})
_UNBOUND = "the username is not bound to an account yet"
_NO_ACCOUNT_THEN = "the account did not exist when the table was first read; add its user_id or e-mail to the row"


class TableRow(Struct, frozen=True):
    """One row. `domain` is `mit.edu` or `*.mit.edu`.

    `date_problem` says why the date is invalid; the row is then unknown.
    """

    line: int
    user_id: str | None = None
    email: str | None = None
    username: str | None = None  # lower case
    domain: str | None = None
    starts: datetime | None = None
    expires: datetime | None = None
    columns: Mapping[str, str] = msgspec.field(default_factory=dict)
    date_problem: str = ""

    def value_of_key(self, key: str) -> str | None:
        value: str | None = getattr(self, key)
        return value

    @property
    def stored_key(self) -> str:
        """The key of the row in the store, the same for each way to write it."""
        return self.user_id or self.email or self.username or f"@{self.domain}"

    @property
    def digest(self) -> str:
        """The digest that names the row: 16 hex digits over its keys and everything it says."""
        content = json.dumps([self.user_id, self.email, self.username, self.domain, *self.terms], default=str)
        return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def terms(self) -> tuple[object, ...]:
        """What the row says about the people it identifies, as plain values."""
        dates = tuple(each and each.astimezone(UTC).isoformat() for each in (self.starts, self.expires))
        return (*dates, self.date_problem, sorted(self.columns.items()))


class TableProblem(Struct, frozen=True):
    """A problem in a table file. `line` counts from 1; 0 means the whole file."""

    line: int
    code: str
    message: str
    is_error: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `refusal` says why the table cannot be used at all; the lines in `skipped_lines` could not be read.

    `digest` (64 hex digits) covers the content, not the layout. `find` looks up a person.
    """

    name: str
    key: tuple[str, ...]
    rows: tuple[TableRow, ...] = ()
    digest: str = ""
    problems: tuple[TableProblem, ...] = ()
    skipped_lines: tuple[int, ...] = ()
    refusal: str = ""
    as_of: datetime | None = None
    _index: _RowIndex | None = field(default=None, compare=False, repr=False)

    @property
    def refusal_text(self) -> str:
        """Why the table cannot be used, and what this means for rules."""
        return f"{self.refusal}; every rule that uses it is unknown"

    @property
    def source(self) -> str:
        """The source of the table's facts: `table:partners@1a2b3c4d`."""
        return f"table:{self.name}@{self.digest[:8]}"

    @property
    def key_sets(self) -> frozenset[frozenset[str]]:
        """The sets of keys by which individual rows can be found."""
        return frozenset() if self._index is None else self._index.key_sets

    def rows_by(self, kind: str) -> Mapping[str, Sequence[TableRow]]:
        """Return the rows by user_id, email, username or domain, as lookups find them."""
        return {} if self._index is None else self._index.by[kind]

    def usernames(self) -> tuple[str, ...]:
        """Return the usernames in the rows; empty if the username is not a key."""
        return tuple(self._index.by["username"]) if self._index and "username" in self.key else ()

    def find(
        self, person: Person, address: str | None, *, now: datetime, bindings: Mapping[str, str] = _EMPTY
    ) -> TableHit:
        """Look up one account. `address` is the account's e-mail address, never the one in the form.

        `bindings` maps usernames to account ids (`NO_ACCOUNT` if there was none); pass a new mapping when the bindings
        change. A row with an unbound username and another e-mail address makes the result unknown.
        """
        if self.refusal or self._index is None:
            return self._unknown(self.refusal or "the table has not been read")
        found, doubt = self._matching_rows(person, address, bindings, self._index)
        later = min((row.starts for row in found if row.starts is not None and row.starts > now), default=None)
        hit = self._hit_of(found, doubt, person, address, now)
        return hit if later is None else replace(hit, changes_at=min(later, hit.changes_at or later))

    def _hit_of(
        self,
        found: list[TableRow],
        doubt: str,
        person: Person,
        address: str | None,
        now: datetime,
    ) -> TableHit:
        flawed = next((row for row in found if row.date_problem), None)
        if flawed:
            return self._unknown(f"line {flawed.line}: {flawed.date_problem}")
        found = [row for row in found if row.starts is None or row.starts <= now]
        if found:
            best = max(found, key=lambda row: row.expires or _FOR_EVER)
            state = "valid" if best.expires is None or now < best.expires else "expired"
            return TableHit(
                state,
                best.expires,
                best.columns,
                source=self.source,
                as_of=self.as_of,
                changes_at=best.expires if state == "valid" else None,
                listed_by=best,
            )
        doubt = doubt or self._absence_doubt(person, address, self._index) if self._index else doubt
        return self._unknown(doubt) if doubt else TableHit(source=self.source, as_of=self.as_of)

    def _unknown(self, note: str) -> TableHit:
        return TableHit(why=UnknownReason.UNAVAILABLE, note=note, source=self.source, as_of=self.as_of)

    def _matching_rows(
        self, person: Person, address: str | None, bindings: Mapping[str, str], index: _RowIndex
    ) -> tuple[list[TableRow], str]:
        found: list[TableRow] = []
        doubt = ""
        if "user_id" in self.key and person.id:
            found += index.rows_of("user_id", person.id.lower())
        if "email" in self.key and address:
            found += index.rows_of("email", address)
            found += index.of_domain(address.rpartition("@")[2])
        if "username" in self.key:
            named, doubt = index.of_username(person, address, bindings)
            found += named
        return found, doubt

    def _absence_doubt(self, person: Person, address: str | None, index: _RowIndex) -> str:
        """Return why it is uncertain that a person is not listed; empty if this is certain."""
        if self.skipped_lines:
            return f"line {self.skipped_lines[0]} of the table cannot be read"
        shown = {"user_id": person.id, "email": address, "username": person.username}
        hidden = frozenset(key for key, value in shown.items() if not value)
        if any(keys <= hidden for keys in index.key_sets):
            return "the Hub hides the data that the table needs to find people"
        return ""


def build_table(
    name: str,
    key: Sequence[str],
    rows: Iterable[TableRow],
    digest: str,
    problems: Iterable[TableProblem] = (),
    *,
    skipped: Sequence[int] = (),
    as_of: datetime | None = None,
) -> Table:
    """Build a table with its index."""
    rows = tuple(rows)
    key = tuple(key)
    return Table(name, key, rows, digest, tuple(problems), tuple(skipped), as_of=as_of, _index=_RowIndex(rows, key))


class _RowIndex:
    """The rows by each key. `key_sets` has the sets of keys by which individual rows can be found."""

    def __init__(self, rows: tuple[TableRow, ...], key: tuple[str, ...]) -> None:
        self.by: dict[str, dict[str, list[TableRow]]] = {each: {} for each in (*KEYS, "domain")}
        key_sets: set[frozenset[str]] = set()
        self._bound: tuple[object, dict[str, list[TableRow]]] = (None, {})
        for row in rows:
            filled = {each for each in key if row.value_of_key(each)}
            for each in filled:
                self.by[each].setdefault(row.value_of_key(each) or "", []).append(row)
            if row.domain and "email" in key:
                self.by["domain"].setdefault(row.domain, []).append(row)
                filled.add("email")
            key_sets.add(frozenset(filled))
        self.key_sets = frozenset(key_sets)

    def rows_of(self, column: str, value: str) -> Sequence[TableRow]:
        """Return the rows with this value in a key column."""
        return self.by[column].get(value, ())

    def of_domain(self, domain: str) -> list[TableRow]:
        if not self.by["domain"]:
            return []
        found = list(self.rows_of("domain", domain))
        for above in parent_domains(domain)[1:]:
            found += self.rows_of("domain", f"*.{above}")
        return found

    def of_username(
        self, person: Person, address: str | None, bindings: Mapping[str, str]
    ) -> tuple[list[TableRow], str]:
        """Return the rows bound to this account or with its name and address, and a reason for doubt."""
        if not self.by["username"]:
            return [], ""
        found = list(self._rows_of(bindings).get(person.id.lower(), ())) if person.id else []
        doubt = ""
        name = (person.username or "").lower()
        for row in self.rows_of("username", name):
            bound = bindings.get(name)
            if bound:
                continue
            if row.email and address and row.email == address:
                found.append(row)
            else:
                doubt = f"line {row.line}: {_UNBOUND if bound is None else _NO_ACCOUNT_THEN}"
        return found, doubt

    def _rows_of(self, bindings: Mapping[str, str]) -> dict[str, list[TableRow]]:
        if self._bound[0] is not bindings:
            rows: dict[str, list[TableRow]] = {}
            for name, user_id in bindings.items():
                if user_id:
                    rows.setdefault(user_id.lower(), []).extend(self.rows_of("username", name))
            self._bound = (bindings, rows)
        return self._bound[1]


def unbound_usernames(table: Table, bindings: Mapping[str, str]) -> tuple[str, ...]:
    """Return the usernames in rows without a binding; each is looked up once, when its row is first read."""
    return tuple(name for name in dict.fromkeys(table.usernames()) if name not in bindings)
