"""Finds pages of a query: from the few candidates of an index, or by reading in the order of requests until a page is
full.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from hf_gate.core.events.request_fields import TEXT_COLUMNS
from hf_gate.core.parsing.query import Query
from hf_gate.errors import QueryTooLarge, UsageError
from hf_gate.store.sql import Database, Row

from .query_sql import MAX_CANDIDATES, TEXT, Candidate, Conditions, build_trigrams, find_by_trigrams

_MAX_STREAMS: Final = 24
"""The most sorted lists that are merged. If there are more, all requests are read in the order of their times."""

_FREQUENT: Final = {"quality": "good", "mail": "free"}
"""Values that a column's index leaves out, because they are so frequent that reading in order soon fills a page."""

_READ_AT_ONCE: Final = 250  # candidates of the index whose texts are read together; most of them match

_MAX_FREQUENT: Final = 1_000  # combinations of trigrams; they stay frequent, because texts are rarely deleted

_FREE_PARTS: Final = 24  # up to this many pattern parts, the number of rows is not limited
MAX_WORK: Final = 3_000_000  # limit for queries with more parts, in comparisons of a part with a row (about 1 us each)

_Stream = tuple[str, list[object]]

Key = tuple[int, int]
"""The asked_at and id of a request: the position where a page ends."""


class PageRequest(Struct, frozen=True):
    """A page of a query. `after` is the key of the row before the page."""

    limit: int
    newest_first: bool = False
    after: Key | None = None


def find_page_keys(
    db: Database, conditions: Conditions, wanted: PageRequest, *, most: int = MAX_CANDIDATES
) -> list[Key]:
    """Return the keys of one page in order. An index is used if it finds at most `most` candidates."""
    if conditions.is_empty:
        return []
    few = _find_candidates(db, conditions, most)
    if few is not None and not few:
        return []
    if conditions.compared_parts > _FREE_PARTS:
        _check_work(conditions, _count_current(db) if few is None else len(few))
    if few is not None and conditions.has_text and len(few) > _READ_AT_ONCE:
        return _find_among(db, conditions, wanted, few)
    keys: list[Key] = []
    chunk = wanted.limit
    after = wanted.after
    while len(keys) < wanted.limit:
        rows = _rows(db, conditions, PageRequest(chunk, wanted.newest_first, after), few)
        keys += [(row[0], row[1]) for row in rows if _passes_checks(conditions, row)]
        if len(rows) < chunk:
            break
        after = (rows[-1][0], rows[-1][1])
        chunk = min(chunk * 4, 2_000) if conditions.checks else chunk
    return keys[: wanted.limit]


def _find_among(db: Database, conditions: Conditions, wanted: PageRequest, few: Sequence[int]) -> list[Key]:
    """Return the keys of one page among many candidates. Their texts are read in order, until the page is full."""
    among, value = db.in_clause(few)
    direction, sign = _order_of(wanted)
    start = f" AND (r.asked_at, r.id) {sign} (?, ?)" if wanted.after else ""
    sql = (
        f"SELECT r.id FROM requests r WHERE r.is_current AND r.id {among}{start}"
        f" ORDER BY r.asked_at {direction}, r.id {direction}"
    )
    ordered = [row[0] for row in db.rows(sql, (value, *(wanted.after or ())))]
    keys: list[Key] = []
    for at in range(0, len(ordered), _READ_AT_ONCE):
        chunk = ordered[at : at + _READ_AT_ONCE]
        rows = _rows(db, conditions, PageRequest(len(chunk), wanted.newest_first), chunk)
        keys += [(row[0], row[1]) for row in rows if _passes_checks(conditions, row)]
        if len(keys) >= wanted.limit:
            break
    return keys[: wanted.limit]


def filter_keys(db: Database, conditions: Conditions, idents: Sequence[int], *, newest_first: bool) -> list[Key]:
    """Return the keys of those requests that match the query, in order."""
    if not idents or conditions.is_empty:
        return []
    _check_work(conditions, len(idents))
    rows = _rows(db, conditions, PageRequest(len(idents), newest_first), idents)
    return [(row[0], row[1]) for row in rows if _passes_checks(conditions, row)]


