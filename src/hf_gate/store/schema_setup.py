"""Upgrades older stores; imported only when needed, because it loads SQLAlchemy and Alembic."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from ..errors import StoreDamaged, StoreUnavailable
from .revisions import Revisions
from .sql import Database, Sqlite


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
