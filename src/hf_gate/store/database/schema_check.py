"""Checks the file of a store and the triggers of its ledger, and repairs the search index."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hf_gate.errors import StoreDamaged, StoreUnavailable
from hf_gate.store.sql import Database, Postgres, Reader, Sqlite
from hf_gate.store.write_lock import FileLock, Holder, OnWait, ignore_wait
from hf_gate.store.writing.search_index import SearchIndex

from .schema import SCHEMA, check_program, read_about_schema, read_revision, read_statements

_TRIGGERS: Final = re.compile(r"^CREATE TRIGGER (\w+)")
_GUARD: Final = "ledger_only_added_to"
_ENABLED: Final = ("O", "A")  # values of pg_trigger.tgenabled that fire in a normal session


def find_trigger_faults(reader: Reader) -> list[str]:
    """Return problems of the triggers that keep the ledger from being changed; [] if there are none."""
    return (
        _find_sqlite_faults(reader.reads) if isinstance(reader.reads, Sqlite) else _find_postgres_faults(reader.reads)
    )


def _find_sqlite_faults(db: Sqlite) -> list[str]:
    rows = db.rows("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return _compare("trigger", _read_triggers(db), {name: _collapse_sql(sql) for name, sql in rows})


def _read_triggers(db: Database) -> dict[str, str]:
    """Return the statements that create the triggers of a store, by name."""
    statements = read_statements(SCHEMA, is_sqlite=db.is_sqlite)
    return {name: _collapse_sql(sql) for sql in statements for name in _TRIGGERS.findall(sql)}


def _find_postgres_faults(db: Postgres) -> list[str]:
    wanted = _read_triggers(db).keys()
    rows = db.rows(
        "SELECT t.tgname, t.tgenabled, p.proname, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
        " WHERE t.tgrelid = 'ledger'::regclass AND NOT t.tgisinternal"
    )
    (function,) = (
        sql for sql in read_statements(SCHEMA, is_sqlite=False) if sql.startswith(f"CREATE FUNCTION {_GUARD}")
    )
    body = _collapse_sql(function.split("$$")[1])
    sound = {
        name
        for name, enabled, called, source in rows
        if _to_text(enabled) in _ENABLED and called == _GUARD and _collapse_sql(source) == body
    }
    return [f"trigger {name} is missing, disabled or changed" for name in sorted(wanted - sound)]


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


def _to_text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def find_file_faults(reader: Reader) -> list[str]:
    """Return the problems of a database file: damaged pages, dangling references, and foreign triggers and views."""
    db = reader.reads
    if not isinstance(db, Sqlite):
        return find_trigger_faults(db)
    damage = [str(row[0]) for row in db.rows("PRAGMA integrity_check(20)") if row[0] != "ok"]
    orphans = [
        f"a row of {row[0]} refers to a missing row of {row[2]}" for row in db.rows("PRAGMA foreign_key_check")[:20]
    ]
    return damage + orphans + find_foreign_objects(db)


def find_foreign_objects(db: Sqlite) -> list[str]:
    """Return the triggers and views of a file that hf-gate did not create. A crafted file may contain its own."""
    views = db.rows("SELECT name FROM sqlite_master WHERE type = 'view'")
    return _find_sqlite_faults(db) + [f"view {name} is not one of hf-gate's" for (name,) in views]


def _compare(kind: str, wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    return [
        *(f"{kind} {name} is missing" for name in sorted(wanted.keys() - found.keys())),
        *(f"{kind} {name} is not one of hf-gate's" for name in sorted(found.keys() - wanted.keys())),
        *(f"{kind} {name} was changed" for name in sorted(wanted) if found.get(name, wanted[name]) != wanted[name]),
    ]


def _collapse_sql(sql: str) -> str:
    return " ".join(sql.split())


# ---- repair ----------------------------------------------------------------------------------------------------------


def repair_search_index(path: Path, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait) -> bool:
    """Build the search index of a file again if it is damaged, and tell whether it was.

    The store is not opened as usual, because opening refuses damage. Nothing of the damaged index stays in the file.
    """
    if not path.is_file() or path.is_symlink():
        raise StoreUnavailable(f"there is no store in {path} yet.", hint="Create one with: hf-gate sync REPO")
    lock = FileLock(path, who, wait=wait, on_wait=on_wait)
    try:
        db = Sqlite(path, writes=True)
        try:
            return _repair(db)
        finally:
            db.close()
    finally:
        lock.release()


def _repair(db: Sqlite) -> bool:
    revision = read_revision(db)
    if revision is None:
        return False
    check_program(read_about_schema(db), db.at)
    if not find_index_faults(db):
        return False
    with db.transaction():
        SearchIndex(db).rebuild()
    db.run("VACUUM")
    db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return True
