"""Reads which requests must be evaluated again, and stores on which basis the lists of a repo were evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..domain.evaluations import EvaluationCount, EvaluationOutcome
from ..domain.lifecycle import Status
from ..domain.rows import RequestRow
from .sql import Database
from .store import Store
from .writer import Writer

_PAGE = 1000


class EvaluatedList(NamedTuple):
    """The stored basis of the evaluations of a repo and status. `basis` is None while a process evaluates all of them."""

    basis: str | None
    pass_id: str
    at: int


def read_list(db: Database, repo_id: int, status: str) -> EvaluatedList | None:
    """Return the basis of a list; None if it was never evaluated."""
    sql = "SELECT basis, pass_id, at FROM evaluated_lists WHERE repo_id = ? AND status = ?"
    found = db.row(sql, (repo_id, status))
    return None if found is None else EvaluatedList(*found)


def write_list(write: Writer, repo_id: int, status: str, now: EvaluatedList) -> None:
    """Store the basis of a list."""
    write.db.run(
        "INSERT INTO evaluated_lists (repo_id, status, basis, pass_id, at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (repo_id, status) DO UPDATE SET basis = excluded.basis, pass_id = excluded.pass_id, at = excluded.at",
        (repo_id, status, *now),
    )


def find_due(db: Database, repo_id: int, status: str, now: int) -> list[int]:
    """Return the requests of a list that must be evaluated at `now` (ms), the oldest first."""
    sql = (
        "SELECT id FROM requests WHERE repo_id = ? AND status = ? AND is_current AND evaluate_at <= ?"
        " ORDER BY asked_at, id"
    )
    return [ident for (ident,) in db.rows(sql, (repo_id, status, now))]


def read_counts(store: Store, repo_id: int, status: str) -> list[EvaluationCount]:
    """Return how many requests of a list have each outcome and verdict."""
    look = store.verdict_lookup()
    sql = "SELECT outcome, verdict_id, n FROM evaluation_counts WHERE repo_id = ? AND status = ? AND n > 0"
    found = []
    for outcome, ident, n in store.reads.rows(f"{sql} ORDER BY outcome, verdict_id", (repo_id, status)):
        verdict, shadow, _ = look(ident)
        assert verdict is not None
        found.append(EvaluationCount(outcome, *verdict, shadow, ident, n))
    return found


def iterate_planned(
    store: Store, repo_id: int, status: str, outcome: str, verdict_id: int, *, size: int = _PAGE
) -> Iterator[Sequence[RequestRow]]:
    """Yield the requests with this outcome (`CHANGE` or `PROFILE`) and verdict with their records, the oldest first."""
    sql = (
        "SELECT asked_at, id FROM requests WHERE repo_id = ? AND status = ? AND outcome = ? AND verdict_id = ?"
        " AND is_current AND outcome IN ('change', 'profile') AND (asked_at, id) > (?, ?)"
        f" ORDER BY asked_at, id LIMIT {size}"
    )
    after: tuple[int, int] = (-(1 << 62), 0)
    while page := store.reads.rows(sql, (repo_id, status, outcome, verdict_id, *after)):
        yield list(store.requests([ident for _, ident in page]).values())
        if len(page) < size:
            return
        after = (page[-1][0], page[-1][1])


def find_removals(db: Database, repo_ids: Sequence[int], idents: Sequence[int]) -> set[int]:
    """Return which of these requests, at these repos, have access that a verdict removes."""
    among, value = db.in_clause(idents)
    here, repos = db.in_clause(repo_ids)
    sql = f"SELECT id FROM requests WHERE id {among} AND repo_id {here} AND status = ? AND is_current AND outcome = ?"
    return {ident for (ident,) in db.rows(sql, (value, repos, Status.ACCEPTED, EvaluationOutcome.CHANGE))}
