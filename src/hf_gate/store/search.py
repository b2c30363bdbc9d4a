"""Pages of a query: from the few that the index names, or along the order of asking until a page is full."""

from __future__ import annotations

import base64
import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..domain.query import Query
from ..errors import QueryTooLarge, UsageError
from .query_sql import MAX_CANDIDATES, TEXT, Candidate, Conditions, build_trigrams, find_by_trigrams
from .sql import Database, Row

_MAX_STREAMS: Final = 24
"""So many lists are merged in order; of more, the whole order of asking is gone through."""

_FREE_PARTS: Final = 24  # parts of patterns that are compared with any number of rows
MAX_WORK: Final = 3_000_000  # comparisons of one part with one row, each about 1 us, beyond that

Key = tuple[int, int]
"""asked_at and id: where a page ends."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: `after` is the key of the row before it."""

    limit: int
    newest_first: bool = False
    after: Key | None = None


def find_keys(db: Database, found: Conditions, wanted: PageRequest, *, most: int = MAX_CANDIDATES) -> list[Key]:
    """The keys of one page, in order. `most`: so many candidates are few."""
    if found.statuses == [] or found.repos == [] or found.verdicts == []:
        return []
    few = _find_candidates(db, found, most)
    if found.compared_parts > _FREE_PARTS:
        _check_work(found, _count_current(db) if few is None else len(few))
    keys: list[Key] = []
    chunk, after = wanted.limit, wanted.after
    while len(keys) < wanted.limit:
        rows = _rows(db, found, PageRequest(chunk, wanted.newest_first, after), few)
        keys += [(row[0], row[1]) for row in rows if _passes_checks(found, row)]
        if len(rows) < chunk:
            break
        after = (rows[-1][0], rows[-1][1])
        chunk = min(chunk * 4, 2_000) if found.checks else chunk
    return keys[: wanted.limit]


def filter_keys(db: Database, found: Conditions, idents: Sequence[int], *, newest_first: bool) -> list[Key]:
    """Which of these requests a query holds for, in order."""
    if not idents or found.statuses == [] or found.repos == [] or found.verdicts == []:
        return []
    _check_work(found, len(idents))
    rows = _rows(db, found, PageRequest(len(idents), newest_first), idents)
    return [(row[0], row[1]) for row in rows if _passes_checks(found, row)]


def _count_current(db: Database) -> int:
    """How many requests a query may have to look at."""
    row = db.row("SELECT coalesce(sum(n), 0) FROM counters WHERE kind = 'status'")
    return int(row[0]) if row else 0


