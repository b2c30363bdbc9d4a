"""Reads which ends of grants must be reviewed or have come, and stores the results of reviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..domain.evaluations import ReviewResult
from ..domain.ids import Repo
from .requests import IS_ENDABLE
from .sql import Database
from .state_columns import repo_of
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


def count_ended(db: Database, until: int, *, with_undecided: bool) -> dict[tuple[Repo, bool], int]:
    """Count the grants that end at or before a time (ms), by repo and by whether a person must decide.

    Without a record nothing can be sent, so such a grant does not count. `with_undecided` includes those that wait for a
    condition that is unknown.
    """
    is_human = "COALESCE(r.at_end, '') = 'human'"
    sql = (
        f"SELECT o.type, o.namespace, o.name, {is_human}, count(*) FROM requests r JOIN repos o ON o.id = r.repo_id"
        f" WHERE r.ends_at <= ? AND r.is_current AND r.record_id IS NOT NULL AND ({is_human} OR {IS_ENDABLE})"
        f"{'' if with_undecided else ' AND NOT r.is_undecided'} GROUP BY o.type, o.namespace, o.name, {is_human}"
    )
    return {
        (repo_of(kind, namespace, name), bool(person)): count
        for kind, namespace, name, person, count in db.rows(sql, (until,))
    }


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
