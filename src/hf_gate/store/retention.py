"""Finds requests whose personal data has been kept long enough, and deletes it in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..domain.runs import FINISHED
from .erasure import Eraser
from .erasure_file import scrub
from .sql import Database
from .store import Store

_EXPIRED: Final = (
    "r.status = ? AND r.record_id IS NOT NULL AND r.open_run IS NULL"
    " AND CASE WHEN r.last_moved_at > 0 THEN r.last_moved_at ELSE coalesce(r.reviewed_at, r.first_seen_at) END <= ?"
    " AND NOT EXISTS (SELECT 1 FROM tray t WHERE t.request_id = r.id AND t.outcome IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM changes c JOIN runs u ON u.id = c.run WHERE c.request_id = r.id AND NOT (u.state {}))"
)


def count_expired(store: Store, status: str, before: int) -> int:
    """Return how many requests have had this status since before a time (ms) and still have personal data."""
    where, values = _condition(store.reads, status, before)
    found = store.reads.row(f"SELECT count(*) FROM requests r WHERE {where}", values)
    return int(found[0]) if found else 0


def delete_expired(store: Store, status: str, before: int, *, limit: int, at: int, actor: str) -> int:
    """Delete the personal data of at most `limit` such requests in one transaction; return how many."""
    with store.writing() as write:
        where, values = _condition(write.db, status, before)
        rows = write.db.rows(f"SELECT r.id FROM requests r WHERE {where} ORDER BY r.id LIMIT ?", (*values, limit))
        if rows:
            Eraser(write, at, actor).delete_old([row[0] for row in rows])
    return len(rows)


def remove_traces(store: Store) -> bool:
    """Remove deleted data from the files of the database; return False if another process prevents it now."""
    return scrub(store)


def _condition(db: Database, status: str, before: int) -> tuple[str, Sequence[object]]:
    among, over = db.in_clause(list(FINISHED))
    return _EXPIRED.format(among), (status, before, over)
