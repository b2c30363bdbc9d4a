"""store: what lies on the disk is checked, exported, copied, put back and removed; and nothing else is touched."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.application.ledger_files import verify_exported_ledger
from hf_gate.application.workspace import Workspace
from hf_gate.cli.schemas import SCHEMAS
from hf_gate.domain.letters import LetterState
from hf_gate.domain.members import Member, MemberRole
from hf_gate.domain.sessions import LinkState, NewSession, SignInMethod
from hf_gate.hub.local_hub_headers import get_world_id
from hf_gate.store.letters import list_letters
from hf_gate.store.members import Members
from hf_gate.store.opening import open_store
from hf_gate.store.sessions import Sessions
from hf_gate.testing import LocalHub
from hf_gate.web.private_host import ensure_private_host
from tests.contract.store_kit import new_schema

from .console import MODEL, PROGRAM, Console, fill, status_of
from .terminal import Terminal


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, in which the program runs."""
    folder = tmp_path / "eeg"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def console(fresh: LocalHub, place: Path) -> Console:
    """A workspace with two people, of whom one was let in."""
    assert place.exists()
    fill(fresh, ["ada-l", "bob"], answers={"Purpose": "to study sleep"})
    console = Console(fresh)
    assert console.run("init", MODEL).code == 0
    assert console.run("accept", f"ada-l@{MODEL}").code == 0
    return console


def own_files(home: Path) -> list[Path]:
    """Everything below the home folder that hf-gate could have made."""
    return sorted(path for path in home.rglob("*") if "hf-gate" in path.parts)


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db, db:
        yield db


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- where it lies ------------------------------------------------------------------------------------------------------


def test_the_first_write_without_a_workspace_says_once_where_names_are_kept(fresh: LocalHub, place: Path) -> None:
    fill(fresh, ["ada-l", "bob"])
    console = Console(fresh)
    first = console.run("accept", f"ada-l@{MODEL}")
    line = next(line for line in first.err.splitlines() if "store remove" in line)
    kept = Path(line.removeprefix("Names and answers are stored in ").partition(". To delete them")[0])
    assert kept.is_file()
    assert "store remove" not in console.run("accept", f"bob@{MODEL}").err
    assert list(place.iterdir()) == []


# ---- while another process has it ---------------------------------------------------------------------------------------


def test_a_command_waits_for_a_process_that_has_the_store_and_names_it_meanwhile(console: Console, place: Path) -> None:
    with open_store(
        place / "desk.db", endpoint=console.hub.url, world=get_world_id(console.hub.url), command="hf-gate ui"
    ):
        waiting = console.start("accept", f"bob@{MODEL}")
        assert waiting.stderr is not None
        said = next((line.decode() for line in waiting.stderr if b"Waiting" in line), "")
    with waiting:
        assert waiting.wait(timeout=60) == 0
    assert f"up to 60 s for pid {os.getpid()} (hf-gate ui)" in said
    assert status_of(console.hub, "bob") == "accepted"


def test_a_command_waits_no_longer_than_it_may(console: Console, place: Path) -> None:
    with open_store(
        place / "desk.db", endpoint=console.hub.url, world=get_world_id(console.hub.url), command="hf-gate ui"
    ):
        ended = console.run("accept", f"bob@{MODEL}", "--max-wait", "1s")
    assert ended.code == 75
    assert f"is being written by pid {os.getpid()} (hf-gate ui)" in ended.error


# ---- remove -------------------------------------------------------------------------------------------------------------


