"""Stores selections of requests, each with its version when it was selected; a browser never holds the list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Final

from hf_gate.base.timestamps import DAY_MS
from hf_gate.core.parsing.query import Query
from hf_gate.core.request_version import VERSION_COLUMNS
from hf_gate.core.stored_rows import (
    GONE,
    IN_RUN,
    MOVED,
    OWN,
    PROTECTED,
    QUEUED,
    STATUS_REASON,
    SelectionBucket,
    SelectionScope,
)
from hf_gate.store.rows.query_sql import build_conditions
from hf_gate.store.rows.search import Key, PageRequest, find_page_keys
from hf_gate.store.rows.tray import UNSENT
from hf_gate.store.sql import Database, Reader
from hf_gate.store.store import Store
from hf_gate.store.writing.state_columns import decode_hand_terms, repo_of
from hf_gate.store.writing.writer import Writer

_PAGE = 10_000
_SEEN = ", ".join(VERSION_COLUMNS)
_AGAIN = ", ".join(f"{name} = excluded.{name}" for name in VERSION_COLUMNS)
_IS_SAME: Final = " AND ".join(f"r.{name} = k.{name}" for name in VERSION_COLUMNS)
"""SQL condition that a request is unchanged since it was selected: `RequestVersion.difference` in SQL."""
_LEFT_OUT: Final = "-out"  # ends the name of the requests that a person left out of a copy
_FROM: Final = (
    "picked k LEFT JOIN requests r ON r.id = k.request_id LEFT JOIN people p ON p.id = r.person_id WHERE k.pick = ?"
)


def select_requests(store: Store, pick: str, member: str, requests: Iterable[int], at: int) -> None:
    """Add requests by number to a selection, each with its current version; those already selected get it too."""
    with store.writing(is_short=True) as write:
        _create_selection(write, pick, member, at)
        _add_requests(write, pick, list(requests))


def select_matching_requests(store: Store, pick: str, member: str, query: Query, at: int, zone: tzinfo) -> None:
    """Add all requests that match a query now to a selection, in one transaction. Later requests are not included."""
    with store.writing(is_short=True) as write:
        _create_selection(write, pick, member, at)
        conditions = build_conditions(query, write.db, now=at, zone=zone)
        after: Key | None = None
        while True:
            keys = find_page_keys(write.db, conditions, PageRequest(_PAGE, after=after))
            _add_requests(write, pick, [ident for _, ident in keys])
            if len(keys) < _PAGE:
                return
            after = keys[-1]


def deselect_requests(store: Store, pick: str, requests: Sequence[int]) -> None:
    """Remove requests from a selection."""
    with store.writing(is_short=True) as write:
        among, value = write.db.in_clause(requests)
        write.db.run(f"DELETE FROM picked WHERE pick = ? AND request_id {among}", (pick, value))


def delete_selection(store: Store, pick: str) -> None:
    """Delete a selection."""
    with store.writing(is_short=True) as write:
        write.db.run("DELETE FROM picked WHERE pick = ?", (pick,))
        write.db.run("DELETE FROM picks WHERE id = ?", (pick,))


def subtract_selection(store: Store, pick: str, decided: str) -> None:
    """Remove the requests of another selection from a selection; requests selected meanwhile stay."""
    with store.writing(is_short=True) as write:
        write.db.run(
            "DELETE FROM picked WHERE pick = ? AND request_id IN (SELECT request_id FROM picked WHERE pick = ?)",
            (pick, decided),
        )


def freeze_selection(store: Store, pick: str, into: str, member: str, at: int) -> int:
    """Copy a selection to one that gets no more requests; return its size. Copies older than a day are deleted."""
    with store.writing(is_short=True) as write:
        old = "SELECT id FROM picks WHERE id LIKE 'b!_%' ESCAPE '!' AND made_at < ?"
        write.db.run(f"DELETE FROM picked WHERE pick IN ({old})", (at - DAY_MS,))
        write.db.run("DELETE FROM picks WHERE id LIKE 'b!_%' ESCAPE '!' AND made_at < ?", (at - DAY_MS,))
        write.db.run("INSERT INTO picks (id, member, made_at) VALUES (?, ?, ?)", (into, member, at))
        copy = (
            f"INSERT INTO picked (pick, request_id, {_SEEN}) SELECT ?, request_id, {_SEEN} FROM picked WHERE pick = ?"
        )
        return write.db.run(copy, (into, pick))


def count_selected(reader: Reader, pick: str, besides: int = 0) -> int:
    """Return how many requests are in a selection, except the one with number `besides`."""
    sql = "SELECT count(*) FROM picked WHERE pick = ? AND request_id <> ?"
    return reader.reads.count(sql, (pick, besides))


def find_selection_owner(reader: Reader, pick: str) -> str | None:
    """Return the member who made the selection; None if it does not exist."""
    row = reader.reads.row("SELECT member FROM picks WHERE id = ?", (pick,))
    return None if row is None else str(row[0])


def filter_selected(reader: Reader, pick: str, requests: Iterable[int]) -> frozenset[int]:
    """Return those requests that are in the selection."""
    among, value = reader.reads.in_clause(list(requests))
    rows = reader.reads.rows(f"SELECT request_id FROM picked WHERE pick = ? AND request_id {among}", (pick, value))
    return frozenset(row[0] for row in rows)


# ---- requests left out of a copy -------------------------------------------------------------------------------------


def leave_out_requests(store: Store, pick: str, requests: Sequence[int]) -> None:
    """Leave requests out of a copy; they can be put back."""
    with store.writing(is_short=True) as write:
        among, value = write.db.in_clause(requests)
        _leave_out(write, pick, among, [value])


def leave_out_by_quality(store: Store, scope: SelectionScope, qualities: Collection[str]) -> None:
    """Leave out of a copy all requests that can be decided and whose purpose has one of these qualities."""
    with store.writing(is_short=True) as write:
        ready, values = _ready_with_quality(write.db, scope, qualities)
        _leave_out(write, scope.selection, f"IN (SELECT k.request_id FROM {ready})", values)


def put_back_left_out(store: Store, pick: str) -> None:
    """Put all requests back that were left out of a copy, with their versions."""
    with store.writing(is_short=True) as write:
        write.db.run("UPDATE picked SET pick = ? WHERE pick = ?", (pick, pick + _LEFT_OUT))


def count_left_out(reader: Reader, pick: str) -> int:
    """Return how many requests were left out of a copy."""
    return count_selected(reader, pick + _LEFT_OUT)


def remove_left_out(store: Store, pick: str, copy: str) -> None:
    """Remove the requests from a selection that were left out of its copy."""
    subtract_selection(store, pick, copy + _LEFT_OUT)


def count_selected_by_quality(reader: Reader, scope: SelectionScope, qualities: Collection[str]) -> int:
    """Return how many selected requests that can be decided have a purpose of one of these qualities."""
    ready, values = _ready_with_quality(reader.reads, scope, qualities)
    return reader.reads.count(f"SELECT count(*) FROM {ready}", values)


# ---- effects of a decision -------------------------------------------------------------------------------------------


def count_selection_buckets(reader: Reader, scope: SelectionScope) -> list[SelectionBucket]:
    """Count a selection by the reason that excludes a request, repo, status, verdict and history, in one scan."""
    why, values = _exclusion_reason(reader.reads, scope)
    past = (
        "EXISTS (SELECT 1 FROM history h WHERE h.person_id = r.person_id AND h.repo_id = r.repo_id AND h.accepted > 0)"
    )
    rows = reader.reads.rows(
        "SELECT w.why, o.type, o.namespace, o.name, w.status, v.action, v.rule, w.again, w.past, w.n, "
        "v.hand_terms FROM"
        " (SELECT why, repo_id, status, verdict_id, again, past, count(*) AS n FROM"
        f" (SELECT {why} AS why, r.repo_id, r.status, r.verdict_id, r.attempt > 1 AS again, {past} AS past"
        f" FROM {_FROM}) AS e"
        " GROUP BY 1, 2, 3, 4, 5, 6) AS w"
        " LEFT JOIN repos o ON o.id = w.repo_id LEFT JOIN verdicts v ON v.id = w.verdict_id",
        (*values, scope.selection),
    )
    return [
        SelectionBucket(
            row[0],
            str(repo_of(*row[1:4])) if row[1] else "",
            row[4] or "",
            row[5],
            row[6],
            bool(row[7]),
            bool(row[8]),
            int(row[9]),
            decode_hand_terms(row[10]),
        )
        for row in rows
    ]


def iterate_ready_requests(reader: Reader, scope: SelectionScope, size: int = 1000) -> Iterator[list[int]]:
    """Iterate over the numbers of the selected requests that can be decided, `size` at a time, in order."""
    why, values = _exclusion_reason(reader.reads, scope)
    after = 0
    while True:
        rows = reader.reads.rows(
            f"SELECT k.request_id FROM {_FROM} AND k.request_id > ? AND {why} = '' ORDER BY k.request_id LIMIT ?",
            (scope.selection, after, *values, size),
        )
        if rows:
            yield [row[0] for row in rows]
        if len(rows) < size:
            return
        after = rows[-1][0]


def list_ready_by_age(reader: Reader, scope: SelectionScope, after: Key | None, size: int) -> list[Key]:
    """Return time and number of the selected requests after `after` that can be decided, the longest wait first."""
    why, values = _exclusion_reason(reader.reads, scope)
    is_later, later = ("", ()) if after is None else (" AND (r.asked_at, r.id) > (?, ?)", after)
    rows = reader.reads.rows(
        f"SELECT r.asked_at, r.id FROM {_FROM}{is_later} AND {why} = '' ORDER BY r.asked_at, r.id LIMIT ?",
        (scope.selection, *later, *values, size),
    )
    return [(int(row[0]), int(row[1])) for row in rows]


def _create_selection(write: Writer, pick: str, member: str, at: int) -> None:
    sql = "INSERT INTO picks (id, member, made_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
    write.db.run(sql, (pick, member, at))


def _leave_out(write: Writer, pick: str, among: str, values: Sequence[object]) -> None:
    """Move requests to the selection of those that are left out of a copy, which is as old as the copy."""
    sql = (
        "INSERT INTO picks (id, member, made_at) SELECT ?, member, made_at FROM picks WHERE id = ?"
        " ON CONFLICT (id) DO NOTHING"
    )
    write.db.run(sql, (pick + _LEFT_OUT, pick))
    move = f"UPDATE picked SET pick = ? WHERE pick = ? AND request_id {among}"
    write.db.run(move, (pick + _LEFT_OUT, pick, *values))


def _add_requests(write: Writer, pick: str, requests: Sequence[int]) -> None:
    among, value = write.db.in_clause(requests)
    write.db.run(
        f"INSERT INTO picked (pick, request_id, {_SEEN})"
        f" SELECT ?, r.id, {_SEEN} FROM requests r WHERE r.id {among}"
        f" ON CONFLICT (pick, request_id) DO UPDATE SET {_AGAIN}",
        (pick, value),
    )


def _ready_with_quality(
    db: Database, scope: SelectionScope, qualities: Collection[str]
) -> tuple[str, Sequence[object]]:
    """Return SQL for the requests that can be decided and have one of these qualities, and its values."""
    why, values = _exclusion_reason(db, scope)
    among, value = db.in_clause(list(qualities))
    return f"{_FROM} AND r.quality {among} AND {why} = ''", (scope.selection, value, *values)


def _exclusion_reason(db: Database, scope: SelectionScope) -> tuple[str, Sequence[object]]:
    """Return SQL for the first reason that excludes a request from a decision, and its values."""
    able, able_value = db.in_clause(scope.statuses)
    repos, repos_value = db.in_clause(scope.repos)
    own, own_value = db.in_clause(list(scope.own_keys))
    if scope.own_account is None:
        is_own = f"lower(p.username) {own} OR p.user_id {own}"
        own_values = (own_value, own_value)
    else:
        is_own = f"p.user_id = ? OR p.user_id IS NULL AND lower(p.username) {own}"
        own_values = (scope.own_account, own_value)
    kept, kept_value = db.in_clause([name.lower() for name in scope.protected])
    is_kept = f" WHEN lower(p.username) {kept} OR p.user_id {kept} THEN '{PROTECTED}'" if scope.protected else ""
    sql = (
        f"CASE WHEN r.id IS NULL OR r.record_id IS NULL OR NOT (r.repo_id {repos}) THEN '{GONE}'"
        f" WHEN NOT (r.status {able}) THEN '{STATUS_REASON}' || r.status"
        f" WHEN NOT (r.is_current AND {_IS_SAME}) THEN '{MOVED}'"
        f" WHEN {is_own} THEN '{OWN}'{is_kept}"
        f" WHEN r.id IN (SELECT c.request_id FROM changes c JOIN runs r ON r.id = c.run WHERE {UNSENT}) THEN '{QUEUED}'"
        f" WHEN r.open_run IS NOT NULL THEN '{IN_RUN}' ELSE '' END"
    )
    more = (kept_value, kept_value) if scope.protected else ()
    return sql, (repos_value, able_value, *own_values, *more)
