"""Reads the rows of repos, with the number of their requests by status."""

from __future__ import annotations

import json

from hf_gate.base.ids import Repo
from hf_gate.core.stored_rows import RepoRow
from hf_gate.store.sql import Reader, Row
from hf_gate.store.writing.state_columns import repo_of

_COLUMNS = (
    "id, type, namespace, name, gated, form_card, quick_at, full_at, is_complete, problem, counted_at, refused_at,"
    " refused_why, tried_at, tried_complete, tried_counts, hub_ids"
)
_COUNTS = "SELECT repo_id, name, n FROM counters WHERE kind = 'status' AND n > 0"


def read_repos_by_number(reader: Reader) -> dict[int, Repo]:
    """Return the repos by their numbers."""
    rows = reader.reads.rows("SELECT id, type, namespace, name FROM repos WHERE id > 0")
    return {ident: repo_of(kind, space, name) for ident, kind, space, name in rows}


def read_repo(reader: Reader, ident: int) -> RepoRow | None:
    """Return one repo by its number."""
    row = reader.reads.row(f"SELECT {_COLUMNS} FROM repos WHERE id = ?", (ident,))
    if row is None:
        return None
    counts = reader.reads.rows("SELECT name, n FROM counters WHERE repo_id = ? AND kind = 'status' AND n > 0", (ident,))
    return _decode(row, dict(counts))


def read_repos(reader: Reader) -> list[RepoRow]:
    """Return all repos, ordered by name."""
    counts: dict[int, dict[str, int]] = {}
    for repo_id, name, n in reader.reads.rows(_COUNTS):
        counts.setdefault(repo_id, {})[name] = n
    rows = [
        _decode(row, counts.get(row[0], {})) for row in reader.reads.rows(f"SELECT {_COLUMNS} FROM repos WHERE id > 0")
    ]
    return sorted(rows, key=lambda row: row.repo)


def _decode(row: Row, counts: dict[str, int]) -> RepoRow:
    ident, kind, namespace, name, gated, form_card, quick_at, full_at, is_complete, problem, *more = row
    counted_at, refused_at, refused_why, tried_at, tried_complete, tried_counts, hub_ids = more
    return RepoRow(
        id=ident,
        repo=repo_of(kind, namespace, name),
        gated=gated,
        form_card=form_card,
        quick_at=quick_at,
        full_at=full_at,
        is_complete=bool(is_complete),
        problem=problem,
        counted_at=counted_at,
        refused_at=refused_at,
        refused_why=refused_why,
        tried_at=tried_at,
        tried_complete=bool(tried_complete),
        tried_counts={} if tried_counts is None else json.loads(tried_counts),
        hub_ids=frozenset(hub_ids.split()),
        counts=counts,
    )
