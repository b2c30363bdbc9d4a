"""Creates the schema of a new store from statements that `make docs` wrote, because SQLAlchemy takes half a second to load."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from ..domain.erasure import SECRET_BYTES
from .erased import ERASURE_KEY
from .sql import Database, Sqlite

SEPARATOR: Final = "\n;;\n"
"""Between two statements of a file; functions contain single semicolons."""


def statements_file(*, is_sqlite: bool) -> Path:
    """Return the file with the statements that create an empty store."""
    return Path(__file__).with_name("create_sqlite.sql" if is_sqlite else "create_postgresql.sql")


@cache
def creation_statements(*, is_sqlite: bool) -> tuple[str, ...]:
    """Return the statements that create an empty store with the current schema."""
    return tuple(statements_file(is_sqlite=is_sqlite).read_text("utf-8").strip("\n").split(SEPARATOR))


def create_schema(db: Database, about: Mapping[str, str], head: str) -> None:
    """Create an empty store, completely or not at all."""
    if isinstance(db, Sqlite):
        db.rows("PRAGMA journal_mode = WAL")
    with db.transaction():
        for statement in creation_statements(is_sqlite=db.is_sqlite):
            db.run(statement)
        db.run("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        db.run("INSERT INTO alembic_version (version_num) VALUES (?)", (head,))
        db.run("INSERT INTO repos (id, type, namespace, name) VALUES (0, 'desk', '', '')")
        db.run_many("INSERT INTO about (key, value) VALUES (?, ?)", list(about.items()))
        secret = os.urandom(SECRET_BYTES).hex()  # made first, so that every backup has the same
        db.run("INSERT INTO settings (key, value) VALUES (?, ?)", (ERASURE_KEY, secret))
