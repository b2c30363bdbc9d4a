"""Finds pending requests that wait for too long: old ones, overdue ones, and ones that a rule decides."""

from __future__ import annotations

from typing import Final

from ..domain.ids import Repo
from ..domain.lifecycle import Status
from .query_sql import IS_OVERDUE
from .store import Store

_OF_REPO: Final = (
    "JOIN repos o ON o.id = r.repo_id WHERE o.type = ? AND o.namespace = ? AND o.name = ? AND r.is_current"
)
_DECIDED: Final = "v.policy IS NOT NULL AND (v.action IN ('accept', 'reset', 'reject') OR old.outcome = 'profile')"


def count_older(store: Store, repo: Repo, before: int, most: int) -> int:
    """Return how many pending requests of a repo were asked before a time (ms); at most `most`."""
    where = f"{_OF_REPO} AND r.status = ? AND r.asked_at < ?"
    sql = f"SELECT count(*) FROM (SELECT 1 FROM requests r {where} LIMIT ?) AS old"
    row = store.reads.row(sql, (*_values_of(repo), Status.PENDING.value, before, most))
    return 0 if row is None else int(row[0])


def find_older(store: Store, repo: Repo, before: int, most: int) -> list[int]:
    """Return at most `most` pending requests of a repo that were asked before a time (ms), the oldest first."""
    where = f"{_OF_REPO} AND r.status = ? AND r.asked_at < ?"
    sql = f"SELECT r.id FROM requests r {where} ORDER BY r.asked_at, r.id LIMIT ?"
    return [row[0] for row in store.reads.rows(sql, (*_values_of(repo), Status.PENDING.value, before, most))]


def find_overdue(store: Store, repo: Repo, now: int, most: int) -> list[int]:
    """Return at most `most` requests of a repo that a person should have decided by now, the first ones due."""
    sql = f"SELECT r.id FROM requests r {_OF_REPO} AND {IS_OVERDUE} ORDER BY r.due_at, r.id LIMIT ?"
    return [row[0] for row in store.reads.rows(sql, (*_values_of(repo), now, most))]


def find_undecided(store: Store, repo: Repo, before: int, most: int, most_searched: int) -> list[int]:
    """Return at most `most` requests that a rule decides, or would decide with a profile that was not read, the oldest first.

    They are searched for among the `most_searched` oldest before a time (ms).
    """
    oldest = (
        f"SELECT r.id, r.verdict_id, r.asked_at, r.outcome FROM requests r {_OF_REPO} AND r.status = ? AND r.asked_at < ?"
        " ORDER BY r.asked_at, r.id LIMIT ?"
    )
    sql = (
        f"SELECT old.id FROM ({oldest}) AS old JOIN verdicts v ON v.id = old.verdict_id WHERE {_DECIDED}"
        " ORDER BY old.asked_at, old.id LIMIT ?"
    )
    values = (*_values_of(repo), Status.PENDING.value, before, most_searched, most)
    return [row[0] for row in store.reads.rows(sql, values)]


def _values_of(repo: Repo) -> tuple[str, str, str]:
    return repo.type.value, repo.namespace, repo.name
