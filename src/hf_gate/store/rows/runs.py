"""Reads and writes the rows of runs and their changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import astuple, replace

from hf_gate.base.batches import group_pairs
from hf_gate.base.ids import Repo
from hf_gate.core.events.events import RunResumed, kind_of
from hf_gate.core.runs import CHANGE_STATES, RUN_STATES, ChangeState, RunEvent, RunState
from hf_gate.core.stored_rows import ChangeRow, RunRow
from hf_gate.errors import Guarded
from hf_gate.store.sql import Database, Reader, Row, decode_row
from hf_gate.store.writing.state_columns import repo_of

_NAMES = RunRow.__struct_fields__
_COLUMNS = ", ".join(_NAMES)
BEGAN = f"state <> '{RunState.QUEUED}'"
_INSERT = f"INSERT INTO runs ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
_UPDATE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in _NAMES)} WHERE id = ? AND state = ?"


def write_run(db: Database, row: RunRow) -> None:
    db.run(_INSERT, _values_of(row))


def _values_of(row: RunRow) -> list[object]:
    return [msgspec.json.encode(part).decode() if isinstance(part, Mapping) else part for part in astuple(row)]


def move_run(db: Database, before: RunRow, event: RunEvent, **fields: object) -> RunRow:
    after = replace(before, state=RUN_STATES.step(before.state, event), **fields)
    if not db.run(_UPDATE, [*_values_of(after), before.id, before.state]):
        raise Guarded(f"run {before.id} is no longer {before.state}; nothing was stored.", hint="Try it again.")
    return after


def set_change_states(db: Database, run: str, states: Sequence[tuple[int, str, str]]) -> None:
    for state, some in group_pairs((ChangeState(state), (why, run, n)) for n, state, why in states).items():
        to, can_be = CHANGE_STATES.sql(state)
        sql = f"UPDATE changes SET {to}, why = ? WHERE run = ? AND n = ? AND {can_be}"
        if db.run_many(sql, some) < len(some):
            raise Guarded(f"a change of run {run} was settled meanwhile; nothing was stored.", hint="Try it again.")


def write_changes(db: Database, rows: Sequence[tuple[ChangeRow, int]]) -> None:
    check_records_kept(db, [row.request for row, _ in rows if row.request is not None])
    insert_changes(db, rows)


def insert_changes(db: Database, rows: Sequence[tuple[ChangeRow, int]]) -> None:
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


def read_run(db: Database, where: str, value: str) -> RunRow | None:
    """Return the latest run that satisfies a condition."""
    return next(iter(select_runs(db, f"{where} AND {BEGAN} ORDER BY made_at DESC, id DESC LIMIT 1", value)), None)


def read_runs_since(reader: Reader, at: int) -> list[RunRow]:
    """Return the runs that a person or a policy started or resumed since a time (ms), and those that wait."""
    resumed = "SELECT run FROM ledger WHERE repo_id = 0 AND kind = ? AND at >= ?"
    where = f"made_at >= ? OR NOT {BEGAN} OR id IN ({resumed})"
    return select_runs(reader.reads, where, at, kind_of(RunResumed), at)


def select_runs(db: Database, where: str, *values: object) -> list[RunRow]:
    """Return the runs that satisfy a condition, also those that wait."""
    return [build_run(row) for row in db.rows(f"SELECT {_COLUMNS} FROM runs WHERE {where}", values)]


def build_run(row: Row) -> RunRow:
    """Convert a row with the columns of a run."""
    json = msgspec.json.decode
    return decode_row(row, RunRow, counts=json, verbs=json, is_free=bool, is_unseen=bool)


def release_unsent(db: Database, run: RunRow, at: int | None) -> None:
    """Make each unsent change of a run a waiting run again, which is due at a time (ms), or on hold (None)."""
    verbs = msgspec.json.encode(dict.fromkeys(run.verbs, 1)).decode()
    db.run(
        f"INSERT INTO runs ({_COLUMNS})"
        " SELECT r.id || '.' || c.n, r.kind, r.actor, ?, r.made_at, NULL, 1, '{}', r.member, r.account, ?, FALSE, ?,"
        " FALSE FROM runs r JOIN changes c ON c.run = r.id WHERE r.id = ? AND c.state = ?",
        (RunState.QUEUED, verbs, at, run.id, ChangeState.PLANNED),
    )
    sql = "UPDATE changes SET run = run || '.' || n, n = 1 WHERE run = ? AND state = ?"
    db.run(sql, (run.id, ChangeState.PLANNED))


_CHANGE_COLUMNS = "c.n, o.type, o.namespace, o.name, c.request_id, c.change, c.state, c.why"
_CHANGES = "changes c JOIN repos o ON o.id = c.repo_id"
SELECT_CHANGES = f"SELECT {_CHANGE_COLUMNS} FROM {_CHANGES} WHERE"
"""The columns for `build_changes`; append the rest of the condition, in which `c` is the change."""

SELECT_BOTH = (
    f"SELECT {_CHANGE_COLUMNS}, {', '.join(f'r.{name}' for name in _NAMES)}"
    f" FROM {_CHANGES} JOIN runs r ON r.id = c.run WHERE"
)
"""The columns for `build_changes`, and from `RUN_AT` on those for `build_run`, of the change `c` and the run `r`."""

RUN_AT = 8


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


def count_changes(db: Database, run: str, repos: Collection[int] | None = None) -> dict[str, int]:
    """Return how many changes of a run are in each state."""
    where, values = build_change_condition(db, run, None, repos)
    sql = f"SELECT c.state, count(*) FROM changes c WHERE {where} GROUP BY c.state ORDER BY c.state"
    return dict(db.rows(sql, values))


def build_change_condition(
    db: Database, run: str, states: Collection[str] | None, repos: Collection[int] | None
) -> tuple[str, list[object]]:
    """Return the condition of the changes of a run in these states at these repos, and its values."""
    where = "c.run = ?"
    values: list[object] = [run]
    for column, chosen in (("state", states), ("repo_id", repos)):
        if chosen is not None:
            among, value = db.in_clause(chosen)
            where = f"{where} AND c.{column} {among}"
            values.append(value)
    return where, values


def read_run_repos(reader: Reader, run: str, states: Collection[str] = tuple(ChangeState)) -> list[Repo]:
    """Return the repos of the changes in these states, in the order of the plan."""
    among, value = reader.reads.in_clause(states)
    rows = reader.reads.rows(
        "SELECT p.type, p.namespace, p.name FROM repos p JOIN"
        f" (SELECT repo_id, min(n) AS first FROM changes WHERE run = ? AND state {among} GROUP BY repo_id) c"
        " ON c.repo_id = p.id ORDER BY c.first",
        (run, value),
    )
    return [repo_of(*row) for row in rows]
