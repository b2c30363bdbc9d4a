"""store remove: what hf-gate made goes, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, PROGRAM, Console, request_access, status_of
from tests.kits.store_workspace import console, database, own_files, place
from tests.kits.terminal import Terminal

__all__ = ["console", "place"]


def test_without_a_workspace_removing_leaves_nothing_of_ours(fresh: LocalHub, place: Path) -> None:
    request_access(fresh, ["ada-l"])
    console = Console(fresh)
    console.run("accept", f"ada-l@{MODEL}")
    assert own_files(Path.home())
    ended = console.run("store", "remove", "--yes", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, schema_of("store-remove"))
    assert own_files(Path.home()) == []
    assert list(place.iterdir()) == []
    assert status_of(fresh, "ada-l") == "accepted"
    assert console.run("store", "remove", "--yes").code == 0, "a second time there is nothing"


def test_a_workspace_keeps_its_owners_files_and_loses_ours(console: Console, place: Path) -> None:
    (place / "desk.db.bak").write_text("mine")
    config, rows = place / "hf-gate.yaml", place / "friends.csv"
    config.write_text(config.read_text() + "tables: {friends: {file: friends.csv, key: email}}\n")
    rows.write_text("email\nada@example.org\n")
    assert console.run("table", "add", "friends", "email=bob@example.org").code == 0, "leaves the lock of saved files"
    assert (place / ".hf-gate-tables.lock").exists()
    assert console.run("run", "--once").code == 0, "keeps a copy of hf-gate.yaml"
    assert list(Path.home().rglob("configs/*.yaml"))
    ended = console.run("store", "remove", "--yes")
    assert ended.code == 0, ended.err
    stays = {".gitignore", "hf-gate.yaml", "policies", "desk.db.bak", "friends.csv"}
    assert {path.name for path in place.iterdir()} == stays
    for name in ("hf-gate.yaml", "policies/starter.yaml", "friends.csv"):
        assert f"Kept, because it is your file: {place / name}" in ended.out
    assert own_files(Path.home()) == []


def test_a_removal_names_every_file_that_hf_gate_wrote_and_leaves(console: Console, place: Path) -> None:
    apart = place.parent / "apart"
    apart.mkdir()
    (place / "roster").mkdir()
    (place / "roster" / "partners.csv").write_text("email\nada@example.org\n")
    policy = place / "policies" / "starter.yaml"
    policy.write_text(policy.read_text() + "tables: {partners: {file: roster/partners.csv, key: email}}\n")
    words = (
        ["store", "backup", str(apart / "copy.db")], ["store", "export", str(apart / "all")],
        ["plan", "--out", str(apart / "later.json")], ["undo", "--out", str(apart / "back.json")],
        ["audit", "export", "--out", str(apart / "ledger.jsonl")], ["audit", "checkpoint", "--out", "heads.json"],
    )  # fmt: skip
    for each in words:
        ended = console.run(*each)
        assert ended.code == 0, ended.err
    (apart / "ledger.jsonl").unlink()
    stays = console.run("store", "remove", "--yes", "--json").json["stays"]
    written = {apart / name for name in ("copy.db", "all", "later.json", "back.json")} | {place / "heads.json"}
    assert {str(path) for path in (*written, place / "roster" / "partners.csv")} <= set(stays)
    assert str(apart / "ledger.jsonl") not in stays, "it is no longer there"


def test_nothing_is_removed_without_a_yes(console: Console, place: Path) -> None:
    ended = console.run("store", "remove")
    assert ended.code == 6
    assert "--yes" in ended.hint
    assert (place / "desk.db").exists()


def test_a_terminal_asks_once(console: Console, place: Path) -> None:
    for typed, code in (("n", 6), ("y", 0)):
        with Terminal([*PROGRAM, "store", "remove"], console.environment()) as terminal:
            terminal.until("Delete all data of hf-gate in")
            terminal.press(f"{typed}\r")
            assert terminal.end() == code
    assert not list(place.glob("desk.db*"))


def test_a_question_that_is_answered_with_no_writes_nothing(
    console: Console, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (place, elsewhere):
        before = {path: path.stat().st_mtime_ns for path in (*own_files(Path.home()), *place.iterdir())}
        monkeypatch.chdir(folder)
        with Terminal([*PROGRAM, "store", "remove"], console.environment()) as screen:
            screen.until("Delete all data of hf-gate in")
            screen.press("n\r")
            assert screen.end() == 6
        assert {path: path.stat().st_mtime_ns for path in (*own_files(Path.home()), *place.iterdir())} == before
    assert list(elsewhere.iterdir()) == []


def test_a_removal_warns_of_ends_that_will_not_come(console: Console, place: Path) -> None:
    assert console.run("ends", "set", f"ada-l@{MODEL}", "--until", "2027-06-30", "--yes").code == 0
    warning = "Warning: nothing ends the access of 1 person afterwards."
    assert warning in console.run("store", "remove").err
    assert (place / "desk.db").exists()
    removed = console.run("store", "remove", "--yes", "--json")
    assert warning in removed.err
    assert removed.json["ends"] == 1
    assert "Warning" not in console.run("store", "remove", "--yes").err, "there is no store any more"


def test_files_beside_the_store_and_exports_of_a_person_are_named(console: Console, place: Path) -> None:
    (place / "erasures.jsonl").write_text("")
    settings = Path.home() / ".config" / "hf-gate" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("")
    assert console.run("person", "export", "bob", "bob.json").code == 0
    assert console.run("store", "backup", "copy.db").code == 0
    kept = console.run("store", "remove", "--yes").out
    assert f"Kept, because a restored backup needs it: {place / 'erasures.jsonl'}" in kept
    names = [place / name for name in ("bob.json", "bob.html", "copy.db", "copy.db.json", ".gitignore")]
    for path in (*names, settings):
        assert f"Kept, because it is your file: {path}" in kept
    listed = {line.rpartition(": ")[2] for line in kept.splitlines() if line.startswith("Kept")}
    left = {str(path) for path in place.rglob("*") if path.is_file()}
    assert left <= listed, "nothing else is left"


def test_nothing_is_removed_while_a_process_has_the_store_open(console: Console, place: Path) -> None:
    with database(place / "desk.db") as reader:
        reader.execute("SELECT count(*) FROM requests").fetchone()
        ended = console.run("store", "remove", "--yes")
    assert ended.code == 75, ended.err
    assert (place / "desk.db").exists()
    assert console.run("store", "check").code == 0


def test_nothing_is_removed_while_a_change_is_unsettled(console: Console, place: Path) -> None:
    with database(place / "desk.db") as db:
        db.execute("UPDATE changes SET state = 'open'")
    ended = console.run("store", "remove", "--yes")
    assert ended.code == 6
    assert "1 change may have been sent" in ended.error
    assert (place / "desk.db").exists()


def test_the_hint_of_a_damaged_store_leads_out_of_it(console: Console, place: Path) -> None:
    (place / "desk.db").write_bytes(b"SQLite format 3\0" + b"?" * 9000)
    hint = console.run("ls").hint
    assert console.run("sync", "--full").hint == hint, "there is nothing to read into"
    for words in ("hf-gate store remove", "hf-gate sync --full"):
        assert words in hint
        more = ["--yes"] if "remove" in words else []
        ended = console.run(*words.split()[1:], *more)
        assert ended.code == 0, ended.err
    assert "ada-l" in console.run("ls", "--status", "all").out


def test_a_damaged_store_is_removed(console: Console, place: Path) -> None:
    (place / "desk.db").write_bytes(b"SQLite format 3\0" + b"?" * 9000)
    assert console.run("store", "remove", "--yes").code == 0
    assert not list(place.glob("desk.db*"))


def test_links_in_the_way_are_removed_and_what_they_point_to_stays(
    console: Console, place: Path, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (place / "desk.db.restoring").symlink_to(target)
    (place / "desk.db.before-0005").symlink_to(target)
    assert console.run("store", "remove", "--yes").code == 0
    assert target.read_text() == "mine"
    assert not list(place.glob("desk.db*"))
