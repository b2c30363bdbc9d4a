"""Loads the first requests of a store without the indexes that only queries need, and makes these indexes afterwards.

A marker stands in the store meanwhile: whoever opens it for writing after a process died makes them then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from .sql import Database
from .store import Store

DEFERRED_INDEXES: Final = (
    "requests_asked", "requests_status", "requests_repo", "requests_country", "requests_verdict", "requests_queue",
    "requests_until", "requests_open", "ledger_request", "ledger_run", "private_person", "texts_grams",
)  # fmt: skip
"""Indexes that nothing asks for while records of the first lists are entered; `texts_grams` is PostgreSQL's."""
_MARKER: Final = "loading"


@contextmanager
def defer_indexes(store: Store) -> Iterator[None]:
    """Within it the indexes are absent, if the store holds no request yet; they are made at the end, however it ends."""
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
                    )  # the trigram index takes twice as long without
                for statement in statements:
                    write.db.run(statement)
                write.write_setting(_MARKER, None)


def _drop_indexes(db: Database) -> list[str]:
    """Drop the deferred indexes; return the statements that make them again."""
    sql = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index'"
        if db.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
    )
    found = {name: made for name, made in db.rows(sql) if name in DEFERRED_INDEXES}
    for name in found:
        db.run(f"DROP INDEX {name}")
    return list(found.values())


def finish_loading(db: Database) -> None:
    """Make the indexes that a process did not come to make, all or none."""
    if db.row("SELECT 1 FROM settings WHERE key = ?", (_MARKER,)) is None:
        return
    from .schema_setup import creation_statements  # noqa: PLC0415 - SQLAlchemy is slow to import, and this is rare

    db.begin()
    try:
        for statement in creation_statements(is_sqlite=db.is_sqlite):
            if statement.removeprefix("CREATE INDEX ").partition(" ")[0] in DEFERRED_INDEXES:
                db.run(statement)
        db.run("DELETE FROM settings WHERE key = ?", (_MARKER,))
        db.commit()
    except BaseException:
        db.rollback()
        raise
