"""A store from before there was a desk in the browser becomes one of today's, the same as if it were new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hf_gate.store import making
from hf_gate.store.facets import cube
from hf_gate.store.opening import open_store, path_of
from hf_gate.store.sql import Database, Postgres, Sqlite
from hf_gate.store.versions import SHAPES
from tests.contract.store_kit import EEG, ENDPOINT, new_schema, place, postgres_uri, record, take

__all__ = ["place", "postgres_uri"]
NEW = ("tray", "members", "sessions", "views", "picks", "picked")


@contextmanager
def _raw(where: str) -> Iterator[Database]:
    db: Database = (
        Sqlite(path_of(where), writes=True)
        if where.startswith("sqlite")
        else Postgres(where, writes=True, name="a test")
    )
    try:
        yield db
    finally:
        db.close()


def _shape(where: str) -> list[tuple[str, ...]]:
    """Every table and index of ours, in words that do not depend on how they came to be."""
    with _raw(where) as db:
        if db.is_sqlite:
            found = []
            for (table,) in db.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
                found += [("column", table, *map(str, row[1:])) for row in db.rows(f"PRAGMA table_info({table})")]
                for row in db.rows(f"PRAGMA index_list({table})"):
                    columns = [column for _, _, column in db.rows(f"PRAGMA index_info({row[1]})")]
                    found.append(("index", table, *map(str, row[2:]), *map(str, columns)))
            return sorted(found)
        columns = db.rows(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = current_schema()"
        )
        indexes = db.rows(
            "SELECT tablename, indexname, replace(indexdef, current_schema(), '') FROM pg_indexes WHERE schemaname = current_schema()"
        )
        return sorted((*columns, *indexes))


def _take_back(db: Database) -> None:
    """What came after revision 0001 is taken away again."""
    for table in reversed(NEW):
        db.run(f"DROP TABLE {table}")
    for column in ("member", "account", "verbs", "is_free"):
        db.run(f"ALTER TABLE runs DROP COLUMN {column}")
    for column in ("owner TEXT", "lease_until BIGINT", "fence BIGINT NOT NULL DEFAULT 0", "undoes TEXT"):
        db.run(f"ALTER TABLE runs ADD COLUMN {column}")
    db.run("UPDATE alembic_version SET version_num = '0001'")


def _made_as_before(where: str) -> None:
    """A store of revision 0001: today's without what came later."""
    with open_store(where, endpoint=ENDPOINT) as store, store.writing() as write:
        write.setting("a", "1")
    with _raw(where) as db:
        _take_back(db)


def test_what_is_counted_now_is_counted_of_older_stores_too(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        take(store, EEG, [record(n) for n in range(5)])
        want = cube(store)
    with _raw(place) as db:
        db.run("DELETE FROM counters WHERE kind = 'cell'")
        _take_back(db)
    with open_store(place, endpoint=ENDPOINT) as store:
        assert cube(store) == want
        assert sum(cell.n for cell in want) == 5


def test_an_older_store_becomes_the_same_as_a_new_one(place: str, request: pytest.FixtureRequest) -> None:
    _made_as_before(place)
    with open_store(place, endpoint=ENDPOINT) as store:
        assert store.setting("a") == "1"
    if place.startswith("sqlite"):
        fresh = f"sqlite:///{path_of(place).with_name('fresh.db')}"
    else:
        fresh = new_schema(request.getfixturevalue("postgres_uri"))
    open_store(fresh, endpoint=ENDPOINT).close()
    assert _shape(place) == _shape(fresh)


def test_the_revision_makes_every_table_that_is_new() -> None:
    made = "\n".join(making.statements(is_sqlite=True))
    assert SHAPES.head == "0006"
    assert all(f"CREATE TABLE {table} " in made for table in NEW)
