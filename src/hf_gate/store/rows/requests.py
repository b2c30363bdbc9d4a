"""Reads the rows of requests in pages by key: current requests, latest attempts, due grants and history."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events.evaluations import evaluation_of
from hf_gate.core.events.request_fields import FIELDS
from hf_gate.core.events.request_state import KnownRequest
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.lifecycle import STATUS_OF, WITHDRAWN, Status
from hf_gate.core.request_version import ContentDigest
from hf_gate.core.requests import AccessRequest
from hf_gate.core.stored_rows import Identity, ListPosition, ListRange, PersonRow, RequestRow
from hf_gate.hub.protocol.codec import read_request_page
from hf_gate.store.sql import Database, Row, Values
from hf_gate.store.writing.compression import decode_record, unpack
from hf_gate.store.writing.state_columns import SELECT_STATE, StoredVerdict, repo_of, state_of

PAGE: Final = 1000

_SAME = [name for name in RequestRow.__struct_fields__ if name in FIELDS and name != "id"]
"""The columns that a `RequestRow` has as they are, under their names."""

_ROW = (
    "r.id, o.type, o.namespace, o.name, r.person_id, p.user_id, p.username, p.fullname, p.email, r.answers, r.identity,"
    " r.evaluation_version, r.outcome, r.evaluate_at, r.lookup_user, r.lookup_email, r.lookup_name, r.review_at,"
    f" r.is_undecided, {', '.join(f'r.{name}' for name in _SAME)}, {SELECT_STATE}"
)
_SAME_AT = 19
_STATE_AT = _SAME_AT + len(_SAME)
_FROM = "requests r JOIN people p ON p.id = r.person_id JOIN repos o ON o.id = r.repo_id"
SELECT_BARE: Final = f"SELECT {_ROW}, NULL FROM {_FROM}"
"""Select requests without their records; append the rest of the statement, in which `r` is the request."""
SELECT_WITH_RECORD: Final = f"SELECT {_ROW}, x.data FROM {_FROM} LEFT JOIN private x ON x.id = r.record_id"
"""Select requests with their records."""

IS_SUDDEN: Final = "(r.until_at IS NULL OR r.until_at > ? OR COALESCE(r.shortened_at, 0) > ?)"
"""`RequestState.is_sudden_end`; the values are the time (ms), and `SUDDEN_MS` before it."""
IS_ENDABLE: Final = f"r.status = '{Status.ACCEPTED.value}' AND r.open_after IS NULL AND r.record_id IS NOT NULL"
"""Grants that hf-gate can end: no change is under way."""


class RowDecoder:
    """Converts database rows to `RequestRow` values. `verdict_of` returns a verdict by its number."""

    def __init__(self, verdict_of: Callable[[int | None], StoredVerdict]) -> None:
        self._verdict_of = verdict_of
        self._repos: dict[tuple[str, str, str], Repo] = {}

    def decode(self, rows: Sequence[Row]) -> list[RequestRow]:
        """Convert rows of `SELECT_BARE` or `SELECT_WITH_RECORD`."""
        repos = [self._repo(row[1], row[2], row[3]) for row in rows]
        records = self._records([row[-1] for row in rows], repos)
        return [self._value(row, repo, record) for row, repo, record in zip(rows, repos, records, strict=True)]

    def _repo(self, kind: str, namespace: str, name: str) -> Repo:
        key = (kind, namespace, name)
        if key not in self._repos:
            self._repos[key] = repo_of(kind, namespace, name)
        return self._repos[key]

    def _records(self, packed: Sequence[bytes | None], repos: Sequence[Repo]) -> Sequence[AccessRequest | None]:
        raw = [None if part is None else decode_record(unpack(part)) for part in packed]
        if raw and None not in raw and repos[0] == repos[-1] and len(set(repos)) == 1:
            page = read_request_page(b"[" + b",".join(raw) + b"]", repos[0], 0.0)  # type: ignore[arg-type]
            if len(page.rows) == len(raw):
                return page.rows
        return [None if one is None else decode_single(one, repo) for one, repo in zip(raw, repos, strict=True)]

    def _value(self, row: Row, repo: Repo, record: AccessRequest | None) -> RequestRow:
        (
            ident,
            _,
            _,
            _,
            person_id,
            user_id,
            username,
            fullname,
            email,
            answers,
            identity,
            *evaluation,
        ) = row[:_SAME_AT]
        state = state_of(row, _STATE_AT, self._verdict_of)
        if record is not None and (record.status != state.status or to_ms(record.reviewed_at) != state.reviewed_at):
            record = msgspec.structs.replace(
                record,
                status=STATUS_OF.get(state.status, state.status),
                reviewed_at=None if state.reviewed_at is None else from_ms(state.reviewed_at),
            )
        return RequestRow(
            id=ident,
            repo=repo,
            person=PersonRow(person_id, state.person, Identity(user_id, username, fullname, email)),
            state=state,
            content=ContentDigest(bytes(answers), bytes(identity)),
            evaluation=evaluation_of(evaluation),
            request=record,
            **{name: _read_value(name, value) for name, value in zip(_SAME, row[_SAME_AT:_STATE_AT], strict=True)},
        )


def _read_value(name: str, value: object) -> Any:  # noqa: ANN401 - of the type that the column has
    """Return a value as its field has it: SQLite stores booleans as numbers."""
    return bool(value) if name.startswith(("is_", "has_")) else value


def decode_single(raw: bytes, repo: Repo) -> AccessRequest | None:
    """Return the request of one record; None if it cannot be read."""
    rows = read_request_page(b"[" + raw + b"]", repo, 0.0).rows
    return rows[0] if rows else None


# ---- latest attempts -------------------------------------------------------------------------------------------------

_KNOWN = f"SELECT r.id, r.person_id, r.raw, r.answers, r.identity, {SELECT_STATE}"
_KNOWN_AT = 5
_NOT_ERASED = " AND p.salt IS NOT NULL"


class LatestAttemptReader:
    """Finds the latest stored attempt for records: by account id, else by request id, else (for people without an id)
    by name.

    A record with another account id belongs to another person, whatever its request id says.
    """

    def __init__(self, db: Database, repo_id: int, verdict_of: Callable[[int | None], StoredVerdict]) -> None:
        self._db = db
        self._repo_id = repo_id
        self._verdict_of = verdict_of

    def read_latest(self, seen: Sequence[AccessRequest]) -> list[KnownRequest | None]:
        """Return the latest attempts in the order of the records; None where nothing is stored."""
        by_user = self._find_by("p.user_id", {one.person.id.lower() for one in seen if one.person.id})
        latest = [by_user.get(one.person.id.lower()) if one.person.id else None for one in seen]
        left = [index for index, known in enumerate(latest) if known is None]
        if left and (any(seen[index].person.id is None for index in left) or self._has_hidden()):
            self._find_hidden(seen, latest, left)
        return latest

    def read_by_number(self, numbers: Collection[int]) -> dict[int, KnownRequest]:
        """Return the current requests of this repo among these numbers."""
        if not numbers:
            return {}
        among, value = self._db.in_clause(numbers)
        sql = f"{_KNOWN} FROM people p JOIN requests r ON r.person_id = p.id"
        rows = self._db.rows(f"{sql} WHERE r.id {among} AND r.repo_id = ? AND r.is_current", (value, self._repo_id))
        return {row[0]: self._value(row) for row in rows}

    def _has_hidden(self) -> bool:
        return self._db.row("SELECT 1 FROM people WHERE user_id IS NULL LIMIT 1") is not None

    def _find_hidden(
        self, seen: Sequence[AccessRequest], latest: list[KnownRequest | None], left: Sequence[int]
    ) -> None:
        bare = {ident.lower() for index in left if (ident := seen[index].request_id) and not seen[index].person.id}
        requests = {ident.lower() for index in left if (ident := seen[index].request_id)} - bare
        names = {fold_for_search(name) for index in left if (name := seen[index].person.username)}
        by_request = self._find_by("r.hub_request", requests, " AND p.user_id IS NULL" + _NOT_ERASED) | self._find_by(
            "r.hub_request", bare, _NOT_ERASED
        )
        by_name = self._find_by("p.user_key", names, " AND p.user_id IS NULL")
        for index in left:
            one = seen[index]
            known = by_request.get(one.request_id.lower()) if one.request_id else None
            if known is None and one.person.username:
                known = by_name.get(fold_for_search(one.person.username))
            latest[index] = known

    def _find_by(self, column: str, values: Collection[str], more: str = "") -> dict[str, KnownRequest]:
        if not values:
            return {}
        among, value = self._db.in_clause(values)
        sql = (
            f"{_KNOWN}, {column} FROM people p JOIN requests r ON r.person_id = p.id"
            f" WHERE {column} {among} AND +r.repo_id = ? AND r.is_current{more}"
        )
        return {row[-1]: self._value(row) for row in self._db.rows(sql, (value, self._repo_id))}

    def iterate_missing(self, seen: Collection[int]) -> Iterator[KnownRequest]:
        """Iterate over the current requests that are not in `seen`, except withdrawn ones."""
        gone = seen if isinstance(seen, set | frozenset) else frozenset(seen)
        sql = f"{_KNOWN} FROM requests r JOIN people p ON p.id = r.person_id WHERE r.id"
        for page in self._iterate_ids():
            missing = [ident for ident in page if ident not in gone]
            if missing:
                among, value = self._db.in_clause(missing)
                yield from map(self._value, self._db.rows(f"{sql} {among} ORDER BY r.id", (value,)))

    def _iterate_ids(self) -> Iterator[list[int]]:
        sql = (
            "SELECT asked_at, id FROM requests WHERE repo_id = ? AND status = ? AND is_current"
            f" AND (asked_at, id) > (?, ?) ORDER BY asked_at, id LIMIT {PAGE}"
        )
        counted = "SELECT name FROM counters WHERE repo_id = ? AND kind = 'status' AND n > 0 AND name <> ?"
        for (status,) in self._db.rows(counted, (self._repo_id, WITHDRAWN)):
            after: Row = (-(1 << 62), 0)
            while page := self._db.rows(sql, (self._repo_id, status, *after)):
                yield [ident for _, ident in page]
                after = page[-1]

    def _value(self, row: Row) -> KnownRequest:
        state = state_of(row, _KNOWN_AT, self._verdict_of)
        return KnownRequest(
            row[0], row[1], state.person, state, bytes(row[2]), ContentDigest(bytes(row[3]), bytes(row[4]))
        )


# ---- pages by key ----------------------------------------------------------------------------------------------------


def iterate_pages(
    rows: Callable[[str, Values], list[Row]],
    select: str,
    where: str,
    values: Sequence[object],
    key: tuple[str, str],
    part: ListRange = (None, None),
) -> Iterator[list[Row]]:
    """Iterate over pages of rows, ordered by two columns that identify a row; no database cursor stays open between
    pages.

    The first column is the state's `asked_at` or `ends_at`, the second the request's number. `part` limits the rows to
    those after the first position, up to and including the second.
    """
    order = f"ORDER BY {key[0]}, {key[1]} LIMIT {PAGE}"
    at = _STATE_AT + SELECT_STATE.split(", ").index(key[0])
    for place, sign in zip(part, (">", "<="), strict=True):
        if place is not None:
            where = f"{where} AND ({key[0]}, {key[1]}) {sign} (?, ?)"
            values = (*values, *place)
    page = rows(f"{select} WHERE {where} {order}", values)
    while page:
        yield page
        if len(page) < PAGE:
            return
        after = (page[-1][at], page[-1][0])
        page = rows(f"{select} WHERE {where} AND ({key[0]}, {key[1]}) > (?, ?) {order}", (*values, *after))


def find_split_points(db: Database, repo_id: int, status: str, size: int) -> list[ListPosition]:
    """Return the positions that split the current requests of one status into parts of about `size`.

    Each position ends a part.
    """
    found = db.rows(
        "SELECT asked_at, id FROM (SELECT asked_at, id, row_number() OVER (ORDER BY asked_at, id) AS n FROM requests"
        " WHERE repo_id = ? AND status = ? AND is_current) AS numbered WHERE n % ? = 0 ORDER BY asked_at, id",
        (repo_id, status, size),
    )
    return [(int(asked), int(ident)) for asked, ident in found]


def read_past_decisions(
    db: Database, repo_id: int, people: Iterable[int], within: Collection[int] | None = None
) -> tuple[list[Row], list[Row]]:
    """Return past decisions about people in this repo, and in how many other repos (of `within`, if given) each has
    access now.
    """
    among, value = db.in_clause(list(people))
    here = (
        "SELECT person_id, accepted, rejected, resets, last, last_at FROM history"
        f" WHERE person_id {among} AND repo_id = ?"
    )
    plus = "+" if db.is_sqlite else ""  # `+` keeps SQLite from scanning all accepted requests to find a few people
    elsewhere = (
        f"SELECT person_id, count(*) FROM requests r WHERE person_id {among} AND repo_id <> ? AND is_current"
        f" AND {plus}status = ? GROUP BY person_id"
    )
    values: list[object] = [value, repo_id, Status.ACCEPTED]
    if within is not None:
        only, repos = db.in_clause(list(within))
        elsewhere = elsewhere.replace(" GROUP BY", f" AND repo_id {only} GROUP BY")
        values = [*values, repos]
    return db.rows(here, (value, repo_id)), db.rows(elsewhere, values)
