"""A newcomer with an untidy roster needs one command, and an import of the same file says the same of its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import openpyxl
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console, request_access, status_of
from tests.kits.course_answers import ANSWERS

PEOPLE: list[dict[str, Any]] = [
    {"username": f"student-{n:03}", "fullname": f"Jörg Müller {n}", "email": f"s{n:03}@uni-köln.example"}
    for n in range(118)
] + [
    {"username": "IainAbbott", "fullname": "Iain Abbott", "email": "iain@abbott.example"},
    {"username": "late-comer", "fullname": "Late Comer", "email": "late@guest.example"},
]
DOMAIN = "@guest.example"


def list_rows() -> list[list[str]]:
    """The lines of the roster: titles, names of columns, 120 people with both keys or one, repeated lines, an empty one."""
    rows = [["Teilnehmende, Übung zur Sprachverarbeitung"], ["Stand: 1. Oktober"], []]
    rows.append(["Matrikel", "Name", "E-Mail-Adresse", "Hugging Face"])
    for n, person in enumerate(PEOPLE[:118]):
        email = "" if n % 3 == 1 else person["email"].upper() if n % 7 == 0 else person["email"]
        page = f"https://huggingface.co/{person['username']}"
        name = (
            "" if n % 3 == 2 else page if n % 5 == 0 else f"@{person['username']}" if n % 5 == 1 else person["username"]
        )
        rows.append([str(n), person["fullname"], email, name])
    rows += [rows[4], rows[9], ["", "Müller, ohne Konto", "-", ""]]
    rows += [
        ["118", "Iain Abbott", "", "iain.abbott"],
        ["119", "Nobody Known", "nobody@else.example", ""],
        ["", "Gäste", DOMAIN, ""],
    ]
    return rows


def write_csv(path: Path, encoding: str) -> Path:
    path.write_bytes(
        "".join(";".join(f'"{c}"' if "," in c else c for c in row) + "\r\n" for row in list_rows()).encode(encoding)
    )
    return path


def write_workbook(path: Path) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in list_rows():
        book.active.append(row)
    book.save(path)
    return path


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with LocalHub(requests=0) as local:
        local.add_people(PEOPLE)
        request_access(local, [person["username"] for person in PEOPLE], DATASET, ANSWERS)
        yield local


@pytest.mark.parametrize("kind", ["utf-8-sig", "cp1252", "xlsx"])
def test_an_untidy_roster_of_120_takes_one_command(hub: LocalHub, tmp_path: Path, kind: str) -> None:
    file = write_workbook(tmp_path / "list.xlsx") if kind == "xlsx" else write_csv(tmp_path / "list.csv", kind)
    console, folder = Console(hub), tmp_path / "course"
    words = ("init", DATASET, "--like", "class", "--roster", str(file), "--until", "2099-06-30")
    made = console.run("--workspace", str(folder), *words)
    assert made.code == 0, made.err
    unit = "row" if kind == "xlsx" else "line"
    said = [
        f"skipped 2 {unit}s above the column names",
        f"2 {unit}s repeat a row and were merged: 123, 124",
        f"1 {unit} has no username or address that hf-gate recognised: 125",
        "column E-Mail-Adresse is read as email",
        "column Hugging Face is read as username",
        "@guest.example: 1 person who asked",
        "found: 118; likely: 1; not found: 1",
        "iain.abbott: did you mean IainAbbott?",
        "1 of the likely people would be sent back by this plan; correct the file first.",
        "nobody@else.example: not found",
        "waiting without a row: IainAbbott\n",
    ]
    assert [words for words in said if words not in made.out] == []
    assert ("Windows-1252" in made.out) == (kind == "cp1252")
    applied = console.run(
        "--workspace", str(folder), "apply", str(folder / "plan.json"), "--yes", "--max-changes", "500"
    )
    assert applied.code == 0, applied.err
    accepted = {person["username"] for person in PEOPLE if status_of(hub, person["username"]) == "accepted"}
    assert accepted == {person["username"] for person in PEOPLE} - {"IainAbbott"}
    (folder / "tables" / "roster.csv").unlink()
    again = console.run("--workspace", str(folder), "--json", "table", "import", "roster", str(file), "--yes")
    assert again.code == 0, again.err
    jsonschema.validate(again.json, schema_of("table-import"))
    found = again.json
    groups = found["found"], [row["near"] for row in found["likely"]], [row["who"] for row in found["not_found"]]
    assert groups == (118, ["IainAbbott"], ["nobody@else.example"])
    assert (found["added"], [row["people"] for row in found["domains"]]) == (121, [1])
    second = console.run(
        "--workspace", str(folder), "--json", "table", "import", "roster", str(file), "--yes", "--replace"
    ).json
    assert (second["added"], second["changed"], second["removed"]) == (0, 0, 0), json.dumps(second)[:500]


def test_each_wrong_line_and_a_misspelt_column_have_a_line_of_their_own(hub: LocalHub, tmp_path: Path) -> None:
    file, folder = tmp_path / "list.csv", tmp_path / "course"
    file.write_text("email\na(at)x.example\nb(at)x.example\n")
    refused = Console(hub).run("--workspace", str(folder), "init", DATASET, "--like", "class", "--roster", str(file))
    assert refused.code == 2
    assert [line[:9] for line in refused.err.splitlines()[1:3]] == ["  line 2:", "  line 3:"]
    file.write_text("email\na@x.example\n")
    console = Console(hub)
    assert console.run("--workspace", str(folder), "init", DATASET, "--like", "class", "--roster", str(file)).code == 0
    assert "Did you mean email?" in console.run("--workspace", str(folder), "table", "add", "roster", "emial=x@y.z").err


def test_a_removal_counts_rows_of_the_table_only(hub: LocalHub, tmp_path: Path) -> None:
    folder = tmp_path / "course"
    file = tmp_path / "list.csv"
    file.write_text("email\ns000@uni-köln.example\ns001@uni-köln.example\n", "utf-8")
    console = Console(hub)
    assert console.run("--workspace", str(folder), "init", DATASET, "--like", "class", "--roster", str(file)).code == 0
    file.write_text("email\ns001@uni-köln.example\ns002@uni-köln.example\ns002@uni-köln.example\n", "utf-8")
    found = console.run(
        "--workspace", str(folder), "--json", "table", "import", "roster", str(file), "--replace", "--yes"
    )
    assert (found.json["added"], found.json["changed"], found.json["removed"]) == (1, 0, 1)
