"""Upgrades of a store: what a later revision does, what an interrupted one leaves, and what is refused."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hf_gate.errors import StoreDamaged, StoreTooNew, StoreTooOld, StoreUnavailable
from hf_gate.store.backups import Restore, restore, write_backup
from hf_gate.store.gate_texts import write_gate_text
from hf_gate.store.opening import open_store
from hf_gate.store.removal import remove_files, remove_tables
from hf_gate.store.revisions import REVISIONS, Revisions
from hf_gate.store.schema import compile_statements
from hf_gate.store.schema_creation import creation_statements
from hf_gate.store.sql import Postgres, Sqlite
from hf_gate.store.store_path import parse_path
from hf_gate.store.write_lock import Holder
from tests.contract.store_kit import (
    EEG,
    ENDPOINT,
    label_revision,
    mode_of,
    record,
    shapes_with,
    take,
)
from tests.contract.store_kit import empty_place as place

__all__ = ["place"]


CURRENT = ("0019", "482b6ae436d2f6c1")
"""The number of the current revision, and the digest of the statements of its schema."""


@pytest.fixture
def newer(tmp_path: Path) -> Revisions:
    """The revisions of an hf-gate that has one more."""
    return shapes_with(tmp_path / "scripts")


def _old(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store, store.writing() as write:
        write.write_setting("a", "1")


def test_an_older_store_is_upgraded_behind_a_copy(place: str, newer: Revisions) -> None:
    _old(place)
    with pytest.raises(StoreUnavailable, match="older schema"):
        open_store(place, endpoint=ENDPOINT, read_only=True, revisions=newer)
    with open_store(place, endpoint=ENDPOINT, revisions=newer) as store:
        assert store.reads.rows("SELECT key, value, note FROM settings WHERE key = 'a'") == [("a", "1", "moved")]
    open_store(place, endpoint=ENDPOINT, revisions=newer, read_only=True).close()
    if place.startswith("sqlite"):
        copy = parse_path(place).with_name("desk.db.before-9999")
        assert mode_of(copy) == 0o600
        with open_store(copy, endpoint=ENDPOINT) as kept:
            assert kept.setting("a") == "1"


def test_a_store_without_the_texts_of_gates_gets_their_table(place: str) -> None:
    _old(place)
    is_server = place.startswith("postgres")
    db = Postgres(place, writes=True, name="test") if is_server else Sqlite(parse_path(place), writes=True)
    db.run("DROP TABLE gate_texts")
    db.close()
    label_revision(place, "0018")
    with open_store(place, endpoint=ENDPOINT) as store:
        assert store.setting("a") == "1"
        with store.writing() as write:
            write_gate_text(write, "0", "prompt", "Why?", 1)
            write_gate_text(write, "0", "prompt", "Why?", 2)
        assert store.reads.rows("SELECT * FROM gate_texts") == [("0", "prompt", "Why?", 1)]


def test_another_schema_has_another_number() -> None:
    """Else a store of yesterday would be opened and fail at the first new column, instead of being refused."""
    statements = (*compile_statements(is_sqlite=True), *compile_statements(is_sqlite=False))
    digest = hashlib.sha256("\n".join(statements).encode()).hexdigest()[:16]
    assert (REVISIONS.head, digest) == CURRENT, "add a revision with the next number, then store the new digest here"


@pytest.mark.parametrize("is_sqlite", [True, False])
def test_a_new_store_is_created_from_the_statements_of_the_tables(*, is_sqlite: bool) -> None:
    wanted = [statement.split() for statement in compile_statements(is_sqlite=is_sqlite)]
    assert [each.split() for each in creation_statements(is_sqlite=is_sqlite)] == wanted, "write them again: make docs"


def test_a_store_is_created_without_loading_sqlalchemy(tmp_path: Path) -> None:
    program = (
        "import sys; from hf_gate.store.opening import open_store; open_store(sys.argv[1], endpoint='https://huggingface.co').close()"
        "; print([name for name in ('sqlalchemy', 'alembic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "desk.db"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(place: str, tmp_path: Path) -> None:
    _old(place)
    with pytest.raises(ZeroDivisionError):
        open_store(place, endpoint=ENDPOINT, revisions=shapes_with(tmp_path / "scripts", "1 / 0"))
    with open_store(place, endpoint=ENDPOINT) as store:
        assert store.reads.rows("SELECT * FROM settings WHERE key = 'a'") == [("a", "1")]


def test_a_store_that_has_not_the_schema_it_names_is_refused_and_left_as_it_was(place: str, newer: Revisions) -> None:
    _old(place)
    open_store(place, endpoint=ENDPOINT, revisions=newer).close()
    for copy in parse_path(place).parent.glob("*.before-*") if place.startswith("sqlite") else ():
        copy.unlink()
    label_revision(place, REVISIONS.head)
    with pytest.raises(StoreDamaged, match=f"has schema {REVISIONS.head}") as refused:
        open_store(place, endpoint=ENDPOINT, revisions=newer)
    assert "backup" in refused.value.hint
    if place.startswith("sqlite"):
        assert not list(parse_path(place).parent.glob("*.before-*"))


def test_a_newer_store_is_refused_and_left_alone(place: str, newer: Revisions) -> None:
    open_store(place, endpoint=ENDPOINT, revisions=newer).close()
    before = parse_path(place).read_bytes() if place.startswith("sqlite") else b""
    for read_only in (True, False):
        with pytest.raises(StoreTooNew, match="9999"):
            open_store(place, endpoint=ENDPOINT, read_only=read_only)
    assert before == (parse_path(place).read_bytes() if place.startswith("sqlite") else b"")


@pytest.mark.parametrize("read_only", [True, False])
def test_a_store_of_a_pre_release_is_refused_until_it_is_removed(place: str, read_only: bool) -> None:
    _old(place)
    label_revision(place, "0006")
    with pytest.raises(StoreTooOld, match="made by a pre-release of hf-gate") as refused:
        open_store(place, endpoint=ENDPOINT, read_only=read_only)
    assert refused.value.exit_code == 1
    assert "hf-gate store remove" in refused.value.hint
    if place.startswith("sqlite"):
        remove_files(parse_path(place), Holder(1), wait=0, check=lambda: None)
    else:
        remove_tables(place, Holder(1), wait=0, check=lambda _: None)
    with open_store(place, endpoint=ENDPOINT) as store:
        assert len(take(store, EEG, [record(1)])) == 1


def test_a_backup_of_a_pre_release_is_refused(tmp_path: Path) -> None:
    store, backup = tmp_path / "desk.db", tmp_path / "copy.db"
    _old(str(store))
    label_revision(str(store), "0006")
    write_backup(store, backup)
    wish = Restore(backup, tmp_path / "new.db", ENDPOINT, None, {}, lambda _: None, "lena", 1)
    with pytest.raises(StoreTooOld, match=re.escape(str(backup))):
        restore(wish, Holder(1), wait=0)
    assert not (tmp_path / "new.db").exists()