def _check_work(found: Conditions, rows: int) -> None:
    """Refuse a query of so many patterns that a page of it would take all of a desk's threads for long."""
    if found.compared_parts <= _FREE_PARTS or found.compared_parts * rows <= MAX_WORK:
        return
    most = max(_FREE_PARTS, MAX_WORK // rows)
    raise QueryTooLarge(
        f"this query compares each of {rows:,} requests with {found.compared_parts} parts of patterns; at most {most} are compared.",
        hint="Use fewer words, patterns and values, or ask for the rest in a second query.",
        at=0,
        suggestion="",
    )


def _passes_checks(found: Conditions, row: Row) -> bool:
    if not found.checks:
        return True
    shown = Candidate(row[2], row[3])
    return all(check(shown) for check in found.checks)


# ---- the few that the index names --------------------------------------------------------------------------------------


def _find_candidates(db: Database, found: Conditions, most: int) -> list[int] | None:
    """The requests whose texts can hold what must stand in them; None when they are many, or nothing is known."""
    if found.candidates is not None and len(found.candidates) <= most:
        return found.candidates
    grams = build_trigrams(found.needles)
    if not grams:
        return None
    rows = find_by_trigrams(db, grams, most + 1)
    return [row[0] for row in rows] if len(rows) <= most else None


# ---- in the order of asking ----------------------------------------------------------------------------------------------


def _rows(db: Database, found: Conditions, wanted: PageRequest, few: Sequence[int] | None) -> list[Row]:
    """The next rows for which the SQL holds: asked_at, id, and what the checks look at."""
    if few is not None:
        among, value = db.in_clause(few)
        return _select(db, found, wanted, [(f"r.id {among}", [value])], is_free=True)[: wanted.limit]
    streams = _choose_streams(found)
    return _select(db, found, wanted, streams, is_free=False)


def _choose_streams(found: Conditions) -> list[tuple[str, list[object]]]:
    """Conditions under each of which an index has the rows in order; together they are all that can be meant."""
    statuses, repos, verdicts = found.statuses, found.repos, found.verdicts
    if verdicts is not None and len(verdicts) <= _MAX_STREAMS and statuses is None and repos is None:
        return [("r.verdict_id = ?", [one]) for one in verdicts]
    if repos is not None and statuses is not None and len(repos) * len(statuses) <= _MAX_STREAMS:
        return [("r.repo_id = ? AND r.status = ?", [repo, status]) for repo in repos for status in statuses]
    if statuses is not None and len(statuses) <= _MAX_STREAMS:
        return [("r.status = ?", [status]) for status in statuses]
    return [("1 = 1", [])]


def _select(
    db: Database, found: Conditions, wanted: PageRequest, streams: Sequence[tuple[str, list[object]]], *, is_free: bool
) -> list[Row]:
    direction, sign = ("DESC", "<") if wanted.newest_first else ("ASC", ">")
    text = f"{TEXT}, r.reason" if found.checks else "NULL, NULL"
    join = " JOIN texts t ON t.id = r.id" if found.has_text else ""
    rest, values = _build_rest(db, found, streams, is_free=is_free)
    key = f" AND (r.asked_at, r.id) {sign} (?, ?)" if wanted.after else ""
    pages: list[list[Row]] = []
    for stream, own in streams:
        sql = (
            f"SELECT r.asked_at, r.id, {text} FROM requests r{join} WHERE r.is_current AND {stream}{rest}{key}"
            f" ORDER BY r.asked_at {direction}, r.id {direction} LIMIT ?"
        )
        pages.append(db.rows(sql, (*own, *values, *(wanted.after or ()), wanted.limit)))
    merged: Iterator[Row] = heapq.merge(*pages, key=lambda row: (row[0], row[1]), reverse=wanted.newest_first)
    return [row for row, _ in zip(merged, range(wanted.limit), strict=False)]


def _build_rest(
    db: Database, found: Conditions, streams: Sequence[tuple[str, list[object]]], *, is_free: bool
) -> tuple[str, list[object]]:
    """The conditions that the streams do not say. SQLite is kept from taking an index for them: the streams have theirs."""
    parts, values = list(found.where), list(found.values)
    plus = "+" if db.is_sqlite else ""
    said = "" if is_free else streams[0][0]
    several: tuple[tuple[str, Sequence[object] | None], ...] = (
        ("r.status", found.statuses), ("r.repo_id", found.repos), ("r.verdict_id", found.verdicts),
    )  # fmt: skip
    for column, wanted in several:
        if wanted is not None and column not in said:
            among, value = db.in_clause(wanted)
            parts.append(f"{plus}{column} {among}")
            values.append(value)
    return "".join(f" AND {part}" for part in parts), values


# ---- cursors -------------------------------------------------------------------------------------------------------------


def cursor_of(query: Query, key: Key, *, newest_first: bool) -> str:
    """Where a page ended, as an opaque text that goes with this query and order alone."""
    text = f"{key[0]}.{key[1]}.{_query_digest(query, newest_first=newest_first)}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def key_of(query: Query, cursor: str, *, newest_first: bool) -> Key:
    """The way back; raises `UsageError` for a text that is no cursor of this query."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        asked_at, ident, stamp = text.split(".")
        key = (_parse_number(asked_at), _parse_number(ident))
    except ValueError:
        raise UsageError(f"{cursor[:40]!r} is no cursor.", hint="Take `next` of the page before.") from None
    if stamp != _query_digest(query, newest_first=newest_first):
        raise UsageError("this cursor belongs to another query or order.", hint="Begin again without a cursor.")
    return key


def _parse_number(text: str) -> int:
    """A number as databases keep them."""
    number = int(text)
    if abs(number) >= 1 << 63:
        raise ValueError(text[:40])
    return number


def _query_digest(query: Query, *, newest_first: bool) -> str:
    return hashlib.blake2b(f"{query}{newest_first}".encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