def _count_current(db: Database) -> int:
    """Return how many requests a query may have to check."""
    return db.count("SELECT sum(n) FROM counters WHERE kind = 'status'")


def _check_work(conditions: Conditions, rows: int) -> None:
    """Refuse a query with so many patterns that one page would block the desk's threads for a long time."""
    if conditions.compared_parts <= _FREE_PARTS or conditions.compared_parts * rows <= MAX_WORK:
        return
    most = max(_FREE_PARTS, MAX_WORK // rows)
    raise QueryTooLarge(
        (
            f"this query compares each of {rows:,} requests with {conditions.compared_parts} pattern parts; the limit "
            f"is {most}."
        ),
        hint="Use fewer words, patterns and values, or split the query.",
        at=0,
        suggestion="",
    )


def _passes_checks(conditions: Conditions, row: Row) -> bool:
    if not conditions.checks:
        return True
    _, _, text, person_id, *columns = row
    shown = Candidate(text, person_id, dict(zip(TEXT_COLUMNS, columns, strict=True)))
    return all(check(shown) for check in conditions.checks)


# ---- candidates of the index -----------------------------------------------------------------------------------------


def _find_candidates(db: Database, conditions: Conditions, most: int) -> list[int] | None:
    """Return the requests whose texts can match; None if there are many, or the index cannot tell."""
    if conditions.candidates is not None and len(conditions.candidates) <= most:
        return conditions.candidates
    grams = tuple(build_trigrams(conditions.needles))
    if not grams or (grams, most) in db.frequent:
        return None
    rows = find_by_trigrams(db, grams, most + 1)
    if len(rows) <= most:
        return [row[0] for row in rows]
    if len(db.frequent) >= _MAX_FREQUENT:
        db.frequent.clear()
    db.frequent.add((grams, most))
    return None


# ---- rows in order of asking -----------------------------------------------------------------------------------------


def _rows(db: Database, conditions: Conditions, wanted: PageRequest, few: Sequence[int] | None) -> list[Row]:
    """Return the next rows that satisfy the SQL: asked_at, id, and the data for the checks."""
    if few is not None:
        among, value = db.in_clause(few)
        return _select(db, conditions, wanted, [(f"r.id {among}", [value])])
    streams = _choose_streams(db, conditions)
    return _select(db, conditions, wanted, streams)


def _choose_streams(db: Database, conditions: Conditions) -> list[_Stream]:
    """Return the streams that read the fewest rows for a page, as far as the counters tell."""
    usual = _order_streams(conditions)
    if not conditions.classes:
        return usual
    is_by_repo = "r.repo_id" in usual[0][0]
    among, value = db.in_clause(conditions.repos or []) if is_by_repo else ("IS NOT NULL", None)
    rows = db.rows(
        f"SELECT kind, name, sum(n), sum(CASE WHEN repo_id {among} THEN n ELSE 0 END) FROM counters"
        " WHERE kind IN ('status', 'quality', 'mail') AND n > 0 GROUP BY kind, name",
        () if value is None else (value,),
    )
    statuses = [name for kind, name, *_ in rows if kind == "status" and name in (conditions.statuses or [name])]
    fewest = sum(own for kind, name, _, own in rows if kind == "status" and name in statuses)
    if "r.verdict_id" in usual[0][0]:  # the number of requests with a verdict is not counted; it may be small
        fewest //= _MAX_STREAMS
    best = usual
    for column, wanted in conditions.classes.items():
        names = {f"{status} {value}" for status in statuses for value in wanted}
        count = sum(n for kind, name, n, _ in rows if kind == column and name in names)
        if _FREQUENT[column] not in wanted and len(names) <= _MAX_STREAMS and count < fewest:
            fewest = count
            sql = f"r.{column} = ? AND r.{column} <> '{_FREQUENT[column]}' AND r.status = ?"
            best = [(sql, [value, status]) for status in statuses for value in wanted]
    return best


def _order_streams(conditions: Conditions) -> list[_Stream]:
    """Return conditions that each match an index in order; together they cover all possible matches."""
    statuses = conditions.statuses
    repos = conditions.repos
    verdicts = conditions.verdicts
    if verdicts is not None and len(verdicts) <= _MAX_STREAMS and statuses is None and repos is None:
        return [("r.verdict_id = ?", [verdict]) for verdict in verdicts]
    if repos is not None and statuses is not None and len(repos) * len(statuses) <= _MAX_STREAMS:
        return [("r.repo_id = ? AND r.status = ?", [repo, status]) for repo in repos for status in statuses]
    if statuses is not None and len(statuses) <= _MAX_STREAMS:
        return [("r.status = ?", [status]) for status in statuses]
    return [("1 = 1", [])]


def _select(db: Database, conditions: Conditions, wanted: PageRequest, streams: Sequence[_Stream]) -> list[Row]:
    direction, sign = _order_of(wanted)
    needed = ", ".join([TEXT, "r.person_id", *(f"r.{name}" for name in TEXT_COLUMNS)]) if conditions.checks else "NULL"
    join = " JOIN texts t ON t.id = r.id" if conditions.has_text else ""
    rest, values = _build_rest(db, conditions, streams[0][0])
    key = f" AND (r.asked_at, r.id) {sign} (?, ?)" if wanted.after else ""
    pages: list[list[Row]] = []
    for stream, own in streams:
        sql = (
            f"SELECT r.asked_at, r.id, {needed} FROM requests r{join} WHERE r.is_current AND {stream}{rest}{key}"
            f" ORDER BY r.asked_at {direction}, r.id {direction} LIMIT ?"
        )
        pages.append(db.rows(sql, (*own, *values, *(wanted.after or ()), wanted.limit)))
    merged: Iterator[Row] = heapq.merge(*pages, key=lambda row: (row[0], row[1]), reverse=wanted.newest_first)
    return [row for row, _ in zip(merged, range(wanted.limit), strict=False)]


def _order_of(wanted: PageRequest) -> tuple[str, str]:
    """Return the direction of the order, and the sign of keys after another one."""
    return ("DESC", "<") if wanted.newest_first else ("ASC", ">")


def _build_rest(db: Database, conditions: Conditions, said: str) -> tuple[str, list[object]]:
    """Return the conditions that the SQL of the streams (`said`) does not cover.

    `+` keeps SQLite from using another index for them.
    """
    parts = list(conditions.where)
    values = list(conditions.values)
    plus = "+" if db.is_sqlite else ""
    several: tuple[tuple[str, Sequence[object] | None], ...] = (
        ("r.status", conditions.statuses),
        ("r.repo_id", conditions.repos),
        ("r.verdict_id", conditions.verdicts),
        *((f"r.{column}", wanted) for column, wanted in conditions.classes.items()),
    )
    for column, wanted in several:
        if wanted is not None and column not in said:
            among, value = db.in_clause(wanted)
            parts.append(f"{plus}{column} {among}")
            values.append(value)
    return "".join(f" AND {part}" for part in parts), values


# ---- cursors ---------------------------------------------------------------------------------------------------------


def cursor_of(query: Query, key: Key, *, newest_first: bool) -> str:
    """Encode the end of a page as an opaque text, valid only for this query and order."""
    text = f"{key[0]}.{key[1]}.{_query_digest(query, newest_first=newest_first)}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def key_of(query: Query, cursor: str, *, newest_first: bool) -> Key:
    """Decode a cursor; raise `UsageError` if it does not belong to this query and order."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        asked_at, ident, stamp = text.split(".")
        key = (_parse_number(asked_at), _parse_number(ident))
    except ValueError:
        raise UsageError(f"{cursor[:40]!r} is not a cursor.", hint="Use `next` of the previous page.") from None
    if stamp != _query_digest(query, newest_first=newest_first):
        raise UsageError("this cursor belongs to another query or order.", hint="Start again without a cursor.")
    return key


def _parse_number(text: str) -> int:
    """Parse a number within the range of the databases (64 bits, signed)."""
    number = int(text)
    if abs(number) >= 1 << 63:
        raise ValueError(text[:40])
    return number


def _query_digest(query: Query, *, newest_first: bool) -> str:
    return hashlib.blake2b(f"{query}{newest_first}".encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
