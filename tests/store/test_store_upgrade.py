"""Upgrades of a store: what a later revision does, what an interrupted one leaves, and what is refused."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from hf_gate.approvals.rows.approvals import read_endorsers, write_endorsement
from hf_gate.core.people.hand_terms import GrantEnd
from hf_gate.errors import StoreDamaged, StoreTooNew, StoreTooOld, StoreUnavailable
from hf_gate.store.database.schema import list_revisions
from hf_gate.store.removal import remove_files, remove_tables
from hf_gate.store.rows.tray import (
    list_begun_decision_runs,
    list_due_decisions,
    list_failed_decisions,
    list_waiting_decisions,
)
from hf_gate.store.store_path import parse_path
from hf_gate.store.write_lock import Holder
from hf_gate.workspace.rows.backups import Restore, restore, write_backup
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import (
    EEG,
    ENDPOINT,
    add_migration,
    label_revision,
    make_old_store,
    mode_of,
    record,
    store_records,
)
from tests.kits.stores import empty_place as place

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
        assert [read_endorsers(store, act) for act in ("p1", "p2", "p3", "e1")] == [
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
        assert len(store_records(store, EEG, [record(1)])) == 1


def test_a_backup_of_a_pre_release_is_refused(tmp_path: Path) -> None:
    store, backup = tmp_path / "desk.db", tmp_path / "copy.db"
    _old(str(store))
    label_revision(str(store), "0006")
    write_backup(store, backup)
    wish = Restore(backup, tmp_path / "new.db", ENDPOINT, None, {}, lambda _: None, "lena", 1)
    with pytest.raises(StoreTooOld, match=re.escape(str(backup))):
        restore(wish, Holder(1), wait=0)
    assert not (tmp_path / "new.db").exists()


def test_decisions_that_a_run_had_begun_to_send_keep_what_was_shown(place: str, tmp_path: Path) -> None:
    """What it did not send waits again after the upgrade, and its version and end are compared as before."""
    with closing(make_old_store(place, "0023", tmp_path / "migrations")) as db:
        db.run("DELETE FROM tray")
        (request, repo), *_ = db.rows("SELECT id, repo_id FROM requests WHERE record_id IS NOT NULL ORDER BY id")
        change = (
            b'{"repo": "a/b", "repo_type": "model", "request_id": null, "user_id": null, "user": null, "asked_at":'
            b' "2026-01-01T00:00:00.000Z", "answers_digest": "", "from": "pending", "to": "accepted", "reason": null,'
            b' "rule": "direct", "policy": null, "policy_digest": null, "because": [], "until": null, "at_end": null,'
            b' "row": 1}'
        )
        db.run(
            "INSERT INTO runs (id, kind, actor, state, made_at, total, counts, verbs, member)"
            " VALUES ('r_cutoff', 'direct', 'mia', 'interrupted', 5, 1, '{}', '{\"accept\":1}', 'm_1')"
        )
        db.run(
            "INSERT INTO changes (run, n, repo_id, request_id, change, state, why) VALUES"
            " ('r_cutoff', 1, ?, ?, ?, 'started', '')",
            (repo, request, change),
        )
        db.run(
            "INSERT INTO tray (request_id, version, verb, actor, batch, made_at, leaves_at, run, member, hand_terms)"
            " VALUES (?, 'v1', 'accept', 'mia', 'b_1', 4, 4, 'r_cutoff', 'm_1', '{\"written\":null}')",
            (request,),
        )
    with open_store(place, endpoint=ENDPOINT) as store:
        (run,) = list_begun_decision_runs(store)
        with store.writing() as write:
            write.set_change_states(run.id, [(1, "planned", "")])
            write.release_unsent(run, 9)
        (waiting,) = list_due_decisions(store, 9)
        assert (waiting.change.version, waiting.batch, waiting.change.end) == ("v1", "b_1", GrantEnd(None, shown_at=0))


def test_a_failed_decision_leaves_its_note_behind_and_an_end_without_a_time_is_read_again(
    place: str, tmp_path: Path
) -> None:
    with closing(make_old_store(place, "0023", tmp_path / "migrations")) as db:
        db.run("DELETE FROM tray")
        first, second, third = (
            row[0] for row in db.rows("SELECT id FROM requests WHERE record_id IS NOT NULL LIMIT 3")
        )
        for request, outcome in ((first, None), (second, "stale"), (third, "open")):
            db.run(
                "INSERT INTO tray (request_id, version, verb, actor, batch, made_at, outcome, member, hand_terms, note)"
                " VALUES (?, 'v', 'accept', 'mia', 'b', 4, ?, 'm_1', '{\"written\":null}', 'Came with Bo.')",
                (request, outcome),
            )
    with open_store(place, endpoint=ENDPOINT) as store:
        (waiting,) = list_waiting_decisions(store)
        assert (waiting.change.note, waiting.change.end) == ("Came with Bo.", GrantEnd(None, shown_at=0))
        failed = list_failed_decisions(store, "m_1")
        assert [(one.outcome, one.change.note) for one in failed] == [("stale", None), ("refused", None)]
