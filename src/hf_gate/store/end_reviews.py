"""Reads which ends of grants must be reviewed, and stores the results of reviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..domain.evaluations import ReviewResult
from .sql import Database
from .writer import Writer

END_LIST: Final = "ends"
"""In place of a status, in `evaluated_lists`: the basis of the reviews of a repo."""


def find_due_reviews(db: Database, repo_id: int, now: int) -> list[int]:
    """Return the grants with terms whose ends must be reviewed at `now` (ms), ordered by number."""
    sql = (
        "SELECT id FROM requests WHERE repo_id = ? AND terms IS NOT NULL AND is_current AND review_at <= ? ORDER BY id"
    )
    return [ident for (ident,) in db.rows(sql, (repo_id, now))]


def find_undecided(db: Database, repo_id: int) -> set[int]:
    """Return the grants that would end by a condition that was unknown at their last review."""
    sql = "SELECT id FROM requests WHERE repo_id = ? AND is_undecided AND terms IS NOT NULL AND is_current"
    return {ident for (ident,) in db.rows(sql, (repo_id,))}


def write_reviews(write: Writer, results: Sequence[ReviewResult]) -> None:
    """Store results of reviews. A grant that changed since it was read is due again instead."""
    write.db.run_many(
        "UPDATE requests SET review_at = 0 WHERE id = ? AND evaluation_version <> ?",
        [(one.request, one.version) for one in results],
    )
    write.db.run_many(
        "UPDATE requests SET review_at = ?, is_undecided = ?, lookup_user = ?, lookup_email = ?, lookup_name = ?,"
        " evaluation_version = evaluation_version + 1 WHERE id = ? AND evaluation_version = ?",
        [(one.review_at, one.is_undecided, *one.lookups, one.request, one.version) for one in results],
    )
