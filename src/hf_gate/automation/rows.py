"""Stores the turns of `hf-gate run`."""

from __future__ import annotations

from typing import Final

from hf_gate.core.runs import ALL_RUNS
from hf_gate.core.turns import KEPT_TURNS, TurnEnd, TurnRow
from hf_gate.store.sql import decode_row
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer

_COLUMNS: Final = "id, started_at, interval_s, ended_at, ending, problem, repos, news, done, deferred"


def begin_turn(store: Store, started_at: int, interval_s: int | None) -> int:
    """Store that a turn has begun; return its number. Only the last turns are kept."""
    with store.writing() as write:
        ident = next(iter(write.db.reserve_ids("turns", 1)))
        sql = "INSERT INTO turns (id, started_at, interval_s, repos, news, done, deferred) VALUES (?, ?, ?, 0, 0, 0, 0)"
        write.db.run(sql, (ident, started_at, interval_s))
        write.db.run("DELETE FROM turns WHERE id <= ?", (ident - KEPT_TURNS,))
        return ident


def write_turn_end(write: Writer, turn: TurnRow) -> None:
    """Store the end of a turn, in a transaction with what follows from it."""
    sql = (
        "UPDATE turns SET ended_at = ?, ending = ?, problem = ?, repos = ?, news = ?, done = ?, deferred = ?"
        " WHERE id = ?"
    )
    values = (turn.ended_at, turn.end, turn.problem, turn.repos, turn.news, turn.done, turn.deferred, turn.id)
    write.db.run(sql, values)


def read_turns(store: Store, limit: int) -> list[TurnRow]:
    """Return the last turns, the newest first."""
    rows = store.reads.rows(f"SELECT {_COLUMNS} FROM turns ORDER BY id DESC LIMIT ?", (limit,))
    return [decode_row(row, TurnRow) for row in rows]


def has_loop_ended_before(write: Writer, turn: int, limit: int) -> bool:
    """Return whether one of the last `limit` entries before a turn says that a loop ended for good."""
    rows = write.db.rows("SELECT ending FROM turns WHERE id < ? ORDER BY id DESC LIMIT ?", (turn, limit))
    return any(ending == TurnEnd.LOOP_ENDED for (ending,) in rows)


def delete_stop(write: Writer) -> None:
    """Let unattended work continue."""
    write.db.run("DELETE FROM stop_requests WHERE run = ?", (ALL_RUNS,))
