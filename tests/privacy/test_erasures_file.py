"""The file of erasures: an erasure that was cut off is finished, and a file that is not one is refused."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from hf_gate.approvals.rows.approvals import write_endorsement
from hf_gate.approvals.rows.plans import save_plan
from hf_gate.core.events import events as e
from hf_gate.core.queued_decisions import QueuedChange
from hf_gate.core.runs import RunKind, RunState
from hf_gate.core.stored_rows import ChangeRow, RequestRow, RunRow
from hf_gate.errors import StoreDamaged, StoreUnavailable
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.policies.facts.tables import NO_ACCOUNT
from hf_gate.privacy.rows.erasure import count_parts, delete_expired
from hf_gate.privacy.rows.erasure_file import append_record, make_record, read_records
from hf_gate.privacy.rows.erasure_repetition import repeat_erasures, scrub
from hf_gate.privacy.rows.person_data import read_person_data
from hf_gate.privacy.rows.written_files import find_written_files, record_file
from hf_gate.store.rows.tray import add_waiting_decisions, list_recent_decisions
from hf_gate.store.store import Store
from hf_gate.store.writing.search_index import read_index_version
from hf_gate.verdicts.plan.change_builders import PlanSubject, make_change
from hf_gate.workspace.rows.backups import write_backup
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, hub_id, mode_of, new_schema, new_store, record, store_records
from tests.kits.word_search import find_words_in_files, find_words_on_server

WORDS = ["quokka-zzyx", "quokka-zzyx@example.org", "study of kxqjz"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two people."""
    file = tmp_path / "desk.db"
    with open_store(file, endpoint=ENDPOINT) as store:
        people = [record(1, name=WORDS[0], answers={"Why": WORDS[2]}), record(2, name="bob")]
        store_records(store, EEG, people)
    return file


def _append(path: Path) -> Path:
    erasures = path.with_name("erasures.jsonl")
    with open_store(path, endpoint=ENDPOINT) as store:
        (row,) = store.find_by_identity(None, WORDS[0])
        append_record(erasures, make_record(store, row.person.id, 5))
    return erasures


def test_an_erasure_that_was_cut_off_is_finished_at_the_next_opening(path: Path, tmp_path: Path) -> None:
    erasures = _append(path)
    assert mode_of(erasures) == 0o600
    assert find_words_in_files(tmp_path, WORDS), "nothing but the hashes is written yet"
    with pytest.raises(StoreUnavailable, match="still has data of erased people"):
        open_store(path, endpoint=ENDPOINT, read_only=True)
    with open_store(path, endpoint=ENDPOINT) as store:
        assert store.find_by_identity(None, WORDS[0]) == []
        assert store.find_by_identity(None, "bob")
    assert find_words_in_files(tmp_path, WORDS) == []
    open_store(path, endpoint=ENDPOINT, read_only=True).close()


def _people(names: Mapping[int, str]) -> list[dict[str, Any]]:
    answers = {"Why": "study of brains"}
    return [record(n, name=names.get(n, f"walrus-{n:03}"), answers=answers) for n in range(1, 41)]


def _change_names(store: Store) -> None:
    store_records(store, EEG, _people({1: WORDS[0]}))
    store_records(store, EEG, _people({1: "zebra-new", 2: "robert"}), at=2_000)


def _is_index_damaged(store: Store) -> bool:
    try:
        store.reads.rows("SELECT rowid FROM grams WHERE grams MATCH ? LIMIT 1", ('"any"',))
        return store.reads.rows("PRAGMA integrity_check(grams)") != [("ok",)]
    except StoreDamaged:
        return True


def _check_index(store: Store) -> None:
    assert store.reads.rows("PRAGMA integrity_check") == [("ok",)]
    assert not _is_index_damaged(store)
    found = {row[0] for row in store.reads.rows("SELECT rowid FROM grams WHERE grams MATCH 'bra'")}
    expected = {row[0] for row in store.reads.rows("SELECT id FROM texts WHERE text LIKE '%bra%'")}
    assert found == expected