def test_without_a_workspace_removing_leaves_nothing_of_ours(fresh: LocalHub, place: Path) -> None:
    fill(fresh, ["ada-l"])
    console = Console(fresh)
    console.run("accept", f"ada-l@{MODEL}")
    assert own_files(Path.home())
    name = fresh.url.removeprefix("http://")
    ended = console.run("store", "remove", "--yes", "--name", name, "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, SCHEMAS["store-remove"])
    assert own_files(Path.home()) == []
    assert list(place.iterdir()) == []
    assert status_of(fresh, "ada-l") == "accepted"
    assert console.run("store", "remove", "--yes", "--name", name).code == 0, "a second time there is nothing"


def test_a_workspace_keeps_its_owners_files_and_loses_ours(console: Console, place: Path) -> None:
    (place / "desk.db.bak").write_text("mine")
    ended = console.run("store", "remove", "--checkpoint", "heads.json", "--yes", "--name", "eeg")
    assert ended.code == 0, ended.err
    stays = {".gitignore", "hf-gate.yaml", "policies", "desk.db.bak", "heads.json"}
    assert {path.name for path in place.iterdir()} == stays
    for name in ("hf-gate.yaml", "policies/starter.yaml", "desk.db.bak"):
        assert f"Kept, because it is your file: {place / name}" in ended.out
    assert json.loads((place / "heads.json").read_text())["heads"]
    assert own_files(Path.home()) == []


@pytest.mark.parametrize("flags", [[], ["--yes"], ["--yes", "--name", "another"], ["--name", "eeg"]])
def test_nothing_is_removed_unless_it_was_named(console: Console, place: Path, flags: list[str]) -> None:
    ended = console.run("store", "remove", *flags)
    assert ended.code == 6
    assert "--yes --name eeg" in ended.hint
    assert ("--name another is not the name of this store" in ended.error) == ("another" in flags)
    assert (place / "desk.db").exists()


def test_on_a_terminal_a_checkpoint_is_offered_and_the_name_is_typed(console: Console, place: Path) -> None:
    for typed, code in (("another", 6), ("eeg", 0)):
        with Terminal([*PROGRAM, "store", "remove"], console.environment()) as terminal:
            terminal.until("File for a checkpoint")
            terminal.press("heads.json\r" if code == 0 else "\r")
            terminal.until("Type eeg to continue")
            terminal.press(f"{typed}\r")
            assert terminal.end() == code
    assert json.loads((place / "heads.json").read_text())["heads"]
    assert not list(place.glob("desk.db*"))


def test_nothing_is_removed_while_a_process_has_the_store_open(console: Console, place: Path) -> None:
    with database(place / "desk.db") as reader:
        reader.execute("SELECT count(*) FROM requests").fetchone()
        ended = console.run("store", "remove", "--yes", "--name", "eeg")
    assert ended.code == 75, ended.err
    assert (place / "desk.db").exists()
    assert console.run("store", "check").code == 0


def test_nothing_is_removed_while_a_change_is_unsettled(console: Console, place: Path) -> None:
    with database(place / "desk.db") as db:
        db.execute("UPDATE changes SET state = 'open'")
    ended = console.run("store", "remove", "--yes", "--name", "eeg")
    assert ended.code == 6
    assert "1 change may have been sent" in ended.error
    assert (place / "desk.db").exists()


def test_a_damaged_store_is_removed_only_when_that_is_said(console: Console, place: Path) -> None:
    (place / "desk.db").write_bytes(b"SQLite format 3\0" + b"?" * 9000)
    assert console.run("store", "remove", "--yes", "--name", "eeg").code == 1
    assert console.run("store", "remove", "--yes", "--name", "eeg", "--damaged").code == 0
    assert not list(place.glob("desk.db*"))


def test_links_in_the_way_are_removed_and_what_they_point_to_stays(
    console: Console, place: Path, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (place / "desk.db.restoring").symlink_to(target)
    (place / "desk.db.before-0005").symlink_to(target)
    assert console.run("store", "remove", "--yes", "--name", "eeg").code == 0
    assert target.read_text() == "mine"
    assert not list(place.glob("desk.db*"))


def test_a_workspace_called_all_is_one_store_like_any_other(
    console: Console, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place.rename(place.with_name("all"))
    monkeypatch.chdir(folder)
    ended = console.run("store", "remove", "--checkpoint", "heads.json", "--yes", "--name", "all")
    assert ended.code == 0, ended.err
    assert json.loads((folder / "heads.json").read_text())["heads"]


def test_every_store_of_a_user_goes_at_once_also_of_hubs_that_are_gone(place: Path) -> None:
    with LocalHub(requests=0) as one, LocalHub(requests=0) as two:
        for hub in (one, two):
            fill(hub, ["ada-l"])
            assert Console(hub).run("accept", f"ada-l@{MODEL}").code == 0
    ended = Console(one).run("store", "remove", "--all-hubs", "--yes", "--name", "all", "--json")
    assert ended.code == 0, ended.err
    assert len(ended.json["stores"]) == 2
    assert own_files(Path.home()) == []
    assert list(place.iterdir()) == []


# ---- export -------------------------------------------------------------------------------------------------------------


def test_an_export_holds_everything_and_proves_its_ledger(console: Console, place: Path) -> None:
    ended = console.run("store", "export", "out", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, SCHEMAS["store-export"])
    out = place / "out"
    requests = [json.loads(line) for line in (out / "requests.jsonl").read_text().splitlines()]
    assert {(row["user"], row["status"]) for row in requests} == {("ada-l", "accepted"), ("bob", "pending")}
    assert all(row["answers"] == {"Purpose": "to study sleep"} and row["record"] for row in requests)
    assert verify_exported_ledger((out / "ledger.jsonl").read_bytes().splitlines(keepends=True), "ledger.jsonl").ok
    assert (out / "workspace" / "policies" / "starter.yaml").read_text() == (
        place / "policies/starter.yaml"
    ).read_text()
    assert {mode(path) for path in out.rglob("*") if path.is_file()} == {0o600}
    assert {mode(path) for path in (out, *out.rglob("*")) if path.is_dir()} == {0o700}


def test_an_export_does_not_tell_the_private_host_name_of_the_desk(console: Console, place: Path) -> None:
    with database(place / "desk.db") as db:
        (endpoint,) = db.execute("SELECT value FROM about WHERE key = 'endpoint'").fetchone()
    with open_store(place / "desk.db", endpoint=endpoint, world=get_world_id(endpoint)) as store:
        name = ensure_private_host(cast("Workspace", SimpleNamespace(store=store)))
    assert console.run("store", "export", "out").code == 0
    files = [path for path in (place / "out").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if name.encode() in path.read_bytes()] == []


def test_an_export_never_writes_into_a_folder_that_holds_something(console: Console, place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "mine").touch()
    assert console.run("store", "export", "out").code == 2
    assert [path.name for path in (place / "out").iterdir()] == ["mine"]


# ---- check --------------------------------------------------------------------------------------------------------------


def test_a_sound_store_has_no_findings(console: Console) -> None:
    ended = console.run("store", "check", "--json")
    assert ended.code == 0, ended.json
    jsonschema.validate(ended.json, SCHEMAS["store-check"])
    assert ended.json["ok"]


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda path: path.chmod(0o644), "can be read by others"),
        (lambda path: path.with_name("desk.db.restoring").touch(0o600), "left by an interrupted restore"),
        (lambda path: _execute(path, "CREATE VIEW v AS SELECT 1"), "view v"),
        (lambda path: _execute(path, "DROP TRIGGER ledger_no_update"), "ledger_no_update is missing"),
        (
            lambda path: _execute(path, "UPDATE requests SET status = 'accepted' WHERE status = 'pending'"),
            "says accepted",
        ),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"?" * 9000), "damaged"),
    ],
    ids=["mode", "left over", "view", "trigger", "row", "damage"],
)
def test_each_harm_is_one_line_and_exit_code_1(
    console: Console, place: Path, harm: Callable[[Path], object], word: str
) -> None:
    harm(place / "desk.db")
    ended = console.run("store", "check", "--json")
    assert ended.code == 1
    assert any(word in line for line in ended.json["findings"]), ended.json


