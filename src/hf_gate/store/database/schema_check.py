"""Checks the file of a store, the triggers of its ledger and its search index."""

from __future__ import annotations

from hf_gate.errors import StoreDamaged
from hf_gate.store.sql import Reader, Sqlite

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


def find_index_faults(reader: Reader) -> list[str]:
    """Return the damage of the search index of a file; [] for PostgreSQL, and for SQLite before 3.44, which cannot
    check it.

    SQLite checks by the structure that the connection read last. After another connection merged parts of the index, it
    would report damage that does not exist; a search in the same transaction reads the structure again.
    """
    if not isinstance(reader.reads, Sqlite):
        return []
    is_within = reader.reads.raw.in_transaction
    if not is_within:
        reader.reads.run("BEGIN")
    try:
        reader.reads.rows("SELECT rowid FROM grams WHERE grams MATCH ? LIMIT 1", ('"any"',))
        rows = reader.reads.rows("PRAGMA integrity_check(grams)")
    except StoreDamaged:  # so damaged that no search can read it
        rows = [("it cannot be read",)]
    finally:
        if not is_within:
            reader.reads.rollback()
    return [f"the search index: {row[0]}" for row in rows if row[0] != "ok"]


def find_file_faults(reader: Reader) -> list[str]:
    """Return the damaged pages of a file; [] for PostgreSQL."""
    rows = reader.reads.rows("PRAGMA integrity_check(20)") if reader.reads.is_sqlite else []
    return [str(row[0]) for row in rows if row[0] != "ok"]
