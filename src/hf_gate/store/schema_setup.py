"""Creates the schema of a store and upgrades older stores; imported only when needed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from ..domain.erasure import SECRET_BYTES
from ..errors import StoreDamaged, StoreUnavailable
from .erased import ERASURE_KEY
from .revisions import Revisions
from .schema import metadata
from .schema_triggers import POSTGRESQL, SQLITE
from .sql import Database, Sqlite


@cache
def creation_statements(*, is_sqlite: bool) -> tuple[str, ...]:
    """Return the statements that create an empty store with the current schema."""
    dialect = sqlite.dialect() if is_sqlite else postgresql.dialect()  # type: ignore[no-untyped-call]
    found = []
    for table in metadata.sorted_tables:
        found.append(str(CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda index: index.name or "")
        found += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return (*found, *(SQLITE if is_sqlite else POSTGRESQL))


def create_schema(db: Database, about: Mapping[str, str], head: str) -> None:
    """Create an empty store, completely or not at all."""
    if isinstance(db, Sqlite):
        db.rows("PRAGMA journal_mode = WAL")
    db.begin()
    try:
        for statement in creation_statements(is_sqlite=db.is_sqlite):
            db.run(statement)
        db.run("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        db.run("INSERT INTO alembic_version (version_num) VALUES (?)", (head,))
        db.run("INSERT INTO repos (id, type, namespace, name) VALUES (0, 'desk', '', '')")
        db.run_many("INSERT INTO about (key, value) VALUES (?, ?)", list(about.items()))
        secret = os.urandom(SECRET_BYTES).hex()  # made first, so that every backup has the same
        db.run("INSERT INTO settings (key, value) VALUES (?, ?)", (ERASURE_KEY, secret))
        db.commit()
    except BaseException:
        db.rollback()
        raise


def upgrade_schema(db: Database, path: Path | None, revision: str, revisions: Revisions) -> None:
    """Apply all revisions after `revision` in one transaction. A SQLite file is copied first."""
    copy = None if path is None else path.with_name(f"{path.name}.before-{revisions.head}")
    if isinstance(db, Sqlite) and copy is not None:
        _keep_copy(db, copy)
    scripts = ScriptDirectory(str(revisions.folder), version_locations=[str(revisions.folder / "versions")])
    steps = list(scripts.iterate_revisions(revisions.head, revision))[::-1]
    name = "sqlite" if db.is_sqlite else "postgresql+psycopg"
    engine = create_engine(f"{name}://", creator=lambda: db.raw, poolclass=StaticPool, pool_reset_on_return=None)
    with engine.connect() as connection, Operations.context(MigrationContext.configure(connection)):
        db.begin()  # not earlier, because SQLAlchemy ends open transactions when it connects
        try:
            for step in steps:
                step.module.upgrade()
            db.run("UPDATE alembic_version SET version_num = ?", (revisions.head,))
            db.commit()
        except BaseException as problem:
            db.rollback()
            if copy is not None:
                copy.unlink(missing_ok=True)  # the store is unchanged
            _raise_upgrade_error(
                db, problem, f"{db.at} has schema {revision} and cannot be upgraded to {revisions.head}"
            )
            raise


def _raise_upgrade_error(db: Database, problem: BaseException, what: str) -> None:
    """Raise the hf-gate error for a database error. Other errors in a revision are bugs and are raised unchanged."""
    cause = getattr(problem, "orig", problem)
    if isinstance(cause, db.error):
        try:
            db.raise_error(cause)
        except db.error:
            raise StoreDamaged(f"{what}: {str(cause).strip().partition(chr(10))[0]}. It was not changed.") from problem


def _keep_copy(db: Sqlite, path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600))
        copy = sqlite3.connect(path)
        try:
            db.raw.backup(copy)
        finally:
            copy.close()
    except (OSError, sqlite3.Error) as problem:
        path.unlink(missing_ok=True)
        hint = "Free disk space for a second copy, or move the store to another disk."
        raise StoreUnavailable(
            f"{path} cannot be written, and a store is only upgraded after it has been copied.", hint=hint
        ) from problem
