"""Loads the first requests of a store without the indexes that only queries need, and creates these indexes afterwards.

A marker is stored meanwhile. If the process dies, the next process that opens the store for writing creates the
indexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from hf_gate.store.database.schema import SCHEMA, read_statements
from hf_gate.store.sql import Database
from hf_gate.store.store import Store

DEFERRED_INDEXES: Final = (
    "requests_asked",
    "requests_status",
    "requests_repo",
    "requests_quality",
    "requests_mail",
    "requests_fingerprint",
    "requests_verdict",
    "requests_open",
    "requests_evaluate",
    "requests_planned",
    "requests_lookup_user",
    "requests_lookup_email",
    "requests_lookup_name",
    "ledger_request",
    "ledger_run",
    "private_person",
    "texts_grams",
)
"""Indexes that the first sync does not use; `texts_grams` exists in PostgreSQL only."""
_MARKER: Final = "loading"
_ANALYZED: Final = (  # not `texts`: PostgreSQL would compute the trigrams of 30,000 texts again
    "SELECT quote_ident(relname) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname <> 'texts'"
)


@contextmanager
def defer_indexes(store: Store) -> Iterator[None]:
    """Drop these indexes within the block if the store has no requests. Create them again however the block ends."""
    statements: list[str] = []
    if store.reads.row("SELECT 1 FROM requests LIMIT 1") is None:
        with store.writing() as write:
            statements = _drop_indexes(write.db)
            write.write_setting(_MARKER, "1")
    try:
        yield
    finally:
        if statements:
            with store.writing() as write:
                if not write.db.is_sqlite:
                    write.db.run(
                        "SET LOCAL maintenance_work_mem = '256MB'"
                    )  # without this setting, the trigram index takes twice as long
                _create_indexes(write.db, statements)
                write.write_setting(_MARKER, None)


def _drop_indexes(db: Database) -> list[str]:
    """Drop the deferred indexes and return the statements that create them again."""
    sql = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index'"
        if db.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
    )
    found = {name: made for name, made in db.rows(sql) if name in DEFERRED_INDEXES}
    for name in found:
        db.run(f"DROP INDEX {name}")
    return list(found.values())


def _create_indexes(db: Database, statements: Iterable[str]) -> None:
    """Create the indexes. PostgreSQL counts the rows too; until it does, it reads whole tables in the next sync."""
    for statement in statements:
        db.run(statement)
    if not db.is_sqlite:
        db.run(f"ANALYZE {', '.join(name for (name,) in db.rows(_ANALYZED))}")


def is_loading(db: Database) -> bool:
    """Return whether a process loads the first requests, or was interrupted while it did."""
    return db.setting(_MARKER) is not None


def finish_loading(db: Database) -> None:
    """Create the indexes that an interrupted load left out, all or none."""
    if not is_loading(db):
        return
    with db.transaction():
        _create_indexes(
            db,
            [
                statement
                for statement in read_statements(SCHEMA, is_sqlite=db.is_sqlite)
                if statement.removeprefix("CREATE INDEX ").partition(" ")[0] in DEFERRED_INDEXES
            ],
        )
        db.write_setting(_MARKER, None)
