"""Makes a store, and brings an older one to today's shape; imported only when there is something to make."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from ..errors import StoreDamaged, StoreUnavailable
from . import schema
from .revisions import Revisions
from .sql import Database, Sqlite


def creation_statements(*, is_sqlite: bool) -> list[str]:
    """What makes an empty store of today's shape."""
    dialect = sqlite.dialect() if is_sqlite else postgresql.dialect()  # type: ignore[no-untyped-call]
    found = []
    for table in schema.metadata.sorted_tables:
        found.append(str(CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda index: index.name or "")
        found += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return [*found, *(schema.SQLITE if is_sqlite else schema.POSTGRESQL)]


def create_schema(db: Database, about: Mapping[str, str], head: str) -> None:
    """An empty store, whole or not at all."""
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
        db.commit()
    except BaseException:
        db.rollback()
        raise


def upgrade_schema(db: Database, path: Path | None, revision: str, revisions: Revisions) -> None:
    """Runs what changed since a revision, all of it or nothing; a file is copied before, as it was."""
    copy = None if path is None else path.with_name(f"{path.name}.before-{revisions.head}")
    if isinstance(db, Sqlite) and copy is not None:
        _keep_copy(db, copy)
    scripts = ScriptDirectory(str(revisions.folder), version_locations=[str(revisions.folder / "versions")])
    steps = list(scripts.iterate_revisions(revisions.head, revision))[::-1]
    name = "sqlite" if db.is_sqlite else "postgresql+psycopg"
    engine = create_engine(f"{name}://", creator=lambda: db.raw, poolclass=StaticPool, pool_reset_on_return=None)
    with engine.connect() as connection, Operations.context(MigrationContext.configure(connection)):
        db.begin()  # only now: SQLAlchemy ends whatever is under way when it connects
        try:
            for step in steps:
                step.module.upgrade()
            db.run("UPDATE alembic_version SET version_num = ?", (revisions.head,))
            db.commit()
        except BaseException as problem:
            db.rollback()
            if copy is not None:
                copy.unlink(missing_ok=True)  # the store is as it was
            _raise_upgrade_error(
                db, problem, f"{db.at} says that its shape is {revision}, and cannot be brought to {revisions.head}"
            )
            raise


def _raise_upgrade_error(db: Database, problem: BaseException, what: str) -> None:
    """Raises what an error of the database means; what else can go wrong in a revision is a fault of ours."""
    cause = getattr(problem, "orig", problem)
    if isinstance(cause, db.error):
        try:
            db.raise_error(cause)
        except db.error:
            raise StoreDamaged(
                f"{what}: {str(cause).strip().partition(chr(10))[0]}. It was left as it was."
            ) from problem


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
        hint = "Make room for a second copy, or name another place for the store."
        raise StoreUnavailable(
            f"{path} cannot be written, and no store is changed without a copy.", hint=hint
        ) from problem
