"""What `hf-gate stop` and `hf-gate start` do, who may use them, and what a restored store knows of a stop."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.automation.rows import read_turns
from hf_gate.core.people.members import MemberRole
from hf_gate.core.runs import ALL_RUNS
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.settings import setting_keys
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import DATASET, Console, status_of
from tests.kits.members import store_member
from tests.kits.status_workspace import check_status, console

__all__ = ["console"]


def test_after_a_stop_nothing_is_decided_until_an_admin_starts_it(console: Console) -> None:
    stopped = console.run("stop")
    assert (stopped.code, f", workspace {Path.cwd()}" in stopped.err) == (0, True)
    assert "already" in console.run("stop").out
    assert check_status(console) == (1, "stopped")
    ended = console.run("run", "--once")
    assert ended.code == 0
    assert re.search(r"1 change not made: \S+ stopped all unattended work", ended.out)
    assert status_of(console.hub, "ada-l") == "pending"
    assert check_status(console) == (1, "stopped")
    assert console.run("start").code == 0
    assert console.run("run", "--once").code == 0
    assert status_of(console.hub, "ada-l") == "accepted"
    assert check_status(console) == (0, "fine")
    kinds = [row["kind"] for row in console.run("audit", "ls", "--json").json]
    assert (kinds.count("UnattendedStopped"), kinds.count("UnattendedStarted")) == (1, 1)
    assert console.run("audit", "verify").code == 0
    assert "was not stopped" in console.run("start").out


def test_while_the_hub_fails_a_stop_asks_only_once_who_you_are(console: Console) -> None:
    console.hub.set_faults(["fail_before:status=503:on=whoami"])
    asked = console.hub.stats()["calls"]["GET whoami"]
    stopped = Console(console.hub, "admin").run("stop", "--max-wait", "0s")
    assert stopped.code == 0, stopped.err
    assert ", not signed in, workspace " in stopped.err
    assert console.hub.stats()["calls"]["GET whoami"] == asked + 1
    assert check_status(console) == (1, "stopped")


@pytest.mark.parametrize(
    ("holder", "code"),
    [("owner", 0), ("admin", 0), ("writer", 0), ("fine_decide", 4), ("fine_look", 4), ("reader", 4), ("stranger", 4)],
)
def test_where_no_desk_was_opened_only_an_account_that_decides_at_every_repo_starts(
    console: Console, holder: str, code: int
) -> None:
    assert console.run("stop").code == 0
    ended = Console(console.hub, holder).run("start")
    assert ended.code == code, ended.err
    assert check_status(console)[1] == ("stopped" if code else "idle")
    if code:
        assert "you cannot decide at" in ended.error
        assert "stays stopped" in ended.error


@pytest.mark.parametrize(
    ("holder", "code"),
    [("owner", 0), ("admin", 0), ("bound", 4), ("writer", 4), ("reader", 4), ("stranger", 4)],
)
def test_where_the_desk_has_an_owner_only_the_owner_and_admins_of_all_repos_start(
    console: Console, tmp_path: Path, holder: str, code: int
) -> None:
    _admit_team(console, tmp_path, holder)
    assert console.run("stop").code == 0
    ended = Console(console.hub, "admin" if holder == "bound" else holder).run("start")
    assert ended.code == code, ended.err
    assert check_status(console)[1] == ("stopped" if code else "idle")
    if code:
        assert "cannot start unattended work" in ended.error


def test_without_a_token_nobody_starts(console: Console) -> None:
    assert console.run("stop").code == 0
    assert console.run("start", env={"HF_TOKEN": ""}).code == 4
    assert check_status(console) == (1, "stopped")


def _admit_team(console: Console, folder: Path, holder: str) -> None:
    """The owner opened the desk and added two people. One is an admin, for one repo if `holder` says so."""
    accounts = {}
    for name in ("owner", "admin", "writer"):
        with Hub(console.hub.tokens[name], console.hub.url) as hub:
            accounts[name] = hub.whoami()
    world = get_world_id(console.hub.url)
    with open_store(folder / "desk.db", endpoint=console.hub.url, world=world) as store:
        owner = accounts["owner"]
        with store.writing() as write:
            write.write_setting(setting_keys.OWNER, json.dumps({"name": owner.name, "user_id": owner.id}))
        for name, role in (("admin", MemberRole.ADMIN), ("writer", MemberRole.REVIEWER)):
            account = accounts[name]
            repos = (DATASET,) if holder == "bound" else None
            store_member(store, name, role, repos, user_id=account.id, account=account.name)


def test_a_stop_is_in_force_at_once_although_another_process_holds_the_store(console: Console, tmp_path: Path) -> None:
    world = get_world_id(console.hub.url)
    with open_store(tmp_path / "desk.db", endpoint=console.hub.url, world=world) as store:
        assert console.spawn("stop").code == 0
        assert read_turns(store, 1) == []
    assert check_status(console) == (1, "stopped")
    assert "UnattendedStopped" not in console.run("audit", "ls", "--json").out
    assert console.run("run", "--once").code == 0
    assert "UnattendedStopped" in console.run("audit", "ls", "--json").out


@pytest.mark.parametrize("has_earlier_stop", [False, True])
def test_a_stop_stays_in_force_when_an_older_backup_is_restored(
    console: Console, tmp_path: Path, has_earlier_stop: bool
) -> None:
    if has_earlier_stop:
        assert console.run("stop").code == 0
    assert console.run("run", "--once").code == 0
    assert console.run("store", "backup", "older.db").code == 0
    assert console.run("start").code == 0
    assert console.run("stop").code == 0
    stop = _read_stop_request(console, tmp_path)
    assert console.run("store", "restore", "older.db", "--yes").code == 0
    assert check_status(console) == (1, "stopped")
    assert _read_stop_request(console, tmp_path) == stop
    assert console.run("run", "--once").code == 0
    kinds = [row["kind"] for row in console.run("audit", "ls", "--json").json]
    assert kinds.count("UnattendedStopped") == 1 + has_earlier_stop
    assert console.run("audit", "verify").code == 0


def test_a_restore_over_a_damaged_store_needs_no_stop(console: Console, tmp_path: Path) -> None:
    assert console.run("run", "--once").code == 0
    assert console.run("store", "backup", "older.db").code == 0
    (tmp_path / "desk.db").write_bytes(b"SQLite format 3\0?")
    assert console.run("store", "restore", "older.db", "--yes").code == 0
    assert check_status(console)[1] != "stopped"


def _read_stop_request(console: Console, folder: Path) -> str | None:
    world = get_world_id(console.hub.url)
    with open_store(folder / "desk.db", endpoint=console.hub.url, world=world, read_only=True) as store:
        return store.stop_request(ALL_RUNS)