def _execute(path: Path, sql: str) -> None:
    with database(path) as db:
        db.execute(sql)


# ---- backup and restore -------------------------------------------------------------------------------------------------


def test_a_damaged_search_index_is_found_and_built_again(console: Console, place: Path) -> None:
    with database(place / "desk.db") as db:
        db.execute("UPDATE grams_data SET block = zeroblob(length(block)) WHERE id > 1000")
    found = console.run("store", "check")
    assert (found.code, "hf-gate store check --repair" in found.out) == (1, True), found.out
    refused = console.run("sync")
    assert refused.code != 0
    assert "hf-gate store check --repair" in refused.err
    repaired = console.run("store", "check", "--repair")
    assert (repaired.code, "It was built again." in repaired.out) == (0, True), repaired.out
    assert "No problems found" in repaired.out
    again = console.run("store", "check", "--repair", "--json")
    assert (again.code, again.json["repaired"]) == (0, False)
    jsonschema.validate(again.json, SCHEMAS["store-check"])
    listed = console.run("ls", "--status", "all", "--query", "sleep", "--json")
    assert {row["user"] for row in listed.json} == {"ada-l", "bob"}
    assert console.run("sync", "--full").code == 0
    assert console.run("store", "check").code == 0


def test_other_damage_is_not_repaired(console: Console, place: Path) -> None:
    with database(place / "desk.db") as db:
        db.execute("UPDATE requests SET status = 'rejected' WHERE status = 'accepted'")
    ended = console.run("store", "check", "--repair", "--json")
    assert (ended.code, ended.json["repaired"], len(ended.json["findings"])) == (1, False, 1), ended.json