def test_somebody_whose_name_changed_is_erased_and_the_store_stays_sound(tmp_path: Path) -> None:
    file, erasures = tmp_path / "desk.db", tmp_path / "erasures.jsonl"
    with open_store(file, endpoint=ENDPOINT) as store:
        _change_names(store)
        (row,) = store.find_by_identity(None, "zebra-new")
        append_record(erasures, make_record(store, row.person.id, 5))
        assert repeat_erasures(store, erasures)
        _check_index(store)
        store_records(store, EEG, _people({1: "zebra-new", 2: "bobby"}), at=3_000)
        _check_index(store)
        assert find_words_in_files(tmp_path, [WORDS[0], "zebra-new"]) == []
    with open_store(file, endpoint=ENDPOINT) as store:
        assert store.find_by_identity(None, "bobby")
        assert not verify_ledger(store, with_tables=True).broken


def test_old_requests_of_somebody_whose_name_changed_are_deleted_and_the_store_stays_sound(tmp_path: Path) -> None:
    with open_store(tmp_path / "desk.db", endpoint=ENDPOINT) as store:
        _change_names(store)
        assert delete_expired(store, "pending", 1 << 60, limit=2, at=9, actor="run") == 2
        assert scrub(store)
        _check_index(store)
        store_records(store, EEG, _people({1: "zebra-new", 2: "bobby", 3: "carol"}), at=3_000)
        _check_index(store)
        assert find_words_in_files(tmp_path, ["zebra-new"]) == []


def test_names_change_between_erasures_and_the_store_stays_sound(tmp_path: Path) -> None:
    chance, erasures = random.Random(7), tmp_path / "erasures.jsonl"
    with open_store(tmp_path / "desk.db", endpoint=ENDPOINT) as store:
        for turn in range(1, 41):
            number = chance.randint(1, 12)
            name = "".join(chance.choices("abcde", k=6))
            store_records(store, EEG, [record(number, name=name, fullname=name[::-1])], at=1_000 * turn)
            found = store.find_by_identity(None, name)
            if found and turn % 4 == 0:
                append_record(erasures, make_record(store, found[0].person.id, turn))
                assert repeat_erasures(store, erasures)
            assert store.reads.rows("PRAGMA integrity_check") == [("ok",)], turn


def _erase_here(store: Store, name: str) -> None:
    """Erase a person from a store; the list of erasures is beside it."""
    assert store.erasures is not None
    (row,) = store.find_by_identity(None, name)
    append_record(store.erasures, make_record(store, row.person.id, 5))
    assert repeat_erasures(store, store.erasures)


def test_an_erasure_rebuilds_a_search_index_that_is_damaged(path: Path, tmp_path: Path) -> None:
    with open_store(path, endpoint=ENDPOINT) as store:
        store_records(store, EEG, _people({1: WORDS[0]}))
        erasures, (row,) = path.with_name("erasures.jsonl"), store.find_by_identity(None, "walrus-002")
        append_record(erasures, make_record(store, row.person.id, 5))
        with store.maintaining() as db:
            db.run("UPDATE grams_data SET block = zeroblob(length(block)) WHERE id > 1000")
        assert _is_index_damaged(store)
        assert repeat_erasures(store, erasures)
        _check_index(store)
    assert find_words_in_files(tmp_path, ["walrus-002"]) == []


