"""Agreements: imported rows mean people by account or address only, and access that rests on a row names it until it ends."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, HOSTILE, CommandResult, Console, request_access, status_of

HEADER = "key,email,from,expires,note,file_hash,version\n"
HASH = "9f" * 32
POLICY = f"""\
version: 1
policy: patients
applies_to: [{DATASET}]
mode: enforce
tables: {{agreements: {{file: tables/agreements.csv, key: [user_id, username, email]}}}}
rules:
  - id: agreement-missing
    when: tables.agreements.state != "valid"
    then: wait
    at_most: 60d
    after: human
  - id: signed
    when: tables.agreements
    then: accept
"""
PEOPLE: list[dict[str, Any]] = [
    {"username": "ada-l", "fullname": "Ada Lindqvist", "email": "ada@uni.example.org"},
    {"username": "bob99", "fullname": "Bob Berg", "email": "bob.berg@gmail.com"},
    {"username": "chen-w", "fullname": "Chen Wei", "email": "wei@clinic.example.org"},
    {"username": "eve-x", "fullname": "E", "email": "mail+hub@eve.example.org"},
    {"username": "dora-k", "fullname": "Dora Kovač", "email": "dora+hub@lab.example.org"},
]


class Desk:
    """A workspace that waits for signed agreements."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.hub, self.console, self.folder = hub, Console(hub), folder
        assert self.run("init", DATASET).code == 0
        (folder / "policies" / "starter.yaml").unlink()
        (folder / "policies" / "patients.yaml").write_text(POLICY, "utf-8")
        (folder / "tables").mkdir(exist_ok=True)
        self.file = folder / "tables" / "agreements.csv"
        self.file.write_text(HEADER + "# signed before\nsomebody-else,,,,,,\n", "utf-8")
        self.turn()

    def run(self, *args: str) -> CommandResult:
        return self.console.run("--workspace", str(self.folder), *args)

    def turn(self) -> None:
        ended = self.run("run", "--once")
        assert ended.code == 0, ended.err

    def accepted(self) -> set[str]:
        return {each["username"] for each in PEOPLE if status_of(self.hub, each["username"]) == "accepted"}

    def signed(self, *rows: str, header: str = "email,name,expires,file_hash,version") -> str:
        path = self.folder / "signed.csv"
        path.write_text("\n".join([header, *rows, ""]), "utf-8")
        return str(path)


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path) -> Desk:
    fresh.add_people(PEOPLE)
    request_access(fresh, [each["username"] for each in PEOPLE], DATASET, answers={"Purpose": "to study sleep"})
    return Desk(fresh, tmp_path / "desk")


HEAD = "email,expires,note,file_hash,version"


def test_an_import_accepts_whom_it_means_and_lists_what_fits_nobody_both_ways(desk: Desk) -> None:
    assert desk.accepted() == set()
    file = desk.signed(
        f"ADA@uni.example.org,2099-01-01,,{HASH},2",
        "chen.wei@clinic.example.org,2099-01-01,,,2",
        "dora@lab.example.org,2099-01-01,,,2",
        "stranger@else.example.org,2099-01-01,,,2",
        "mail@eve.example.org,2099-01-01,,,2",
        header=HEAD,
    )
    ended = desk.run("table", "import", "agreements", file, "--yes", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, schema_of("table-import"))
    assert (ended.json["found"], ended.json["added"]) == (1, 5)
    assert [(row["line"], row["who"]) for row in ended.json["likely"] + ended.json["not_found"]] == [
        (3, "chen.wei@clinic.example.org"),
        (4, "dora@lab.example.org"),
        (5, "stranger@else.example.org"),
        (6, "mail@eve.example.org"),
    ]
    assert {row["user"] for row in ended.json["without_row"]} == {"bob99", "chen-w", "dora-k", "eve-x"}
    desk.turn()
    assert desk.accepted() == {"ada-l"}


def test_people_on_hold_are_told_apart_by_what_they_lack(desk: Desk) -> None:
    assert "on hold: 5 for an agreement" in desk.run("status").out
    assert "is answered, except those on hold. On hold: 5 for an agreement." in desk.run("status", "--markdown").out
    status = desk.run("status", "--json").json
    jsonschema.validate(status, schema_of("status"))
    assert status["repos"][0]["on_hold"] == {"an agreement": 5}
    text = POLICY.replace("agreements", "partners").replace("agreement-missing", "partner-missing")
    (desk.folder / "policies" / "patients.yaml").write_text(text, "utf-8")
    desk.file.rename(desk.folder / "tables" / "partners.csv")
    desk.turn()
    assert "on hold: 5 for a row in partners" in desk.run("status").out


