"""Repeats erasures in an older copy of the store, and removes deleted data from the files of the database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hf_gate.core.events.erasure import hash_account, hash_person
from hf_gate.store.connections import StoreConnections
from hf_gate.store.sql import Database, Postgres, Sqlite
from hf_gate.store.writing.erased import TO_SCRUB, read_hash_key, write_keys

from .erasure import Eraser
from .erasure_file import ErasureHashes, find_pending

_REPLAYED_BY: Final = "hf-gate"  # the actor of an erasure that is repeated in an older copy
_IN_MEMORY: Final = 1 << 26  # bytes; a larger store is rewritten through a temporary file
VACUUMED: Final = (
    "people",
    "requests",
    "private",
    "texts",
    "profiles",
    "bindings",
    "table_rows",
    "plans",
    "changes",
    "hits",
    "picked",
    "approvals",
    "approval_alarms",
    "endorsements",
    "messages",
    "key_decisions",
)
"""The tables from which an erasure deletes, or in which it changes rows."""
_DROP_STATISTICS: Final = """
SELECT format('ALTER TABLE %I ALTER COLUMN %I TYPE %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod))
FROM pg_stats s
JOIN pg_class c ON c.relname = s.tablename AND c.relnamespace = s.schemaname::regnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname
WHERE s.schemaname = current_schema() AND c.relkind = 'r' AND c.reltuples = 0 AND s.tablename = ANY(?)
"""
"""Selects statements that drop the statistics of empty tables: ANALYZE leaves those as they were."""


def repeat_erasures(store: StoreConnections, path: Path | None, actor: str = _REPLAYED_BY) -> bool:
    """Delete the people of all pending erasures; return whether no trace is left in the files of the database."""
    pending = find_pending(store.reads, path)
    if pending:
        with store.writing() as write:
            _repeat(write.db, Eraser(write, max(one.at for one in pending), actor), pending)
            write.write_setting(TO_SCRUB, "1")
    return scrub(store)


def _repeat(db: Database, eraser: Eraser, pending: Sequence[ErasureHashes]) -> None:
    wanted = {bytes.fromhex(one.person) for one in pending}
    secret = read_hash_key(db)
    accounts = {bytes.fromhex(one.account) for one in pending if one.account}
    for person, pseudonym, user_id, username in db.rows("SELECT id, pseudonym, user_id, username FROM people"):
        is_known = (user_id or username) and hash_account(secret, user_id, username) in accounts
        if is_known or hash_person(secret, pseudonym) in wanted:
            eraser.erase_person(person)
    for table, name, user_id in db.rows("SELECT owner_table, key, user_id FROM bindings"):
        if hash_account(secret, user_id or None, name) in accounts:  # of somebody who is not in this copy yet
            db.run("DELETE FROM bindings WHERE owner_table = ? AND key = ?", (table, name))
    keys = [
        (bytes.fromhex(key), None)
        for one in pending
        for key in (one.person, *one.requests, *one.names, one.account)
        if key
    ]
    write_keys(db, keys)


# ---- traces in the files of the database -----------------------------------------------------------------------------


def scrub(store: StoreConnections) -> bool:
    """Remove deleted data from free pages, the log and dead rows; return False if another process prevents it now."""
    if store.reads.setting(TO_SCRUB) is None:
        return True
    with store.maintaining() as db:
        is_clean = _scrub_sqlite(db) if isinstance(db, Sqlite) else _scrub_postgres(db)
    if is_clean:
        with store.writing() as write:
            write.write_setting(TO_SCRUB, None)
    return is_clean


def _scrub_sqlite(db: Sqlite) -> bool:
    size = db.rows("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")[0][0]
    try:
        if size > _IN_MEMORY:
            db.run("PRAGMA temp_store = FILE")
        db.run("VACUUM")
    finally:
        db.run("PRAGMA temp_store = MEMORY")
    return bool(db.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0)


def _scrub_postgres(db: Postgres) -> bool:
    db.run(f"VACUUM (ANALYZE, INDEX_CLEANUP ON) {', '.join(VACUUMED)}")
    for statement in db.rows(_DROP_STATISTICS, (list(VACUUMED),)):
        db.run(*statement)
    db.run("VACUUM pg_statistic")  # skipped by the server for users who do not own the database
    return True