@pytest.mark.parametrize("is_mixed", [False, True])
def test_an_erasure_removes_trigrams_that_another_version_indexed(path: Path, tmp_path: Path, is_mixed: bool) -> None:
    with open_store(path, endpoint=ENDPOINT) as store:
        store_records(store, EEG, _people({}))
        assert store.setting("search index") == read_index_version()
        (row,) = store.find_by_identity(None, "walrus-002")
        with store.maintaining() as db:
            db.run("INSERT INTO grams (rowid, text) VALUES (?, 'qxzjv')", (row.id,))
            db.run("UPDATE settings SET value = 'older' WHERE key = 'search index'")
        if is_mixed:
            store_records(store, EEG, [record(50, name="newcomer")])
            assert store.setting("search index") is None
        assert find_words_in_files(tmp_path, ["qxzjv"])
        _erase_here(store, "walrus-002")
        assert store.setting("search index") == read_index_version()
        assert find_words_in_files(tmp_path, ["qxzjv", "walrus-002"]) == []
        _check_index(store)


def test_a_reader_that_keeps_the_log_delays_only_the_last_step(path: Path, tmp_path: Path) -> None:
    erasures = _append(path)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM people").fetchone()
    with open_store(path, endpoint=ENDPOINT) as store:  # opening goes on, although the log cannot be emptied yet
        assert store.find_by_identity(None, WORDS[0]) == []
        reader.close()
        assert repeat_erasures(store, erasures)
        assert find_words_in_files(tmp_path, WORDS) == []


def test_a_long_answer_leaves_nothing_in_free_pages(path: Path) -> None:
    chance = random.Random(7)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=40)) for _ in range(3000)]
    with open_store(path, endpoint=ENDPOINT) as store:
        store_records(store, EEG, [record(3, name="wzkqj", answers={"Why": " ".join(words)})])
        (row,) = store.find_by_identity(None, "wzkqj")
        erasures = path.with_name("erasures.jsonl")
        append_record(erasures, make_record(store, row.person.id, 5))
        assert repeat_erasures(store, erasures)
    content = path.read_bytes()
    assert [word for word in words if word.encode() in content] == []


def test_a_line_that_a_crash_cut_is_passed_over_and_the_next_one_counts(path: Path) -> None:
    erasures = path.with_name("erasures.jsonl")
    erasures.write_bytes(b'{"store":"0123')
    assert read_records(erasures) == []
    _append(path)
    (found,) = read_records(erasures)
    assert found.at == 5