def test_a_backup_is_one_private_file_and_is_never_written_over(console: Console, place: Path) -> None:
    ended = console.run("store", "backup", "copy.db", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, SCHEMAS["store-backup"])
    assert mode(place / "copy.db") == 0o600
    assert [path.name for path in place.glob("copy*")] == ["copy.db"]
    before = (place / "copy.db").read_bytes()
    (place / "link.db").symlink_to(place / "elsewhere.db")
    for name in ("copy.db", "link.db", "desk.db-wal"):
        assert console.run("store", "backup", name).code == 2
    assert (place / "copy.db").read_bytes() == before
    assert not (place / "elsewhere.db").exists()


def test_a_restored_store_lets_nobody_in_holds_the_tray_and_decides_nothing_before_a_full_reading(
    console: Console, place: Path
) -> None:
    _invite(console.hub, place / "desk.db", "mara")
    with database(place / "desk.db") as db:
        db.execute("INSERT INTO sessions VALUES ('digest', 'mara', 'link', 'Firefox on Linux', 1, 1)")
        db.execute(
            "INSERT INTO tray (id, request_id, version, verb, actor, batch, made_at, leaves_at)"
            " VALUES (1, 2, 'x', 'accept', 'mara', 'b', 1, 2)"
        )
    assert console.run("store", "backup", "copy.db").code == 0
    assert console.run("accept", f"bob@{MODEL}").code == 0
    assert console.run("store", "restore", "copy.db").code == 6
    ended = console.run("store", "restore", "copy.db", "--yes", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, SCHEMAS["store-restore"])
    assert Path(ended.json["replaced"]).is_file()
    with database(place / "desk.db") as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        assert db.execute("SELECT link FROM members").fetchall() == [(None,)]
        assert db.execute("SELECT leaves_at FROM tray").fetchall() == [(None,)]
    refused = console.run("reset", f"ada-l@{MODEL}", "--reason", "Ask again.")
    assert refused.code == 6
    assert refused.hint == f"Hint: Sync the repo first: hf-gate sync {MODEL} --full"
    assert status_of(console.hub, "ada-l") == "accepted"
    assert console.run("sync", MODEL).code == 0, "the first reading is a full one"
    assert console.run("reset", f"ada-l@{MODEL}", "--reason", "Ask again.").code == 0
    assert console.run("store", "check").code == 0


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda path: path.write_bytes(b"not a store at all"), 1),
        (lambda path: path.write_bytes(path.read_bytes()[:9000]), 1),
        (lambda path: _execute(path, "UPDATE alembic_version SET version_num = '9999'"), 1),
        (lambda path: _execute(path, "UPDATE about SET value = 'https://hub.example' WHERE key = 'endpoint'"), 2),
        (lambda path: _execute(path, "CREATE TRIGGER t AFTER DELETE ON sessions BEGIN SELECT 1; END"), 1),
        (lambda path: _execute(path, "CREATE VIEW v AS SELECT 1"), 1),
        (lambda path: _execute(path, "CREATE TABLE more (a CHECK (a > 1))"), 1),
        ("rewritten", 1),
    ],
    ids=["no store", "cut off", "newer", "another Hub", "a trigger", "a view", "a table", "a rewritten ledger"],
)
def test_a_backup_that_is_not_whole_or_not_ours_is_refused_and_the_store_stays(
    console: Console, place: Path, harm: Callable[[Path], object] | str, code: int
) -> None:
    assert console.run("store", "backup", "copy.db").code == 0
    (_rewrite if isinstance(harm, str) else harm)(place / "copy.db")
    ended = console.run("store", "restore", "copy.db", "--yes")
    assert ended.code == code, ended.err
    assert not list(place.glob("desk.db.*restor*"))
    assert console.run("store", "check").code == 0
    assert console.run("accept", f"bob@{MODEL}").code == 0


