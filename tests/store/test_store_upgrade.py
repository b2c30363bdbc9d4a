"""Upgrades of a store to a made-up version 2: what it does, what an interrupted one leaves, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from hf_gate import __version__
from hf_gate.errors import StoreDamaged, StoreTooNew, StoreUnavailable
from hf_gate.store.database.schema import ABOUT_SCHEMA
from hf_gate.store.sql import Postgres, Sqlite
from hf_gate.store.store_path import parse_path
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import ENDPOINT, add_migration, mode_of
from tests.kits.stores import empty_place as place

__all__ = ["place"]


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The migrations of a made-up version 2."""
    return add_migration(tmp_path / "migrations")


def _old(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store, store.writing() as write:
        write.write_setting("a", "1")


def test_an_older_store_is_upgraded_behind_a_copy(place: str, newer: Path) -> None:
    _old(place)
    with pytest.raises(StoreUnavailable, match="older schema"):
        open_store(place, endpoint=ENDPOINT, read_only=True, migrations=newer)
    lines: list[str] = []
    with open_store(place, endpoint=ENDPOINT, migrations=newer, on_upgrade=lines.append) as store:
        assert store.reads.rows("SELECT key, value, note FROM settings WHERE key = 'a'") == [("a", "1", "moved")]
        assert dict(store.reads.rows(ABOUT_SCHEMA)) == {"schema": "0002", "oldest": "0002", "program": __version__}
    open_store(place, endpoint=ENDPOINT, migrations=newer, on_upgrade=lines.append).close()
    open_store(place, endpoint=ENDPOINT, migrations=newer, read_only=True).close()
    (line,) = lines
    assert f"hf-gate {__version__} upgraded" in line
    assert f" of hf-gate {__version__} from schema 0001 to 0002." in line
    if place.startswith("sqlite"):
        copy = parse_path(place).with_name("desk.db.before-0002")
        assert mode_of(copy) == 0o600
        with open_store(copy, endpoint=ENDPOINT) as kept:
            assert kept.setting("a") == "1"


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(place: str, tmp_path: Path) -> None:
    _old(place)
    broken = add_migration(tmp_path / "migrations", "UPDATE settings SET nowhere = 1;\n")
    with pytest.raises(StoreDamaged, match="cannot be upgraded to 0002"):
        open_store(place, endpoint=ENDPOINT, migrations=broken)
    with open_store(place, endpoint=ENDPOINT) as store:
        assert store.reads.rows("SELECT * FROM settings WHERE key = 'a'") == [("a", "1")]


def test_a_store_that_has_not_the_schema_it_names_is_refused_and_left_as_it_was(place: str, newer: Path) -> None:
    _old(place)
    open_store(place, endpoint=ENDPOINT, migrations=newer).close()
    for copy in parse_path(place).parent.glob("*.before-*") if place.startswith("sqlite") else ():
        copy.unlink()
    db = (
        Postgres(place, writes=True, name="test")
        if place.startswith("postgres")
        else Sqlite(parse_path(place), writes=True)
    )
    db.run("UPDATE about SET value = '0001' WHERE key = 'schema'")
    db.close()
    with pytest.raises(StoreDamaged, match="has schema 0001") as refused:
        open_store(place, endpoint=ENDPOINT, migrations=newer)
    assert "backup" in refused.value.hint
    if place.startswith("sqlite"):
        assert not list(parse_path(place).parent.glob("*.before-*"))


def test_a_newer_store_whose_tables_have_other_names_is_said_to_be_newer(place: str, tmp_path: Path) -> None:
    changed = add_migration(tmp_path / "migrations", "ALTER TABLE ledger RENAME TO audit_log;\n")
    _old(place)
    with suppress(Exception):  # this program cannot use what the made-up version 2 made
        open_store(place, endpoint=ENDPOINT, migrations=changed).close()
    with pytest.raises(StoreTooNew, match="made by a newer hf-gate"):
        open_store(place, endpoint=ENDPOINT)


def test_a_newer_store_is_refused_and_left_alone(place: str, newer: Path) -> None:
    open_store(place, endpoint=ENDPOINT, migrations=newer).close()
    before = parse_path(place).read_bytes() if place.startswith("sqlite") else b""
    for read_only in (True, False):
        with pytest.raises(StoreTooNew, match="schema 0002; this is"):
            open_store(place, endpoint=ENDPOINT, read_only=read_only)
    assert before == (parse_path(place).read_bytes() if place.startswith("sqlite") else b"")
