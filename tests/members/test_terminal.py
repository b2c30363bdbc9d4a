"""`hf-gate ui` in the terminal: its first line, a second start, and an end that lets everything go; members and keys."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.base.environment import READ_ONLY
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.config import Flags, read_settings
from hf_gate.settings import setting_keys
from hf_gate.testing import LocalHub
from hf_gate.workspace.service import bootstrap
from tests.kits.desk import STARTED, DeskProgram, run_desk_program, write_desk
from tests.kits.program_server import program_words


@pytest.fixture(scope="module")
def local() -> Iterator[LocalHub]:
    with LocalHub(requests=0, repos=1) as hub:
        yield hub


@pytest.fixture
def folder(tmp_path: Path, local: LocalHub) -> Path:
    write_desk(tmp_path, local)
    return tmp_path


@pytest.fixture
def program(folder: Path, local: LocalHub) -> Iterator[DeskProgram]:
    with run_desk_program(folder, local) as started:
        yield started


def _run(folder: Path, local: LocalHub, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"HF_ENDPOINT": local.url, "HF_TOKEN": local.tokens["owner"]}
    command = [*program_words(), *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)


def _get(url: str, cookie: str = "") -> tuple[int, str]:
    return _page(url, cookie)[:2]


def _page(url: str, cookie: str = "") -> tuple[int, str, str]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"cookie": cookie} if cookie else {})
        reply = connection.getresponse()
        return reply.status, (reply.getheader("set-cookie") or "").partition(";")[0], reply.read().decode()
    finally:
        connection.close()


def _json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_it_serves_until_sigterm_and_lets_the_store_go(folder: Path, local: LocalHub) -> None:
    with run_desk_program(folder, local, start=STARTED) as program:
        status, cookie = _get(program.login_url)
        assert status == 303
        assert _get(f"{program.url}/queue", cookie)[0] == 200
        assert program.end() == 0
    assert _run(folder, local, "sync").returncode == 0


def test_another_account_in_the_cache_is_not_the_owner_of_the_desk(folder: Path, local: LocalHub) -> None:
    assert _run(folder, local, "sync").returncode == 0
    settings = read_settings(Flags(endpoint=local.url, token=local.tokens["owner"], workspace=str(folder)), {}, folder)
    cache = read_settings(Flags(), os.environ, Path.home()).paths.accounts
    known = json.loads(cache.read_bytes())
    cache.write_text(json.dumps({key: one | {"id": "f" * 24, "name": "kim"} for key, one in known.items()}))
    with run_desk_program(folder, local) as started:
        status, cookie = _get(started.login_url)
        page = _page(f"{started.url}/queue", cookie)[2]
        assert (status, "lena-brandt, admin" in page, "kim" in page) == (303, True, False)
        assert started.end() == 0
    with (
        bootstrap.Connection(settings) as connection,
        bootstrap.connect_workspace(connection, bootstrap.read_location(settings)) as workspace,
    ):
        owner = json.loads(workspace.store.setting(setting_keys.OWNER) or "{}")
        assert owner == {"name": "lena-brandt", "user_id": workspace.hub.whoami().id}


def test_commands_decide_beside_the_desk(program: DeskProgram, folder: Path, local: LocalHub) -> None:
    local.add_people([{"username": name} for name in ("ada", "bob")])
    local.add_requests([{"repo": "lumen-labs/lantern-7b-chat", "user": name} for name in ("ada", "bob")])
    cookie = _get(program.login_url)[1]
    accepted = _run(folder, local, "accept", "ada@lumen-labs/lantern-7b-chat", "--json")
    assert accepted.returncode == 0, accepted.stderr
    assert _run(folder, local, "plan").returncode == 0
    key = json.loads(_run(folder, local, "show", "ada@lumen-labs/lantern-7b-chat", "--json").stdout)["request_id"]
    status, _, page = _page(f"{program.url}/requests/{key}", cookie)
    assert status == 200
    assert "✓ Accept" not in page
    assert _json(_run(folder, local, "audit", "verify", "--json"))["ok"]
    assert _page(f"{program.url}/queue", cookie)[0] == 200


def test_while_another_process_writes_a_page_says_so_and_nothing_is_lost(folder: Path, local: LocalHub) -> None:
    local.add_people([{"username": "cyd"}])
    local.add_requests([{"repo": "lumen-labs/lantern-7b-chat", "user": "cyd"}])
    assert _run(folder, local, "sync").returncode == 0
    settings = read_settings(Flags(endpoint=local.url, token=local.tokens["owner"], workspace=str(folder)), {}, folder)
    with run_desk_program(folder, local, "600s") as program:
        cookie = _get(program.login_url)[1]
        connection = bootstrap.Connection(settings)
        with bootstrap.connect_workspace(connection, bootstrap.read_location(settings)) as writing:
            row = writing.store.find_by_identity(None, "cyd")[0]
            values = {"verb": "accept", "key": row.state.hub_request or "", "version": row.version.token}
            status, page = _post(f"{program.url}/tray", cookie, values)
            assert status == 503
            assert f"is being written by pid {os.getpid()}" in page
            assert _get(f"{program.url}/queue", cookie)[0] == 200
            link = program.login_url.partition("t=")[0] + "t=" + _secret(folder, local)
            assert _get(link)[0] == 503
        assert _get(link)[0] == 303, "the link was not used up"
        assert _post(f"{program.url}/tray", cookie, values)[0] == 303


def _secret(folder: Path, local: LocalHub) -> str:
    return str(_json(_run(folder, local, "ui", "--no-open", "--json"))["login_url"].partition("t=")[2])


def _post(url: str, cookie: str, values: dict[str, str]) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=20)
    headers = {
        "cookie": cookie,
        "origin": f"http://{parts.netloc}",
        "content-type": "application/x-www-form-urlencoded",
    }
    try:
        connection.request("POST", parts.path, urlencode(values), headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def test_a_second_start_gives_another_link_to_the_first(program: DeskProgram, folder: Path, local: LocalHub) -> None:
    again = _json(_run(folder, local, "ui", "--no-open", "--json"))
    assert (again["url"], again["pid"]) == (program.url, program.pid)
    assert again["login_url"] != program.login_url
    assert _get(again["login_url"])[0] == 303
    assert _get(_json(_run(folder, local, "ui", "--no-open", "--json"))["login_url"])[0] == 303


def test_only_the_owner_or_an_admin_opens_the_desk(folder: Path, local: LocalHub) -> None:
    assert _run(folder, local, "members", "add", _new(local, "wim"), "--role", "reviewer").returncode == 0
    for name in ("stranger", "wim"):
        refused = _run(folder, local, "--token", local.tokens[name], "ui", "--no-open", "--port", "0")
        assert (refused.returncode, refused.stdout) == (4, ""), refused.stderr
        assert "is neither the owner nor an admin of this desk" in refused.stderr
    assert _run(folder, local, "members", "remove", "wim").returncode == 0, "the owner is still the owner"


def test_another_account_gets_no_link_of_the_owner(program: DeskProgram, folder: Path, local: LocalHub) -> None:
    """With it, one person would decide as two."""
    refused = _run(folder, local, "--token", local.tokens["admin"], "ui", "--no-open")
    assert (refused.returncode, "sign-in?t=" in refused.stdout) == (4, False)
    assert "its links are for its owner, not for ada-admin." in refused.stderr
    assert program.process.poll() is None


def test_members_are_added_changed_and_removed_beside_the_desk(
    program: DeskProgram, folder: Path, local: LocalHub
) -> None:
    def run(*words: str) -> dict[str, Any]:
        told = _json(_run(folder, local, "members", *words, "--json"))
        jsonschema.validate(told, schema_of(f"members-{words[0]}"))
        return told

    if "mia" not in local.tokens:
        local.add_people([{"username": "mia"}])
    added = run("add", "mia", "--role", "viewer", "--repo", "acme/*")
    assert added["added"] == "mia"
    (mia,) = added["members"]
    assert (mia["account"], mia["role"], mia["repos"]) == ("mia", "viewer", ["acme/*"])
    (again,) = run("add", "mia", "--role", "admin")["members"]
    assert (again["role"], again["repos"]) == ("admin", [])
    (listed_again,) = run("ls")["members"]
    assert listed_again | {"membership": None} == again | {"membership": None}
    assert re.fullmatch(r"member since \d+ s, added by lena-brandt", listed_again["membership"])
    cookie = _get(program.login_url)[1]
    assert 'Remove<span class="vh"> mia' in _page(f"{program.url}/settings", cookie)[2]
    listed = _run(folder, local, "members", "ls")
    assert listed.stdout.startswith("lena-brandt  owner\nmia  admin  all repos  Hub account mia  member since ")
    for words in (("add", "no-such-account"), ("add", "lena-brandt"), ("add",), ("remove", "nobody"), ("remove",)):
        assert _run(folder, local, "members", *words).returncode == 2, words
    assert run("remove", "mia") == {
        "owner": "lena-brandt",
        "members": [],
        "has_single_admin": True,
        "added": None,
        "confirmed": None,
        "removed": "mia",
        "schema_version": 1,
    }
    assert "Only you can sign in" not in listed.stderr


def test_only_the_owner_and_admins_of_all_repos_change_members_and_keys(folder: Path, local: LocalHub) -> None:
    first = _run(
        folder, local, "members", "add", "kim" if "kim" in local.tokens else _new(local, "kim"), "--role", "admin"
    )
    assert first.returncode == 0, first.stderr
    assert _run(folder, local, "members", "add", _new(local, "wim"), "--role", "reviewer").returncode == 0
    line = ("members", "add", _new(local, "zoe"))
    assert _run(folder, local, "--token", local.tokens["kim"], *line).returncode == 0
    for words in (line, ("members", "remove", "kim"), ("keys", "add", "billing", "--verbs", "events")):
        refused = _run(folder, local, "--token", local.tokens["wim"], *words)
        assert (refused.returncode, "is no admin of this desk" in refused.stderr) == (4, True), refused.stderr
    for token in ("owner", "kim"):
        refused = _run(folder, local, "--token", local.tokens[token], "members", "confirm", "wim")
        assert (refused.returncode, "cannot confirm wim (member since" in refused.stderr) == (4, True), refused.stderr
    assert _run(folder, local, "members", "remove", "kim").returncode == 0
    refused = _run(folder, local, "--token", local.tokens["kim"], *line)
    assert (refused.returncode, "was removed from the desk" in refused.stderr) == (4, True), refused.stderr


def _new(local: LocalHub, name: str) -> str:
    if name not in local.tokens:
        local.add_people([{"username": name}])
    return name


def test_a_key_is_made_and_revoked_from_the_terminal(program: DeskProgram, folder: Path, local: LocalHub) -> None:
    def run(*words: str) -> dict[str, Any]:
        told = _json(_run(folder, local, "keys", *words, "--json"))
        jsonschema.validate(told, schema_of(f"keys-{words[0]}"))
        return told

    assert run("ls")["keys"] == []
    first = run("add", "billing", "--repos", "*/*", "--verbs", "accept,events")
    assert first["secret"].startswith("gate_")
    assert first["keys"][0]["verbs"] == ["accept", "events"]
    assert _status_with_key(program, first["secret"]) == 200
    listed = _run(folder, local, "keys", "ls")
    assert listed.stdout.startswith("billing  accept, events  */*  made ")
    assert first["secret"] not in listed.stdout + listed.stderr
    for words in (
        ("add", "billing", "--verbs", "events"),
        ("add", "other", "--verbs", "destroy", "--repo", "*/*"),
        ("add", "other", "--repo", "*/*"),
        ("add", "other", "--verbs", "accept"),
        ("add", "Not A Name", "--verbs", "events"),
        ("add",),
        ("remove", "nobody"),
        ("remove",),
    ):
        refused = _run(folder, local, "keys", *words)
        assert (refused.returncode, len(refused.stderr.strip().splitlines()) < 5) == (2, True), (words, refused.stderr)
    assert run("remove", "billing")["keys"] == []
    assert _status_with_key(program, first["secret"]) == 401
    assert b"gate_" not in (folder / "desk.db").read_bytes(), "the store has digests only"


def _status_with_key(program: DeskProgram, secret: str) -> int:
    connection = HTTPConnection(urlsplit(program.url).netloc, timeout=20)
    try:
        connection.request("GET", "/api/v1/events", headers={"authorization": f"Bearer {secret}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_without_the_key_the_door_of_the_terminal_is_not_there(program: DeskProgram) -> None:
    parts = urlsplit(program.url)
    for key in ("", "Bearer guessed"):
        connection = HTTPConnection(parts.netloc, timeout=20)
        headers = {"authorization": key, "origin": program.url}
        connection.request("POST", "/terminal", json.dumps({"do": "link"}), headers)
        assert connection.getresponse().status == 404
        connection.close()


def test_what_the_terminal_needs_is_nobody_elses_business(program: DeskProgram) -> None:
    assert program.process.poll() is None
    state = Path(os.environ["XDG_STATE_HOME"]) / "hf-gate" / "ui"
    assert len(list(state.glob("*.json"))) == 1
    assert {file.stat().st_mode & 0o777 for file in state.iterdir()} == {0o600}
    assert state.stat().st_mode & 0o777 == 0o700


def test_behind_tls_links_bear_the_public_name_and_the_terminal_still_reaches_the_desk(
    folder: Path, local: LocalHub
) -> None:
    public = "https://desk.example.org"
    with run_desk_program(folder, local, None, "--public-url", public) as program:
        assert program.url == public
        assert program.login_url.startswith(f"{public}/sign-in?t=")
        link = _json(_run(folder, local, "ui", "--no-open", "--json"))["login_url"]
        assert link.startswith(f"{public}/sign-in?t=")
        assert link != program.login_url
    assert _run(folder, local, "ui", "--no-open", "--public-url", "http://desk.example.org").returncode == 2


def test_who_may_change_nothing_gets_no_link_from_a_running_desk(
    program: DeskProgram, folder: Path, local: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(folder, local, "keys", "add", "billing", "--verbs", "events").returncode == 0
    before = [_run(folder, local, "--json", what, "ls").stdout for what in ("members", "keys")]
    monkeypatch.setenv(READ_ONLY, "1")
    for line in (
        "ui --no-open",
        "members add eve --role admin",
        "members remove mia",
        "keys add billing --verbs events",
        "keys remove billing",
    ):
        ended = _run(folder, local, *line.split())
        assert ended.returncode == 2, line
        assert f"{READ_ONLY} is set" in ended.stderr
        assert "sign-in" not in ended.stdout
    assert [_run(folder, local, "--json", what, "ls").stdout for what in ("members", "keys")] == before
    assert program.process.poll() is None
