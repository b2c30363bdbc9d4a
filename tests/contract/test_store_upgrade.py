"""A store of the first shape, brought up step by step, has the shape that a new one is made with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hf_gate.store.opening import open_store, path_of
from hf_gate.store.sql import Database, Postgres, Sqlite
from tests.contract.store_kit import EEG, ENDPOINT, new_schema, place, postgres_uri, record, take

__all__ = ["place", "postgres_uri"]

_DATA = Path(__file__).parent / "data"


def _first_shape(place: str) -> None:
    """What the first version made, statement by statement."""
    if place.startswith("sqlite"):
        db: Database = Sqlite(path_of(place), writes=True)
        text = (_DATA / "store-0001-sqlite.sql").read_text("utf-8")
    else:
        db = Postgres(place, writes=True, name="test")
        text = (_DATA / "store-0001-postgresql.sql").read_text("utf-8")
    db.begin()
    for statement in text.split("\n;;\n"):
        db.run(statement)
    db.run("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    db.run("INSERT INTO alembic_version (version_num) VALUES ('0001')")
    db.run("INSERT INTO repos (id, type, namespace, name) VALUES (0, 'desk', '', '')")
    db.run("INSERT INTO about (key, value) VALUES ('endpoint', ?)", (ENDPOINT,))
    db.commit()
    db.close()


def _shape(place: str) -> set[tuple[object, ...]]:
    with open_store(place, endpoint=ENDPOINT, read_only=True) as store:
        rows = store._db.rows
        if not place.startswith("sqlite"):
            columns = rows(
                "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
                " WHERE table_schema = current_schema()"
            )
            indexes = rows(
                "SELECT tablename, replace(indexdef, schemaname || '.', '') FROM pg_indexes WHERE schemaname = current_schema()"
            )
            keys = rows(
                "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = current_schema()::regnamespace AND contype <> 'n'"
            )
            return {*columns, *indexes, *keys}
        tables = [name for (name,) in rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found: set[tuple[object, ...]] = set()
        for table in tables:
            found |= {(table, *column[1:]) for column in rows(f"PRAGMA table_info({table})")}
            found |= {(table, "to", *key[2:5]) for key in rows(f"PRAGMA foreign_key_list({table})")}
        for kind, name, sql in rows(
            "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL"
        ):
            found.add((kind, name, re.sub(r"\s+", " ", sql)))
        return found


def test_an_upgraded_store_has_the_shape_of_a_new_one(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _first_shape(place)
    with open_store(place, endpoint=ENDPOINT) as store:
        assert len(take(store, EEG, [record(1)])) == 1
    is_file = place.startswith("sqlite")
    fresh = f"sqlite:///{tmp_path / 'new.db'}" if is_file else new_schema(request.getfixturevalue("postgres_uri"))
    open_store(fresh, endpoint=ENDPOINT).close()
    assert _shape(place) == _shape(fresh)
