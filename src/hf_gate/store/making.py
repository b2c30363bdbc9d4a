"""Makes a store, and brings an older one to today's shape; imported only when there is something to make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from . import schema
from .sql import Database, Sqlite
from .versions import HEAD


def statements(*, is_sqlite: bool) -> list[str]:
    """What makes an empty store of today's shape."""
    dialect = sqlite.dialect() if is_sqlite else postgresql.dialect()  # type: ignore[no-untyped-call]
    found = []
    for table in schema.metadata.sorted_tables:
        found.append(str(CreateTable(table).compile(dialect=dialect)))
        found += [
            str(CreateIndex(index).compile(dialect=dialect))
            for index in sorted(table.indexes, key=lambda i: i.name or "")
        ]
    return [*found, *(schema.SQLITE if is_sqlite else schema.POSTGRESQL)]


def make(db: Database, about: Mapping[str, str]) -> None:
    """An empty store, whole or not at all."""
    if isinstance(db, Sqlite):
        db.rows("PRAGMA journal_mode = WAL")
    db.begin()
    try:
        for statement in statements(is_sqlite=db.is_sqlite):
            db.run(statement)
        db.run("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        db.run("INSERT INTO alembic_version (version_num) VALUES (?)", (HEAD,))
        db.run("INSERT INTO repos (id, type, namespace, name) VALUES (0, 'desk', '', '')")
        db.run_many("INSERT INTO about (key, value) VALUES (?, ?)", list(about.items()))
        db.commit()
    except BaseException:
        db.rollback()
        raise


def upgrade(db: Database, path: Path | None, revision: str) -> None:
    """Runs what changed since that revision, behind a copy of the file as it was."""
    raise NotImplementedError
