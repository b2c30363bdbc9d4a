"""Requests are assigned at the terminal: to whom, by whom, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.members.rows.members import invite_member
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import Console

MODEL = "acme/lantern"
HOUSE = f"version: 1\nrepos: [{MODEL}]\npolicies: [policies/*.yaml]\n"


@pytest.fixture
def fresh() -> Iterator[LocalHub]:
    with LocalHub(requests=0, repos=1) as hub:
        yield hub


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A workspace with requests and members, one of whom has the token's account."""
    repo = fresh.repos[0]["repo"]
    kind = fresh.repos[0]["repo_type"]
    where = repo if kind == "model" else f"datasets/{repo}"
    (tmp_path / "policies").mkdir()
    (tmp_path / "hf-gate.yaml").write_text(HOUSE.replace(MODEL, where))
    monkeypatch.chdir(tmp_path)
    names = ("ada-l", "bob99", "kim")
    fresh.add_people([{"username": name} for name in names])
    fresh.add_requests([{"repo": repo, "repo_type": kind, "user": name, "answers": {}} for name in names])
    console = Console(fresh)
    assert console.run("sync").code == 0
    with open_store(f"sqlite:///{tmp_path / 'desk.db'}", endpoint=fresh.url, world=get_world_id(fresh.url)) as store:
        for name, role in (("mia", MemberRole.REVIEWER), ("kim", MemberRole.ADMIN), ("vic", MemberRole.VIEWER)):
            invite_member(store, Member(name=name, role=role), f"{name} secret", "owner", 1)
    return console


def _target(hub: LocalHub, name: str) -> str:
    repo, kind = hub.repos[0]["repo"], hub.repos[0]["repo_type"]
    return f"{name}@{repo if kind == 'model' else f'datasets/{repo}'}"


def _read_assignees(console: Console, *more: str) -> dict[str, str | None]:
    return {row["user"]: row["assigned_to"] for row in console.run("ls", "--json", *more).json}


def test_requests_are_assigned_listed_and_freed(fresh: LocalHub, desk: Console) -> None:
    done = desk.run("assign", _target(fresh, "ada-l"), "--to", "mia")
    assert (done.code, done.out) == (0, "1 request assigned to mia.\n"), done.err
    assert _read_assignees(desk) == {"ada-l": "mia", "bob99": None, "kim": None}
    for command in (("show", _target(fresh, "ada-l")), ("person", "show", "ada-l")):
        assert "  assigned to mia  (" in desk.run(*command).out  # the ledger holds only the id of the member
    assert _read_assignees(desk, "--query", "assigned:mia") == {"ada-l": "mia"}
    assert "assigned_to" in desk.run("ls", "--format", "csv").out
    assert "ASSIGNED" in desk.run("ls", "--format", "human").out
    assert "assigned  to mia" in desk.run("show", _target(fresh, "ada-l"), "--format", "human").out
    free = desk.run("ls", "--query", "assigned:none", "--format", "jsonl").out
    again = desk.run("assign", "-", "--to", "mia", "--json", stdin=free)
    assert again.json == {"schema_version": 1, "assigned_to": "mia", "assigned": 2, "already": 0}
    freed = desk.run("assign", _target(fresh, "ada-l"), "--to", "nobody")
    assert (freed.code, freed.out) == (0, "1 request assigned to nobody.\n")
    assert _read_assignees(desk) == {"ada-l": None, "bob99": "mia", "kim": "mia"}
    assert desk.run("audit", "verify").code == 0


def test_the_last_assignment_wins(fresh: LocalHub, desk: Console) -> None:
    target = _target(fresh, "ada-l")
    assert desk.run("assign", target, "--to", "mia").code == 0
    assert desk.run("assign", target, "--to", "kim").out == "1 request assigned to kim.\n"
    assert _read_assignees(desk, "--query", "assigned:kim") == {"ada-l": "kim"}


@pytest.mark.parametrize(
    ("who", "to", "words"),
    [
        ("ada-l", "vic", "vic is a viewer and cannot decide requests."),
        ("ada-l", "nemo", "there is no member 'nemo'."),
        ("kim", "kim", "kim cannot decide their own request. Nothing was assigned."),
        ("ada-l", "me", "you are not a member of this desk under this account."),
        ("nemo", "mia", "there is no request of nemo"),
    ],
)
def test_what_cannot_be_assigned_is_refused_in_one_line(
    fresh: LocalHub, desk: Console, who: str, to: str, words: str
) -> None:
    refused = desk.run("assign", _target(fresh, who), "--to", to)
    assert (refused.code != 0, words in refused.err) == (True, True), refused.err
    assert set(_read_assignees(desk).values()) == {None}


def test_only_pending_requests_are_assigned_and_a_decision_ends_it(fresh: LocalHub, desk: Console) -> None:
    target = _target(fresh, "ada-l")
    assert desk.run("assign", target, "--to", "mia").code == 0
    assert desk.run("accept", target).code == 0
    assert _read_assignees(desk, "--status", "accepted") == {"ada-l": None}
    refused = desk.run("assign", target, "--to", "mia")
    assert (refused.code, "Only pending requests can be assigned" in refused.err) == (2, True)