def _invite(hub: LocalHub, path: Path, name: str) -> None:
    with open_store(path, endpoint=hub.url, world=get_world_id(hub.url)) as store:
        Members(store).invite(Member(name=name, role=MemberRole.REVIEWER), "a secret", "lena", 1)


def _rewrite(path: Path) -> None:
    with database(path) as db:
        for sql in ("DROP TRIGGER ledger_no_update", "UPDATE ledger SET actor = 'nobody' WHERE id = 2"):
            db.execute(sql)
        db.execute(
            "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger"
            " BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END"
        )


def test_a_damaged_store_is_replaced_by_its_backup(console: Console, place: Path) -> None:
    assert console.run("store", "backup", "copy.db").code == 0
    (place / "desk.db").write_bytes(b"SQLite format 3\0" + b"?" * 9000)
    assert console.run("store", "restore", "copy.db", "--yes").code == 0
    assert console.run("store", "check").code == 0
    assert (place / "desk.db.before-restore").read_bytes().startswith(b"SQLite format 3\0?")


def test_what_is_no_file_is_no_backup(console: Console, place: Path) -> None:
    assert console.run("store", "restore", "/dev/zero", "--yes").code == 1
    assert console.run("store", "restore", str(place), "--yes").code != 0
    missing = console.run("store", "restore", "nowhere.db", "--yes")
    assert missing.code == 2
    assert missing.error == "Error: there is no file nowhere.db; nothing was restored."
    assert "hf-gate store backup" in missing.hint
    assert console.run("store", "check").code == 0


# ---- PostgreSQL ---------------------------------------------------------------------------------------------------------


def test_on_a_server_backups_are_left_to_its_own_tools_and_the_rest_works(
    fresh: LocalHub, place: Path, postgres_uri: str
) -> None:
    fill(fresh, ["ada-l"])
    server = new_schema(postgres_uri)
    desk = f"version: 1\nstore: {server}\nrepos: [{MODEL}]\n"
    (place / "hf-gate.yaml").write_text(desk)
    console = Console(fresh)
    assert console.run("sync", MODEL).code == 0
    for args, tool in ((["backup", "x.db"], "pg_dump"), (["restore", "x.db", "--yes"], "pg_restore")):
        ended = console.run("store", *args)
        assert ended.code == 2
        assert tool in ended.hint
    assert console.run("store", "check").code == 0
    assert console.run("store", "export", "out").code == 0
    assert len((place / "out" / "requests.jsonl").read_text().splitlines()) == 1
    with open_store(server, endpoint=fresh.url, world=get_world_id(fresh.url)) as store:
        Members(store).invite(Member(name="mara", role=MemberRole.REVIEWER), "a secret", "lena", 1)
        new = NewSession(member="mara", method=SignInMethod.LINK, browser="", began_at=1)
        assert Sessions(store).open_by_link("s", new, "a secret", "d", at=1, link_at=1) is LinkState.VALID
        with store.writing() as write:
            write.db.run(
                "INSERT INTO letters (id, kind, request_id, person_id, key, state, made_at, next_at, attempts)"
                " SELECT 'l_1', 'received', id, person_id, '', 'due', 1, 1, 0 FROM requests"
            )
    assert console.run("store", "disarm").code == 6
    ended = console.run("store", "disarm", "--yes", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, SCHEMAS["store-disarm"])
    with open_store(server, endpoint=fresh.url, world=get_world_id(fresh.url)) as store:
        assert Sessions(store).session_member("s", 1) is None
        assert Sessions(store).check_link("a secret", "d", 1)[1] is LinkState.INVALID
        assert [one.state for one in list_letters(store, list(LetterState), 5)] == [LetterState.UNKNOWN]
    refused = console.run("reset", f"ada-l@{MODEL}", "--reason", "Ask again.")
    assert (refused.code, refused.hint) == (6, f"Hint: Sync the repo first: hf-gate sync {MODEL} --full")
    assert console.run("store", "check").code == 0
    name = console.run("store", "remove").hint.rpartition(" ")[2]
    assert console.run("store", "remove", "--yes", "--name", name).code == 0
    assert console.run("sync", MODEL).code == 0, "there was no store any more, and a new one is made"
