"""Reads and writes the rows of runs and their changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from ..domain.events import RunResumed, kind_of
from ..domain.ids import Repo
from ..domain.rows import ChangeRow, RunRow
from ..domain.runs import FINISHED, ChangeState
from ..errors import Guarded
from .sql import Database, Row, decode_row
from .state_columns import repo_of

_NAMES = RunRow.__struct_fields__
_COLUMNS = ", ".join(_NAMES)
_UPSERT = (
    f"INSERT INTO runs ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
    f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _NAMES[1:])}"
)


def write_run(db: Database, row: RunRow) -> None:
    values = (
        row.id,
        row.kind,
        row.actor,
        row.state,
        row.made_at,
        row.plan,
        row.total,
        msgspec.json.encode(row.counts).decode(),
        row.member,
        row.account,
        msgspec.json.encode(row.verbs).decode(),
        row.is_free,
    )
    db.run(_UPSERT, values)


def write_changes(db: Database, rows: Sequence[tuple[ChangeRow, int]]) -> None:
    check_records_kept(db, [row.request for row, _ in rows if row.request is not None])
    values = [(row.run, row.n, repo_id, row.request, row.change, row.state, row.why) for row, repo_id in rows]
    sql = "INSERT INTO changes (run, n, repo_id, request_id, change, state, why) VALUES (?, ?, ?, ?, ?, ?, ?)"
    db.insert_many(sql, values)


def check_records_kept(db: Database, requests: Collection[int]) -> None:
    """Raise Guarded if the personal data of one of these requests was deleted.

    Plans and decisions are made before they are stored, perhaps in another process. They would bring the data back.
    """
    among, value = db.in_clause(requests)
    if db.row(f"SELECT 1 FROM requests WHERE record_id IS NULL AND id {among} LIMIT 1", (value,)) is not None:
        raise Guarded(
            "the personal data of a request was deleted in the meantime; nothing was sent.",
            hint="Make a new plan, or decide again.",
        )


def count_changes(db: Database, run: str) -> dict[str, int]:
    return dict(db.rows("SELECT state, count(*) FROM changes WHERE run = ? GROUP BY state ORDER BY state", (run,)))


def read_run(db: Database, where: str, value: str) -> RunRow | None:
    """Return the latest run that satisfies a condition."""
    row = db.row(f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY made_at DESC, id DESC LIMIT 1", (value,))
    return None if row is None else _run(row)


def read_runs(db: Database, limit: int) -> list[RunRow]:
    return [
        _run(row) for row in db.rows(f"SELECT {_COLUMNS} FROM runs ORDER BY made_at DESC, id DESC LIMIT ?", (limit,))
    ]


def read_runs_since(db: Database, at: int) -> list[RunRow]:
    """Return the runs that a person or a policy started or resumed since a time (ms)."""
    resumed = "SELECT run FROM ledger WHERE repo_id = 0 AND kind = ? AND at >= ?"
    sql = f"SELECT {_COLUMNS} FROM runs WHERE made_at >= ? OR id IN ({resumed})"
    return [_run(row) for row in db.rows(sql, (at, kind_of(RunResumed), at))]


def read_runs_of(db: Database, member: str) -> list[RunRow]:
    """Return the unfinished runs of a member."""
    over = ", ".join("?" * len(FINISHED))
    sql = f"SELECT {_COLUMNS} FROM runs WHERE member = ? AND state NOT IN ({over})"
    return [_run(row) for row in db.rows(sql, (member, *FINISHED))]


def _run(row: Row) -> RunRow:
    return decode_row(row, RunRow, counts=msgspec.json.decode, verbs=msgspec.json.decode, is_free=bool)


SELECT_CHANGES = (
    "SELECT c.n, o.type, o.namespace, o.name, c.request_id, c.change, c.state, c.why"
    " FROM changes c JOIN repos o ON o.id = c.repo_id WHERE"
)
"""The columns for `build_changes`; append the rest of the condition, in which `c` is the change."""


def build_changes(run: str, rows: Sequence[Row]) -> list[ChangeRow]:
    """Convert rows selected by `SELECT_CHANGES`."""
    return [
        ChangeRow(
            run=run,
            n=n,
            repo=repo_of(kind, space, name),
            request=request,
            change=bytes(change),
            state=ChangeState(state),
            why=why,
        )
        for n, kind, space, name, request, change, state, why in rows
    ]


def read_changes(
    db: Database, run: str, states: Collection[str] | None, limit: int | None, repo_id: int | None = None
) -> list[ChangeRow]:
    """Return the changes of a run in the order of its plan."""
    sql = f"{SELECT_CHANGES} c.run = ?"
    values = list[object]([run])
    if states is not None:
        among, value = db.in_clause(states)
        sql = f"{sql} AND c.state {among}"
        values = [*values, value]
    if repo_id is not None:
        sql = f"{sql} AND c.repo_id = ?"
        values = [*values, repo_id]
    sql += " ORDER BY c.n"
    if limit is not None:
        sql = f"{sql} LIMIT ?"
        values = [*values, limit]
    return build_changes(run, db.rows(sql, values))


def read_repos(db: Database, run: str, states: Collection[str]) -> list[Repo]:
    """Return the repos of the changes in these states, in the order of the plan."""
    among, value = db.in_clause(states)
    rows = db.rows(
        "SELECT p.type, p.namespace, p.name FROM repos p JOIN"
        f" (SELECT repo_id, min(n) AS first FROM changes WHERE run = ? AND state {among} GROUP BY repo_id) c"
        " ON c.repo_id = p.id ORDER BY c.first",
        (run, value),
    )
    return [repo_of(*row) for row in rows]
