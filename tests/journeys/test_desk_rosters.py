"""Rosters and deny lists: people who are gone from a file or listed in one lose access through the guards, and nobody by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, CommandResult, Console, request_access, status_of

STUDENTS = [f"student-{n}" for n in range(12)]
CONFIG = f"""\
version: 1
repos: [{DATASET}, {MODEL}]
policies: [policies/*.yaml]
tables:
  students: {{file: tables/students.csv, key: username}}
  unwelcome: {{file: tables/unwelcome.csv, key: [user_id, email, username]}}
guards: {{accept: 20000/h, reset: 200/h, reject: 50/h, remove: 25/day, protected: [student-9]}}
"""
CLASS = f"""\
version: 1
policy: class
applies_to: [{DATASET}, {MODEL}]
mode: enforce
judges: [pending, accepted]
rules:
  - id: student
    when: tables.students
    then: accept
  - id: left
    when: "!tables.students"
    then: reset
    reason: You are not on the list of this term. Ask again when you are.
"""
DENY = f"""\
version: 1
policy: unwelcome
applies_to: [{DATASET}, {MODEL}]
mode: enforce
judges: [pending, accepted]
rules:
  - id: unwelcome
    when: tables.unwelcome
    then: reject
    reason: You cannot get access to this repo.
"""


class Desk:
    """A workspace with a roster and a deny list over two repos."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.hub, self.console, self.folder = hub, Console(hub), folder
        assert self.run("init", DATASET).code == 0
        (folder / "policies" / "starter.yaml").unlink()
        (folder / "hf-gate.yaml").write_text(CONFIG, "utf-8")
        (folder / "policies" / "class.yaml").write_text(CLASS, "utf-8")
        (folder / "policies" / "unwelcome.yaml").write_text(DENY, "utf-8")
        (folder / "tables").mkdir(exist_ok=True)
        self.list(STUDENTS)
        (folder / "tables" / "unwelcome.csv").write_text("username,reason,expires\nnobody-yet,example,\n", "utf-8")
        self.turn()

    def run(self, *args: str) -> CommandResult:
        return self.console.run("--workspace", str(self.folder), *args)

    def list(self, people: list[str]) -> None:
        (self.folder / "tables" / "students.csv").write_text("\n".join(["username", *people, ""]), "utf-8")

    def turn(self) -> CommandResult:
        ended = self.run("run", "--once")
        assert ended.code == 0, ended.err
        return ended

    def with_access(self) -> set[str]:
        return {each for each in STUDENTS if status_of(self.hub, each) == "accepted"}


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path) -> Desk:
    request_access(fresh, STUDENTS, DATASET)
    return Desk(fresh, tmp_path / "desk")


def test_who_is_gone_from_a_roster_loses_access_and_many_at_once_do_not(desk: Desk) -> None:
    assert desk.with_access() == {*STUDENTS}
    desk.list(STUDENTS[1:])
    desk.turn()
    assert desk.with_access() == {*STUDENTS[1:]}
    desk.list(STUDENTS[5:])
    ended = desk.turn()
    assert "7 rows instead of 11; the file may be incomplete" in ended.err
    assert desk.with_access() == {*STUDENTS[1:]}
    assert desk.run("policy", "check", "--accept-table", "students").code == 0
    desk.turn()
    assert desk.with_access() == {*STUDENTS[5:]}


def test_an_empty_or_halved_roster_removes_nobody(desk: Desk) -> None:
    for people in ([], ["somebody-else"] * 1, STUDENTS[:6]):
        desk.list(people)
        desk.turn()
        assert desk.with_access() == {*STUDENTS}, people


def test_a_protected_person_stays_whatever_the_roster_says(desk: Desk) -> None:
    desk.list(STUDENTS[:9] + STUDENTS[10:])
    desk.turn()
    assert desk.with_access() == {*STUDENTS}


def test_a_name_without_an_account_waits_and_matches_no_later_account(desk: Desk) -> None:
    desk.list([*STUDENTS, "late-comer"])
    desk.turn()
    request_access(desk.hub, ["late-comer"], DATASET)
    desk.turn()
    (row,) = desk.run("ls", "--status", "pending", "--json").json
    assert (row["user"], row["verdict"]["action"]) == ("late-comer", "human")
    shown = desk.run("table", "show", "students", "--query", "late")
    assert "unbound" in shown.out
    assert "1 username bound to no account" in shown.err


def test_a_deny_entry_reaches_open_requests_and_live_grants_of_all_repos(desk: Desk) -> None:
    request_access(desk.hub, ["student-3"], MODEL)
    desk.turn()
    added = desk.run(
        "table", "add", "unwelcome", "username=student-3", "reason=resold data", "expires=2099-01-01", "--json"
    )
    assert added.json["added"] == 1
    request_access(desk.hub, ["newcomer"], DATASET)
    assert desk.run("table", "add", "unwelcome", "username=newcomer").code == 0
    desk.turn()
    moves = [(one["repo_type"], one["user"]) for one in desk.hub.journal() if one["to"] == "rejected"]
    assert sorted(moves) == [("dataset", "newcomer"), ("dataset", "student-3"), ("model", "student-3")]
    assert desk.run("table", "add", "unwelcome", "username=student-9").code == 0
    desk.turn()
    assert status_of(desk.hub, "student-9") == "accepted"  # protected


def test_an_expired_deny_entry_denies_nothing(desk: Desk) -> None:
    assert desk.run("table", "add", "unwelcome", "username=student-3", "reason=old", "expires=2020-01-01").code == 0
    desk.turn()
    assert status_of(desk.hub, "student-3") == "accepted"
