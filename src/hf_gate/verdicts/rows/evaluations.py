"""Reads which requests must be evaluated again, and stores on which basis the lists of a repo were evaluated."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from hf_gate.base.ids import Repo
from hf_gate.core.events.evaluations import EvaluationCount, EvaluationOutcome
from hf_gate.core.lifecycle import Status
from hf_gate.core.request_version import VERSION_COLUMNS
from hf_gate.core.stored_rows import RequestRow
from hf_gate.store.sql import Reader
from hf_gate.store.store import Store
from hf_gate.store.writing.projection import LOOKUP_COLUMNS, MARK_DUE
from hf_gate.store.writing.writer import Writer

_PAGE = 1000
APPROVED: Final = "SELECT a.request_id FROM approvals a JOIN requests r ON r.id = a.request_id AND " + " AND ".join(
    f"a.{name} = r.{name}" for name in VERSION_COLUMNS
)
"""The requests with an approval of their current version."""


class EvaluatedList(NamedTuple):
    """The stored basis of the evaluations of a repo and status.

    `basis` is None while a process evaluates all of them.
    """

    basis: str | None
    pass_id: str
    at: int


def read_list(reader: Reader, repo_id: int, status: str) -> EvaluatedList | None:
    """Return the basis of a list; None if it was never evaluated."""
    sql = "SELECT basis, pass_id, at FROM evaluated_lists WHERE repo_id = ? AND status = ?"
    found = reader.reads.row(sql, (repo_id, status))
    return None if found is None else EvaluatedList(*found)


def write_list(write: Writer, repo_id: int, status: str, current: EvaluatedList) -> None:
    """Store the basis of a list."""
    write.db.run(
        "INSERT INTO evaluated_lists (repo_id, status, basis, pass_id, at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (repo_id, status) DO UPDATE"
        " SET basis = excluded.basis, pass_id = excluded.pass_id, at = excluded.at",
        (repo_id, status, *current),
    )


class EvaluatedTable(NamedTuple):
    """A table of the owner as it was evaluated last. `keys` maps a keyed hash of each key to a digest of its rows."""

    digest: str
    shape: str
    epoch: str
    keys: Mapping[int, int]


def read_table_digests(reader: Reader) -> dict[str, tuple[str, str]]:
    """Return the digest and the epoch of every table that was evaluated."""
    return {
        name: (digest, epoch)
        for name, digest, epoch in reader.reads.rows("SELECT name, digest, epoch FROM evaluated_tables")
    }


def read_table(reader: Reader, name: str) -> EvaluatedTable | None:
    """Return a table as it was evaluated last."""
    found = reader.reads.row("SELECT digest, shape, epoch, keys FROM evaluated_tables WHERE name = ?", (name,))
    if found is None:
        return None
    numbers = array("q", bytes(found[3]))
    return EvaluatedTable(found[0], found[1], found[2], dict(zip(numbers[::2], numbers[1::2], strict=True)))


def write_table(write: Writer, name: str, current: EvaluatedTable, changed: Collection[int]) -> None:
    """Store a table as it is evaluated now, and have the requests evaluated that looked up a changed key."""
    keys = array("q", (number for pair in current.keys.items() for number in pair)).tobytes()
    write.db.run(
        "INSERT INTO evaluated_tables (name, digest, shape, epoch, keys) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, shape = excluded.shape, epoch = excluded.epoch,"
        " keys = excluded.keys",
        (name, current.digest, current.shape, current.epoch, keys),
    )
    if changed:
        among, value = write.db.in_clause(list(changed))
        for column in LOOKUP_COLUMNS:
            write.db.run(f"{MARK_DUE} WHERE {column} {among} AND {column} IS NOT NULL", (value,))


def find_due_evaluations(reader: Reader, repo_id: int, status: str, now: int) -> list[int]:
    """Return the requests of a list that must be evaluated at `now` (ms), the oldest first."""
    sql = (
        "SELECT id FROM requests WHERE repo_id = ? AND status = ? AND is_current AND evaluate_at <= ?"
        " ORDER BY asked_at, id"
    )
    return [ident for (ident,) in reader.reads.rows(sql, (repo_id, status, now))]


def count_due(reader: Reader, repo_id: int, status: str, now: int, *, most: int) -> int:
    """Return how many requests of a list must be evaluated at `now` (ms), counted up to `most`."""
    sql = "SELECT 1 FROM requests WHERE repo_id = ? AND status = ? AND is_current AND evaluate_at <= ? LIMIT ?"
    return reader.reads.count(f"SELECT count(*) FROM ({sql}) AS due", (repo_id, status, now, most))


def read_counts(store: Store, repo_id: int, status: str) -> list[EvaluationCount]:
    """Return how many requests of a list have each outcome and verdict."""
    look = store.verdict_lookup()
    sql = "SELECT outcome, verdict_id, n FROM evaluation_counts WHERE repo_id = ? AND status = ? AND n > 0"
    counts = []
    for outcome, ident, n in store.reads.rows(f"{sql} ORDER BY outcome, verdict_id", (repo_id, status)):
        verdict, shadow, hand_terms = look(ident)
        assert verdict is not None
        counts.append(EvaluationCount(outcome, *verdict, shadow, hand_terms, ident, n))
    return counts


def iterate_planned(
    store: Store, repo_id: int, status: str, outcome: str, verdict_id: int
) -> Iterator[Sequence[RequestRow]]:
    """Yield the requests with this outcome (`CHANGE` or `PROFILE`) and verdict with their records, the oldest first."""
    sql = (
        "SELECT asked_at, id FROM requests WHERE repo_id = ? AND status = ? AND outcome = ? AND verdict_id = ?"
        " AND is_current AND outcome IN ('change', 'profile') AND (asked_at, id) > (?, ?)"
        f" ORDER BY asked_at, id LIMIT {_PAGE}"
    )
    after: tuple[int, int] = (-(1 << 62), 0)
    while page := store.reads.rows(sql, (repo_id, status, outcome, verdict_id, *after)):
        yield list(store.requests([ident for _, ident in page]).values())
        if len(page) < _PAGE:
            return
        after = (page[-1][0], page[-1][1])


def find_removals(reader: Reader, repo_ids: Sequence[int], idents: Sequence[int]) -> set[int]:
    """Return which of these requests, at these repos, have access that a verdict removes."""
    among, value = reader.reads.in_clause(idents)
    here, repos = reader.reads.in_clause(repo_ids)
    sql = f"SELECT id FROM requests WHERE id {among} AND repo_id {here} AND status = ? AND is_current AND outcome = ?"
    return {ident for (ident,) in reader.reads.rows(sql, (value, repos, Status.ACCEPTED, EvaluationOutcome.CHANGE))}


def find_fully_approved(store: Store, repo: Repo, most: int) -> list[int]:
    """Return the requests of a repo whose current version has at least two approvals, whether they count or not."""
    sql = f"{APPROVED} WHERE r.repo_id = ? AND r.is_current GROUP BY a.request_id HAVING count(*) > 1"
    rows = store.reads.rows(f"{sql} ORDER BY a.request_id LIMIT ?", (store.repo_id(repo), most))
    return [row[0] for row in rows]
