"""A shell says for which member it is taken, and has the rights of that member."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.core.people.accounts import Account
from hf_gate.core.people.members import MemberRole
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.members.rows.members import remove_member as remove_row
from hf_gate.settings import setting_keys
from hf_gate.store.store import Store
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import MODEL, Console, request_access, status_of
from tests.kits.members import store_member

ACCEPT_ALL = """\
version: 1
policy: all
applies_to: ["*/*"]
mode: enforce
rules:
  - id: everybody
    when: "true"
    then: accept
"""
HOUSE = f"version: 1\nrepos: [{MODEL}]\npolicies: [policies/*.yaml]\n"


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "hf-gate.yaml").write_text(HOUSE)
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l", "bob99", "cy"])
    assert Console(fresh).run("sync", "--full").code == 0
    return tmp_path


def store_of(hub: LocalHub, desk: Path) -> Store:
    return open_store(f"sqlite:///{desk / 'desk.db'}", endpoint=hub.url, world=get_world_id(hub.url))


def account_of(hub: LocalHub, holder: str) -> Account:
    with Hub(hub.tokens[holder], hub.url) as client:
        return client.whoami()


def add_member(
    fresh: LocalHub,
    desk: Path,
    account: Account,
    role: MemberRole = MemberRole.REVIEWER,
    repos: tuple[str, ...] | None = None,
) -> None:
    """This account becomes the member mia of the owner's desk."""
    lena = account_of(fresh, "owner")
    with store_of(fresh, desk) as store:
        with store.writing() as write:
            write.write_setting(setting_keys.OWNER, json.dumps({"name": lena.name, "user_id": lena.id}))
        store_member(store, "mia", role, repos, user_id=str(account.id), account=account.name.upper())


def remove_member(fresh: LocalHub, desk: Path) -> None:
    with store_of(fresh, desk) as store:
        (mia,) = store.members()
        remove_row(store, mia, "lena-brandt", 3)


def test_a_shell_says_who_it_is_taken_for_and_a_removed_member_changes_nothing(fresh: LocalHub, desk: Path) -> None:
    owner, admin = Console(fresh), Console(fresh, "admin")
    assert "In the desk" not in owner.run("accept", f"ada-l@{MODEL}").err, "it has no members"
    account = account_of(fresh, "admin")
    add_member(fresh, desk, account)
    done = admin.run("accept", f"bob99@{MODEL}")
    assert done.code == 0, done.err
    assert "In the desk of this workspace you are mia (reviewer)." in done.err
    remove_member(fresh, desk)
    refused = admin.run("accept", f"cy@{MODEL}")
    assert refused.code == 4, refused.err
    assert f"The Hub account {account.name} was removed from the desk" in refused.error
    assert f"hf-gate members add {account.name}" in refused.hint
    assert status_of(fresh, "cy") == "pending"
    assert admin.run("ls", MODEL).code == 0, "it can still read"
    assert "you are lena-brandt (owner)" in owner.run("accept", f"cy@{MODEL}").err


@pytest.mark.parametrize(
    ("role", "repos", "why"),
    [
        (MemberRole.VIEWER, None, "is a viewer in the desk"),
        (MemberRole.REVIEWER, ("acme/*",), f"may not decide at {MODEL} in the desk"),
    ],
)
def test_a_member_decides_in_a_terminal_only_what_they_may_decide_in_the_desk(
    fresh: LocalHub, desk: Path, role: MemberRole, repos: tuple[str, ...] | None, why: str
) -> None:
    """Their token may accept on the Hub; hf-gate is asked to let them do so by the rules of the desk."""
    owner, admin = Console(fresh), Console(fresh, "admin")
    (desk / "policies" / "all.yaml").write_text(ACCEPT_ALL)
    assert owner.run("plan", "--out", "plan.json").code == 0
    add_member(fresh, desk, account_of(fresh, "admin"), role, repos)
    for words in (["accept", f"cy@{MODEL}"], ["apply", "plan.json", "--yes"]):
        refused = admin.run(*words)
        assert (refused.code, why in refused.error) == (4, True), (words, refused.err)
    assert [status_of(fresh, name) for name in ("ada-l", "cy")] == ["pending"] * 2
    assert admin.run("ls", MODEL).code == 0, "they can still read"


def test_the_loop_of_a_removed_member_leaves_the_store_to_others(fresh: LocalHub, desk: Path) -> None:
    owner, admin = Console(fresh), Console(fresh, "admin")
    add_member(fresh, desk, account_of(fresh, "admin"))
    remove_member(fresh, desk)
    with admin.start("run", "--every", "1h") as loop:
        assert loop.stderr is not None
        while b"was removed from the desk" not in (line := loop.stderr.readline()):
            assert line, "the loop ended"
        done = owner.run("accept", f"ada-l@{MODEL}", "--max-wait", "5s")
        loop.send_signal(signal.SIGINT)
    assert done.code == 0, done.err