def test_rows_that_match_nobody_are_listed_and_the_account_can_be_written_into_the_file(desk: Desk) -> None:
    row = "chen.wei@clinic.example.org,2099-01-01,,,2"
    text = desk.run("table", "import", "agreements", desk.signed(row, header=HEAD), "--dry-run").out
    assert "likely: 1; not found: 0\n    line 2, chen.wei@clinic.example.org: did you mean chen-w?\n" in text
    file = desk.signed(f"chen-w,{row}", header=f"username,{HEAD}")
    assert desk.run("table", "import", "agreements", file, "--yes").code == 0
    desk.turn()
    assert desk.accepted() == {"chen-w"}


def test_ledger_request_and_report_name_the_row_on_which_access_rests(desk: Desk) -> None:
    terms = "    until: tables.agreements.expires\n"
    (desk.folder / "policies" / "patients.yaml").write_text(POLICY + terms, "utf-8")
    file = desk.signed(f"ada@uni.example.org,2099-01-01,by post,{HASH},2.1", header=HEAD)
    assert desk.run("table", "import", "agreements", file, "--yes").code == 0
    desk.turn()
    (entry,) = desk.run("audit", "ls", "--kind", "GrantDated", "--json", "--all").json
    assert [*entry["body"]["lists"]] == ["table:agreements"]
    assert "uni.example" not in str(entry["body"])
    (access,) = [row for row in desk.run("report", "access", DATASET, "--json").json if row["through"] == "request"]
    assert re.fullmatch(r"agreements row [0-9a-f]{16}, table [0-9a-f]{8}", access["until_row"])
    assert f"on {access['until_row']}" in desk.run("show", f"ada-l@{DATASET}").out
    assert desk.run("audit", "verify", "--fold").code == 0


def test_hostile_text_of_a_file_stays_text(desk: Desk) -> None:
    path = desk.folder / "signed.jsonl"
    path.write_text(
        '{"email": "ada@uni.example.org", "note": "=1+1", "version": "\\u202e\\u001b[31m' + "v" * 500 + '"}\n', "utf-8"
    )
    assert desk.run("table", "import", "agreements", str(path), "--yes").code == 0
    assert "'=1+1" in desk.file.read_text("utf-8")
    desk.turn()
    shown = desk.run("table", "show", "agreements").out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert HOSTILE not in shown


def test_most_rows_of_a_table_go_only_if_that_is_said(desk: Desk) -> None:
    desk.file.write_text(HEADER + "".join(f",p{n}@x.example.org,,,,,\n" for n in range(20)), "utf-8")
    file = desk.signed("p1@x.example.org,,,,", header=HEAD)
    refused = desk.run("table", "import", "agreements", file, "--replace", "--yes")
    assert (refused.code, "19 of 20 rows would be removed, but at most 5 may be" in refused.err) == (6, True)
    assert desk.run("table", "import", "agreements", file, "--replace", "--max-removed", "19", "--yes").code == 0
    assert desk.file.read_text("utf-8").count("@x.example.org") == 1


def test_the_terms_of_access_are_in_every_listing(desk: Desk) -> None:
    terms = (
        '    until: tables.agreements.expires\n    keep_while: tables.agreements.state == "valid"\n    at_end: reject\n'
    )
    (desk.folder / "policies" / "patients.yaml").write_text(POLICY + terms, "utf-8")
    file = desk.signed(f"ada@uni.example.org,2099-01-01,,{HASH},2", header=HEAD)
    assert desk.run("table", "import", "agreements", file, "--yes").code == 0
    desk.turn()
    rows = {row["user"]: row for row in desk.run("ls", "--status", "all", "--json").json}
    assert rows["bob99"]["grant"] is None
    grant = rows["ada-l"]["grant"]
    assert grant["until"] == grant["ends_at"] is not None
    assert grant["keep_while"] == ['tables.agreements.state == "valid"']
    assert (grant["at_end"], grant["rule"]) == ("reject", "patients/signed")
    who = f"ada-l@{DATASET}"
    assert desk.run("show", who, "--json").json["grant"] == grant
    assert [row["grant"] for row in desk.run("person", "show", "ada-l", "--json").json] == [grant]
    (line,) = csv.DictReader(io.StringIO(desk.run("ls", "--status", "accepted", "--format", "csv").out))
    assert line["grant.keep_while"] == grant["keep_while"][0]
    (live,) = desk.run("ls", "--live", "--status", "accepted", "--json").json
    assert live["grant"] is None
