"""Tables of the owner: whom they list, and one that lost rows is refused everywhere until a person says that it is meant so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, CommandResult, Console, request_access

RULES = f"""\
version: 1
policy: partners
applies_to: [{DATASET}]
mode: enforce
tables: {{partners: {{file: tables/partners.csv, key: username}}}}
rules:
  - id: partner
    when: tables.partners
    then: accept
  - id: rest
    then: human
"""
PEOPLE = ["ada-l", "bob", "cem", "dua"]


class Desk:
    """A workspace with one table, and the program at work there."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.console, self.folder = Console(hub), folder
        assert self.run("init", DATASET).code == 0
        (folder / "policies" / "starter.yaml").unlink()
        (folder / "policies" / "partners.yaml").write_text(RULES, "utf-8")
        (folder / "tables").mkdir(exist_ok=True)
        self.list(PEOPLE[:3])

    def run(self, *args: str) -> CommandResult:
        return self.console.run("--workspace", str(self.folder), *args)

    def list(self, people: list[str]) -> None:
        (self.folder / "tables" / "partners.csv").write_text("\n".join(["username", *people, ""]), "utf-8")

    def checked(self) -> dict[str, Any]:
        document = self.run("policy", "check", "--json").json
        jsonschema.validate(document, schema_of("policy-check"))
        (table,) = document["tables"]
        return dict(table)


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path) -> Desk:
    request_access(fresh, PEOPLE, DATASET, answers={"Purpose": "to study sleep"})
    return Desk(fresh, tmp_path / "desk")


def test_a_check_says_how_large_each_table_is_and_whom_it_lists(desk: Desk) -> None:
    assert desk.run("plan").code == 0  # binds the names of the table to accounts
    told = desk.run("policy", "check")
    assert "table partners: 3 rows, key username; lists 3 of 4 pending requests" in told.out
    table = desk.checked()
    assert (table["key"], table["rows"], table["refused"]) == (["username"], 3, None)
    assert (table["pending"], table["matches"]) == (4, 3)


@pytest.mark.parametrize("left", [PEOPLE[:1], []], ids=["halved", "emptied"])
def test_a_table_that_lost_rows_is_refused_everywhere_until_it_is_accepted(desk: Desk, left: list[str]) -> None:
    assert desk.run("plan").code == 0
    desk.list(left)
    checked = desk.run("policy", "check")
    assert checked.code == 2
    assert "table partners: refused" in checked.out
    assert "hf-gate policy check --accept-table partners" in checked.out
    for command in (("plan",), ("run", "--once"), ("status",)):
        ended = desk.run(*command)
        assert "every rule that uses it is unknown" in ended.out + ended.err, command
    status = desk.run("status", "--json").json
    jsonschema.validate(status, schema_of("status"))
    (refused,) = status["problems"]
    assert (refused["kind"], refused["subject"], refused["is_stuck"]) == ("table", "partners", True)
    assert desk.run("doctor", "--json").json["problems"] == [refused]
    accepted = desk.run("policy", "check", "--accept-table", "partners")
    assert accepted.code == 0
    assert f"table partners: accepted with {len(left)} row" in accepted.err
    assert desk.checked()["refused"] is None
    assert "is unknown" not in desk.run("plan").err
    assert desk.run("status", "--json").json["problems"] == []


def test_who_accepted_a_table_that_lost_rows_is_in_the_ledger(desk: Desk) -> None:
    assert desk.run("plan").code == 0
    desk.list(PEOPLE[:1])
    for _ in range(2):  # the second changes nothing
        assert desk.run("policy", "check", "--accept-table", "partners").code == 0
    (entry,) = desk.run("audit", "ls", "--kind", "TableAccepted", "--json").json
    assert entry["actor"] == "lena-brandt"
    assert entry["body"] == {"table": "partners", "rows_before": 3, "rows_after": 1}
    assert desk.run("audit", "verify", "--fold").code == 0


def test_an_emptied_table_of_json_lines_is_refused_until_it_is_accepted(desk: Desk) -> None:
    rules, table = desk.folder / "policies" / "partners.yaml", desk.folder / "tables" / "partners.jsonl"
    rules.write_text(RULES.replace("partners.csv", "partners.jsonl"), "utf-8")
    table.write_text('{"username": "ada-l"}\n', "utf-8")
    assert desk.run("plan").code == 0
    table.write_text("", "utf-8")
    assert "hf-gate policy check --accept-table partners" in desk.run("policy", "check").out
    assert desk.run("policy", "check", "--accept-table", "partners").code == 0
    checked = desk.checked()
    assert (checked["refused"], checked["rows"]) == (None, 0)
    assert desk.run("plan", "--json").json["changes"] == []


def test_a_table_that_was_never_good_accepts_nobody(desk: Desk) -> None:
    (desk.folder / "tables" / "partners.csv").write_bytes(b"username\n\xff\n")
    plan = desk.run("plan", "--json")
    assert plan.json["changes"] == []
    assert "every rule that uses it is unknown" in plan.err


def test_only_lost_rows_can_be_accepted(desk: Desk) -> None:
    unknown = desk.run("policy", "check", "--accept-table", "partner")
    assert unknown.code == 2
    assert "The tables are: partners" in unknown.err
    (desk.folder / "tables" / "partners.csv").write_bytes(b"username\n\xff\n")
    broken = desk.run("policy", "check", "--accept-table", "partners")
    assert broken.code == 2
    assert "Only the loss of rows can be accepted" in broken.err