@pytest.mark.parametrize(
    "line", [b"hello\n", b'{"store":"a","at":1,"person":"zz"}\n', b'{"person":"aa"}\n', b"[]\n", b"\xff\n"]
)
def test_a_file_that_is_no_list_of_erasures_is_refused_with_the_line(path: Path, line: bytes) -> None:
    path.with_name("erasures.jsonl").write_bytes(b"\n" + line)
    with pytest.raises(StoreDamaged, match="line 2 is not an erasure"):
        open_store(path, endpoint=ENDPOINT)


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    path.with_name("erasures.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match="not a regular file"):
        open_store(path, endpoint=ENDPOINT)


def test_stores_that_share_a_folder_do_not_erase_from_each_other(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with open_store(other, endpoint=ENDPOINT) as store:
        store_records(store, EEG, [record(1, name=WORDS[0])])
    _append(path)
    open_store(path, endpoint=ENDPOINT).close()
    with open_store(other, endpoint=ENDPOINT) as store:
        assert store.find_by_identity(None, WORDS[0]), "it has its own key"


# ---- texts that name the person ----------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store can be made."""
    if request.param == "sqlite":
        return str(tmp_path / "desk.db")
    return new_schema(request.getfixturevalue("postgres_uri"))


def _note(store: Store, about: str, text: str) -> None:
    (row,) = store.find_by_identity(None, about)
    entry = e.LedgerEntry(
        event=e.NoteWritten(), at=3, actor="mia", request=row.id, person=row.person.id, private={"note": text}
    )
    with store.writing() as write:
        write.append(EEG, [entry])


def _notes(store: Store) -> set[object]:
    entries = store.entries(limit=1000)
    return {entry.private["note"] for entry in entries if entry.link.kind == "NoteWritten" and entry.private}


def _erase(store: Store, erasures: Path, name: str) -> None:
    (row,) = store.find_by_identity(None, name)
    append_record(erasures, make_record(store, row.person.id, 5))
    assert repeat_erasures(store, erasures)


@pytest.mark.parametrize(
    ("name", "fullname", "gone", "stays"),
    [
        ("bo", "", ["Came with Bo (zzyx).", "bo's zzyx", "@bo: zzyx"], ["a bobsled", "bo-lin came", "Robo-bo2"]),
        ("x7", "Li", ["Li of zzyx"], ["listed", "x77"]),
        ("quokka-yxwv", "王芳", ["我见过王芳了 zzyx"], ["王明"]),
        ("quokka-yxwv", "?", [], ["Really?"]),
    ],
)
def test_a_note_that_names_a_person_with_a_short_name_goes(
    place: str, tmp_path: Path, name: str, fullname: str, gone: list[str], stays: list[str]
) -> None:
    erasures = tmp_path / "erasures.jsonl"
    with open_store(place, endpoint=ENDPOINT, erasures=erasures) as store:
        store_records(store, EEG, [record(1, name=name, fullname=fullname), record(2, name="carol")])
        for text in (*gone, *stays):
            _note(store, "carol", text)
        assert _notes(store) == {*gone, *stays}
        _erase(store, erasures, name)
        assert _notes(store) == set(stays)
        assert not verify_ledger(store, with_tables=True).broken
    assert _traces(place, ["zzyx", *gone]) == []


def _statistics(place: str) -> str:
    """What the server's statistics hold of the values of a store."""
    samples = "most_common_vals::text, histogram_bounds::text, most_common_elems::text"
    sql = f"SELECT tablename, attname, {samples} FROM pg_stats WHERE schemaname = current_schema()"  # noqa: S608
    with psycopg.connect(place, autocommit=True) as connection:
        return str(connection.execute(sql).fetchall())


def test_the_statistics_of_the_server_keep_no_name(postgres_uri: str, tmp_path: Path) -> None:
    place, erasures, names = new_store(postgres_uri), tmp_path / "erasures.jsonl", [WORDS[0], "walrus-yxwv"]
    with open_store(place, endpoint=ENDPOINT, erasures=erasures) as store:
        people = [record(n, name=name, answers={"Why": WORDS[2]}) for n, name in enumerate(names, 1)]
        store_records(store, EEG, people)
        with store.writing() as write:
            for n, name in enumerate(names, 1):
                write.write_binding("partners", name, hub_id(n))
                write.write_binding("guests", name, hub_id(n))
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("ANALYZE")
        found = _statistics(place)
        assert all(name in found for name in names), "the server took samples"
        for name in names:  # after the second one some tables are empty, and ANALYZE leaves the statistics of those
            _erase(store, erasures, name)
            assert name not in _statistics(place)
        assert WORDS[2] not in _statistics(place)


def test_a_match_with_a_table_goes_from_a_backup_that_does_not_know_the_person_yet(tmp_path: Path) -> None:
    """The table listed the name before the person asked for access."""
    path, erasures, name = tmp_path / "desk.db", tmp_path / "erasures.jsonl", "quokka-zzyx"
    with open_store(path, endpoint=ENDPOINT, erasures=erasures) as store:
        store_records(store, EEG, [record(2, name="bob")])
        with store.writing() as write:
            write.write_binding("partners", name, hub_id(1))
            write.write_binding("partners", "bob", hub_id(2))
        write_backup(path, tmp_path / "backup.db")
        store_records(store, EEG, [record(1, name=name), record(2, name="bob")])
        _erase(store, erasures, name)
    with open_store(tmp_path / "backup.db", endpoint=ENDPOINT, erasures=erasures) as copy:
        assert find_words_in_files(tmp_path, [name, hub_id(1)]) == []
        assert dict(copy.bindings("partners")) == {"bob": hub_id(2)}


def test_backups_exports_and_copies_beside_the_store_are_named_with_their_time(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    write_backup(path, tmp_path / "backup.db")
    (tmp_path / "backup.db").rename(tmp_path / "elsewhere.db")
    record_file(path, tmp_path / "export")
    (tmp_path / "export").mkdir()
    for name in ("desk.db.restoring", "desk.db.before-restore", "backup.db.partial"):
        (tmp_path / name).write_bytes(content)
    found = [(one.path.name, one.made_at is None, one.is_copy) for one in find_written_files(path)]
    assert found == [
        ("backup.db", True, True),
        ("backup.db.partial", False, True),
        ("export", False, False),
        ("desk.db.restoring", False, True),
        ("desk.db.before-restore", False, True),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Came with Jose\u0301 Yxwvut.",
        "JOSÉ  YXWVUT came.",
        "Came with José\nYxwvut",
        "José\u00a0Yxwvut",
        "Josｅ́ Yxwvut",
    ],
)
def test_a_note_that_spells_the_name_in_another_way_goes(place: str, tmp_path: Path, text: str) -> None:
    """A name can be typed with combined accents, and copied with line ends or other blanks."""
    erasures = tmp_path / "erasures.jsonl"
    with open_store(place, endpoint=ENDPOINT, erasures=erasures) as store:
        store_records(store, EEG, [record(1, name="quokka-zzyx", fullname="José Yxwvut"), record(2, name="carol")])
        _note(store, "carol", text)
        _erase(store, erasures, "quokka-zzyx")
        assert _notes(store) == set()
    assert _traces(place, [text, "Yxwvut"]) == []


def test_the_erasure_of_a_hidden_person_keeps_the_names_that_are_matched_with_nobody(
    place: str, tmp_path: Path
) -> None:
    """A name without an account must stay so: whoever takes it later is somebody else."""
    erasures = tmp_path / "erasures.jsonl"
    with open_store(place, endpoint=ENDPOINT, erasures=erasures) as store:
        (number,) = store_records(store, EEG, [record(1, is_hidden=True)])
        with store.writing() as write:
            write.write_binding("partners", "nobody-yet", NO_ACCOUNT)
        person = store.requests([number])[number].person
        assert count_parts(store, person.id).bindings == 0
        assert read_person_data(store, person.id).bindings == []
        _erase(store, erasures, person.pseudonym)
        assert dict(store.bindings("partners")) == {"nobody-yet": NO_ACCOUNT}


def test_a_note_in_the_tray_that_names_a_person_goes(place: str, tmp_path: Path) -> None:
    erasures = tmp_path / "erasures.jsonl"
    name = "quokka-zzyx"
    with open_store(place, endpoint=ENDPOINT, erasures=erasures) as store:
        store_records(store, EEG, [record(1, name=name), record(2, name="carol"), record(3, name="dan")])
        for who, note in (("carol", f"Came with {name}."), ("dan", "Came alone.")):
            (row,) = store.find_by_identity(None, who)
            add_waiting_decisions(store, [_queue(row, note)], (), [row.id])
        (row,) = store.find_by_identity(None, "dan")
        with store.writing() as write:  # as another run whose rest waits again, without a note
            (document,) = write.db.row("SELECT change FROM changes WHERE run = ?", (f"r_{row.id}",)) or ()
            older = {key: value for key, value in msgspec.json.decode(bytes(document)).items() if key != "note"}
            write.db.run(
                "INSERT INTO runs (id, kind, actor, state, made_at, total, counts, verbs)"
                " VALUES ('r_old', 'direct', 'mia', 'queued', 1, 1, '{}', '{}')"
            )
            write.write_changes(
                [ChangeRow(run="r_old", n=1, repo=EEG, request=row.id, change=msgspec.json.encode(older))]
            )
        _erase(store, erasures, name)
        assert [item.change.note for item in list_recent_decisions(store, "m_1", 5)] == ["Came alone.", None]
    assert _traces(place, [name, "Came with"]) == []


def test_the_version_that_a_decision_was_made_on_goes_with_the_person(place: str, tmp_path: Path) -> None:
    """The version is a digest of the answers, by which guesses could be tested."""
    erasures = tmp_path / "erasures.jsonl"
    name = "quokka-zzyx"
    with open_store(place, endpoint=ENDPOINT, erasures=erasures) as store:
        store_records(store, EEG, [record(1, name=name, answers={"Country": "DE"})])
        (row,) = store.find_by_identity(None, name)
        add_waiting_decisions(store, [_queue(row, "Known.")], (), [row.id])
        with store.writing() as write:
            write.db.run("UPDATE runs SET state = 'ended'")
            write.db.run("UPDATE changes SET state = 'done'")
        assert list_recent_decisions(store, "m_1", 1)[0].change.version == row.version.token
        _erase(store, erasures, name)
        (left,) = list_recent_decisions(store, "m_1", 1)
        assert (left.change.version, left.change.answers_digest, left.change.note) == ("", "", None)


def _queue(row: RequestRow, note: str) -> tuple[RunRow, ChangeRow]:
    assert row.request is not None
    change = make_change(PlanSubject(row.request, row.state, row.id), "accepted", rule="direct")
    held = QueuedChange(**msgspec.structs.asdict(change), version=row.version.token, note=note)
    run = RunRow(
        id=f"r_{row.id}", kind=RunKind.DIRECT, actor="mia", state=RunState.QUEUED, made_at=row.id, member="m_1"
    )
    return run, ChangeRow(run=run.id, n=1, repo=row.repo, request=row.id, change=msgspec.json.encode(held))


def test_a_note_under_an_old_name_goes(place: str, tmp_path: Path) -> None:
    erasures, old = tmp_path / "erasures.jsonl", "quokka-zzyx"
    with open_store(place, endpoint=ENDPOINT, erasures=erasures) as store:
        store_records(store, EEG, [record(1, name=old, fullname="Kxqjz Vjqxh"), record(2, name="carol")])
        _note(store, "carol", f"Shares a desk with {old}.")
        _note(store, "carol", "Wrote a paper with Kxqjz Vjqxh.")
        _note(store, "carol", "Works alone.")
        store_records(store, EEG, [record(1, name="zebra-new"), record(2, name="carol")], at=2_000)
        _erase(store, erasures, "zebra-new")
        assert _notes(store) == {"Works alone."}
        assert not verify_ledger(store, with_tables=True).broken
    assert _traces(place, [old, "Kxqjz", "Shares a desk", "Wrote a paper", "zebra-new"]) == []


def _traces(place: str, words: list[str]) -> list[str]:
    return find_words_on_server(place, words) if "://" in place else find_words_in_files(Path(place).parent, words)


@pytest.mark.parametrize("is_old", [True, False])
def test_a_plan_goes_with_those_who_agreed_to_it(path: Path, *, is_old: bool) -> None:
    with open_store(path, endpoint=ENDPOINT) as store:
        store_records(store, EEG, [record(1, "rejected", name=WORDS[0], answers={"Why": WORDS[2]})], at=2_000)
        people = {name: store.find_by_identity(None, name)[0] for name in (WORDS[0], "bob")}
        for name, row in people.items():
            document = msgspec.json.encode({"changes": [{"row": row.id}]})
            save_plan(store, f"plan-{name}", document, 1, {})
            with store.writing() as write:
                write_endorsement(write, f"plan-{name}", "id-mia", "rules")
        if is_old:
            assert delete_expired(store, "rejected", 10**15, limit=10, at=3_000, actor="lena") == 1
        else:
            erasures = path.with_name("erasures.jsonl")
            append_record(erasures, make_record(store, people[WORDS[0]].person.id, 5))
            assert repeat_erasures(store, erasures)
        assert store.reads.rows("SELECT digest FROM plans") == [("plan-bob",)]
        assert store.reads.rows("SELECT act FROM endorsements") == [("plan-bob",)]
