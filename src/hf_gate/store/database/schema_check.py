"""Checks the file of a store, and the triggers of its ledger."""

from __future__ import annotations

from hf_gate.store.sql import Reader

from .schema import SCHEMA, read_statements


def find_trigger_faults(reader: Reader) -> list[str]:
    """Return the triggers that keep the ledger from being changed and are missing, disabled or changed.

    In a file, also the triggers and views that hf-gate did not create. A crafted file may contain its own.
    """
    db = reader.reads
    statements = read_statements(SCHEMA, is_sqlite=db.is_sqlite)
    wanted = {sql.split()[2]: sql for sql in statements if sql.startswith("CREATE TRIGGER")}
    if db.is_sqlite:
        found = dict(db.rows("SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')"))
    else:
        enabled = "NOT tgisinternal AND tgenabled IN ('O', 'A')"  # in a normal session
        rows = db.rows(f"SELECT tgname FROM pg_trigger WHERE tgrelid = 'ledger'::regclass AND {enabled}")
        found = {name: wanted.get(name) for (name,) in rows}
    names = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    return [f"{name} is a missing, a changed or a foreign trigger or view" for name in names]


def find_file_faults(reader: Reader) -> list[str]:
    """Return the damaged pages of a file; [] for PostgreSQL."""
    rows = reader.reads.rows("PRAGMA integrity_check(20)") if reader.reads.is_sqlite else []
    return [str(row[0]) for row in rows if row[0] != "ok"]
