"""Stores which loops and desks of a store on PostgreSQL run, what they run with, and which loop leads."""

from __future__ import annotations

from typing import Final

from hf_gate.core.stored_rows import ProcessRow
from hf_gate.store.sql import Postgres, Reader, decode_row
from hf_gate.store.write_lock import Work

DATABASE_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
ALIVE_MS: Final = 15_000  # after which a process that was not seen counts as ended
_KEPT_MS: Final = 86_400_000
_COLUMNS: Final = "id, role, host, version, revision, digest, token"
_IS_ALIVE: Final = f"seen_at > {DATABASE_NOW} - {ALIVE_MS}"
_LEADS: Final = f"id IN (SELECT holder FROM leases WHERE name = '{Work.LOOP}' AND expires_at > {DATABASE_NOW})"


def write_process(db: Postgres, process: ProcessRow) -> int:
    """Store that a process is alive; return how many living processes have the same token, 1 without a token."""
    db.run(f"DELETE FROM processes WHERE seen_at < {DATABASE_NOW} - {_KEPT_MS}")
    db.run(
        f"INSERT INTO processes ({_COLUMNS}, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, {DATABASE_NOW}) ON CONFLICT (id) DO"
        " UPDATE SET digest = excluded.digest, token = excluded.token, seen_at = excluded.seen_at",
        (process.id, process.role, process.host, process.version, process.revision, process.digest, process.token),
    )
    return (
        db.count(f"SELECT count(*) FROM processes WHERE token = ? AND {_IS_ALIVE}", (process.token,))
        if process.token
        else 1
    )


def delete_process(db: Postgres, ident: str) -> None:
    """Store that a process has ended."""
    db.run("DELETE FROM processes WHERE id = ?", (ident,))


def read_processes(reader: Reader) -> list[ProcessRow]:
    """Return the loops and desks that are alive, the leader first; [] on SQLite, where one machine has all of them."""
    if reader.reads.is_sqlite:
        return []
    rows = reader.reads.rows(
        f"SELECT {_COLUMNS}, {_LEADS} AS leads FROM processes WHERE {_IS_ALIVE} ORDER BY leads DESC, role DESC, id"
    )
    return [decode_row(row, ProcessRow) for row in rows]


def find_leader(reader: Reader) -> ProcessRow | None:
    """Return the loop that leads; None if none does."""
    return next((process for process in read_processes(reader) if process.is_leading), None)
