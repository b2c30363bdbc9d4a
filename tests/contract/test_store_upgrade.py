"""Upgrades of a store: what a later revision does, what an interrupted one leaves, and what is refused."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from hf_gate.errors import StoreDamaged, StoreTooNew, StoreTooOld, StoreUnavailable
from hf_gate.store.approvals import read_endorsers, write_endorsement
from hf_gate.store.backups import Restore, restore, write_backup
from hf_gate.store.opening import open_store
from hf_gate.store.removal import remove_files, remove_tables
from hf_gate.store.schema import list_revisions
from hf_gate.store.store_path import parse_path
from hf_gate.store.write_lock import Holder
from tests.contract.store_kit import (
    EEG,
    ENDPOINT,
    add_migration,
    label_revision,
    make_old_store,
    mode_of,
    record,
    take,
)
from tests.contract.store_kit import empty_place as place

__all__ = ["place"]

HEAD = list_revisions()[-1]


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The migrations of an hf-gate that has one more."""
    return add_migration(tmp_path / "migrations")


def _old(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store, store.writing() as write:
        write.write_setting("a", "1")


def test_an_older_store_is_upgraded_behind_a_copy(place: str, newer: Path) -> None:
    _old(place)
    with pytest.raises(StoreUnavailable, match="older schema"):
        open_store(place, endpoint=ENDPOINT, read_only=True, migrations=newer)
    with open_store(place, endpoint=ENDPOINT, migrations=newer) as store:
        assert store.reads.rows("SELECT key, value, note FROM settings WHERE key = 'a'") == [("a", "1", "moved")]
    open_store(place, endpoint=ENDPOINT, migrations=newer, read_only=True).close()
    if place.startswith("sqlite"):
        copy = parse_path(place).with_name("desk.db.before-9999")
        assert mode_of(copy) == 0o600
        with open_store(copy, endpoint=ENDPOINT) as kept:
            assert kept.setting("a") == "1"


def test_agreements_to_plans_and_to_earlier_ends_stay_when_they_move_to_one_table(place: str, tmp_path: Path) -> None:
    with closing(make_old_store(place, "0020", tmp_path / "migrations")) as db:
        for digest, about in (
            ("p1", '{"by": "lena", "seen": ["id-lena", "id-mia"]}'),
            ("p2", '{"by": "lena"}'),
            ("p3", None),
        ):
            db.run("INSERT INTO plans (digest, document, made_at, about) VALUES (?, ?, 1, ?)", (digest, b"{}", about))
        ends = '{"moves": "e1", "accounts": ["id-kim"], "names": ["kim"]}'
        db.run("INSERT INTO settings (key, value) VALUES ('agreed ends', ?)", (ends,))
    with open_store(place, endpoint=ENDPOINT) as store:
        assert [read_endorsers(store.reads, act) for act in ("p1", "p2", "p3", "e1")] == [
            ["id-lena", "id-mia"], [], [], ["id-kim"],
        ]  # fmt: skip
        assert store.setting("agreed ends") is None


def test_agreements_learn_their_place_in_the_ledger(place: str, tmp_path: Path) -> None:
    with closing(make_old_store(place, "0022", tmp_path / "migrations")) as db:
        (last,) = db.rows("SELECT coalesce(max(id), 0) FROM ledger")[0]
        for n, (plan, account) in enumerate(
            (("p1", "id-lena"), ("p1", "id-mia"), ("p1", "id-lena"), ("p2", "id-lena")), 1
        ):
            body = f'{{"type":"PlanAgreed","plan":"{plan}","changes":1,"account":"{account}"}}'
            sql = (
                "INSERT INTO ledger (id, repo_id, seq, at, kind, actor, body, hash)"
                " VALUES (?, 0, ?, 1, 'PlanAgreed', 'lena', ?, ?)"
            )
            db.run(sql, (last + n, 1000 + n, body, b""))
        for act, account in (("p1", "id-lena"), ("p1", "id-mia"), ("p3", "id-lena")):
            db.run("INSERT INTO endorsements (act, account) VALUES (?, ?)", (act, account))
    with open_store(place, endpoint=ENDPOINT) as store:
        with store.writing() as write:
            assert write_endorsement(write, "p3", "id-mia", "rules")
        found = store.reads.rows("SELECT act, account, ledger_id FROM endorsements ORDER BY act, account")
        assert found == [
            ("p1", "id-lena", last + 3), ("p1", "id-mia", last + 2), ("p3", "id-lena", 0), ("p3", "id-mia", last + 4),
        ]  # fmt: skip


def test_each_migration_has_the_next_number() -> None:
    """Else a store that ran one of two with the same number would never run the other."""
    numbers = [int(revision) for revision in list_revisions()]
    assert numbers == list(range(18, 18 + len(numbers)))


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(place: str, tmp_path: Path) -> None:
    _old(place)
    broken = add_migration(tmp_path / "migrations", "UPDATE settings SET nowhere = 1;\n")
    with pytest.raises(StoreDamaged, match="cannot be upgraded to 9999"):
        open_store(place, endpoint=ENDPOINT, migrations=broken)
    with open_store(place, endpoint=ENDPOINT) as store:
        assert store.reads.rows("SELECT * FROM settings WHERE key = 'a'") == [("a", "1")]


def test_a_store_that_has_not_the_schema_it_names_is_refused_and_left_as_it_was(place: str, newer: Path) -> None:
    _old(place)
    open_store(place, endpoint=ENDPOINT, migrations=newer).close()
    for copy in parse_path(place).parent.glob("*.before-*") if place.startswith("sqlite") else ():
        copy.unlink()
    label_revision(place, HEAD)
    with pytest.raises(StoreDamaged, match=f"has schema {HEAD}") as refused:
        open_store(place, endpoint=ENDPOINT, migrations=newer)
    assert "backup" in refused.value.hint
    if place.startswith("sqlite"):
        assert not list(parse_path(place).parent.glob("*.before-*"))


def test_a_newer_store_is_refused_and_left_alone(place: str, newer: Path) -> None:
    open_store(place, endpoint=ENDPOINT, migrations=newer).close()
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
