"""hf-gate table: the owner's files change row by row, and every command says whom it concerns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, CommandResult, Console, request_access

PEOPLE = ["ada-l", "bob", "cem", "dua"]
FILE = '# who may use it\nusername;note;expires\nada-l;"a; b";\n\n# second group\nbob;;2099-01-01\n'
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
    then: wait
    at_most: 30d
    after: human
"""


class Desk:
    """A workspace with one table file, written by hand."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.console, self.folder = Console(hub), folder
        assert self.run("init", DATASET).code == 0
        (folder / "policies" / "starter.yaml").unlink()
        (folder / "policies" / "partners.yaml").write_text(RULES, "utf-8")
        (folder / "tables").mkdir(exist_ok=True)
        self.file = folder / "tables" / "partners.csv"
        self.file.write_bytes(FILE.encode())
        assert self.run("sync").code == 0

    def run(self, *args: str) -> CommandResult:
        return self.console.run("--workspace", str(self.folder), *args)

    def document(self, *args: str) -> Any:
        ended = self.run(*args, "--json")
        assert ended.code == 0, ended.err
        jsonschema.validate(ended.json, schema_of(f"table-{args[1]}"))
        return ended.json


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path) -> Desk:
    request_access(fresh, PEOPLE, DATASET, answers={"Purpose": "to study sleep"})
    return Desk(fresh, tmp_path / "desk")


def test_ls_and_show_say_what_there_is(desk: Desk) -> None:
    assert desk.run("plan").code == 0  # binds the usernames
    (one,) = desk.document("table", "ls")
    assert (one["table"], one["rows"], one["key"], one["policies"]) == ("partners", 2, ["username"], ["partners"])
    rows = desk.document("table", "show", "partners")
    assert [(row["line"], row["username"], row["state"]) for row in rows] == [
        (3, "ada-l", "valid"),
        (6, "bob", "valid"),
    ]
    assert rows[0]["row"] == {"note": "a; b"}
    assert all(row["account"] for row in rows)
    assert [row["username"] for row in desk.document("table", "show", "partners", "--query", "A;")] == ["ada-l"]
    text = desk.run("table", "show", "partners").out
    assert "ada-l" in text
    assert "2099-01-01" in text
    unknown = desk.run("table", "show", "partner")
    assert (unknown.code, "Did you mean partners?" in unknown.err) == (2, True)


@pytest.mark.parametrize(
    "content", ["username\nada-l\nada-l\nbob\n", "username,email\nada-l,x@uni.example\nbob,x@uni.example\n"]
)
def test_a_new_row_removes_none_where_a_key_stands_twice(desk: Desk, content: str) -> None:
    desk.file.write_text(content)
    rules = desk.folder / "policies" / "partners.yaml"
    rules.write_text(rules.read_text().replace("key: username", "key: [username, email]"))
    for more in (["--dry-run"], []):
        found = desk.document("table", "add", "partners", "username=cem", *more)
        assert (found["added"], found["changed"], found["removed"]) == (1, 0, 0)
    assert desk.file.read_text().startswith(content)


def test_a_removal_of_most_rows_needs_a_confirmation_as_an_import_does(desk: Desk) -> None:
    names = [f"person-{number}" for number in range(12)]
    desk.file.write_text("\n".join(["username", *names, ""]), "utf-8")
    before = desk.file.read_bytes()
    refused = desk.run("table", "remove", "partners", *names[:10])
    assert desk.file.read_bytes() == before
    assert (refused.code, "10 of 12 rows would be removed, but at most 3 may be" in refused.err) == (6, True)
    assert desk.document("table", "remove", "partners", *names[:10], "--max-removed", "10")["removed"] == 10


@pytest.mark.parametrize("folder", ["tables", "lists"])
def test_the_first_import_makes_the_file(desk: Desk, tmp_path: Path, folder: str) -> None:
    desk.file.unlink()
    missing = desk.run("table", "add", "partners", "username=cem")
    assert (missing.code, "hf-gate table import partners FILE" in missing.err) == (2, True)
    rules = desk.folder / "policies" / "partners.yaml"
    rules.write_text(rules.read_text("utf-8").replace("tables/partners.csv", f"{folder}/partners.csv"), "utf-8")
    new = tmp_path / "office.csv"
    new.write_text("Name;Konto\nAda;ada-l\nBob;bob\n", "utf-8")
    words = ("table", "import", "partners", str(new), "--column", "username=Konto")
    assert desk.document(*words, "--dry-run")["added"] == 2
    made = desk.folder / folder / "partners.csv"
    assert not made.exists()
    assert desk.document(*words, "--yes")["added"] == 2
    assert made.read_text("utf-8") == "username,Name\nada-l,Ada\nbob,Bob\n"
    assert made.stat().st_mode & 0o077 == 0
    assert desk.document(*words, "--yes")["added"] == 0


def test_a_row_with_a_known_key_needs_replace(desk: Desk) -> None:
    refused = desk.run("table", "add", "partners", "username=Bob")
    assert (refused.code, "line 6 of table partners has the same key" in refused.err) == (2, True)
    assert desk.document("table", "add", "partners", "username=bob", "expires=2030-05-01", "--replace")["changed"] == 1
    assert desk.file.read_bytes() == FILE.replace("2099-01-01", "2030-05-01").encode()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["username=a b"], "'a b' is not a Hub username"),
        (["username=zoe", "expires=soon"], "is not a date; write it as 2027-06-30"),
        (["username=zoe", "phone=1"], "no column phone; its columns are username, note, expires"),
        (["note=x"], "the line identifies nobody"),
        (["zoe"], "is not COLUMN=VALUE"),
        (["username=zoe", "note=\udcff"], "the value of note is not UTF-8 text"),
        (["username=zoe", "note=" + "x" * 3000], "longer than 2,000 characters"),
    ],
)
def test_a_bad_row_is_refused_with_one_line_and_the_next_step(desk: Desk, cells: list[str], words: str) -> None:
    ended = desk.run("table", "add", "partners", *cells)
    assert ended.code == 2
    assert words in ended.err
    assert desk.file.read_bytes() == FILE.encode()


def test_a_dry_run_shows_what_an_import_changes_and_it_writes_after_yes(desk: Desk, tmp_path: Path) -> None:
    new = tmp_path / "partners.csv"
    new.write_text("username,note,expires\nbob,,2099-01-01\ncem,=1+1,\n", "utf-8")
    diff = desk.document("table", "import", "partners", str(new), "--replace", "--dry-run")
    assert (diff["added"], diff["changed"], diff["removed"], diff["written"]) == (1, 0, 1, False)
    refused = desk.run("table", "import", str(new))
    assert (refused.code, "nothing was written" in refused.err) == (6, True)
    assert desk.file.read_bytes() == FILE.encode()
    done = desk.document("table", "import", str(new), "--yes")
    assert (done["added"], done["changed"], done["removed"]) == (1, 0, 0)
    assert desk.file.read_bytes() == (FILE + "cem;'=1+1;\n").encode()
    replaced = desk.document("table", "import", "partners", str(new), "--yes", "--replace")
    assert replaced["removed"] == 1
    assert b"ada-l" not in desk.file.read_bytes()
    assert b"# second group" in desk.file.read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"name,room\nada,1\n", "no column with usernames or e-mail addresses"),
        (b"username\nada-l\nzo\xeb\n", "line 3: 'zoë' is not a username, e-mail address or profile on the Hub"),
        (b"username\nada-l\nb b\n", "line 3: 'b b' is not a username, e-mail address or profile on the Hub"),
        (
            b"username,expires\nada-l,2030-01-01\nada-l,2031-01-01\n",
            "line 3: The row has a key of line 2, but another expires.",
        ),
        (b'username\n"ada-l\n', "the file may be incomplete"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(desk: Desk, tmp_path: Path, content: bytes, words: str) -> None:
    new = tmp_path / "new.csv"
    new.write_bytes(content)
    ended = desk.run("table", "import", "partners", str(new), "--yes")
    assert ended.code == 2
    assert words in ended.err
    assert desk.file.read_bytes() == FILE.encode()


def test_rows_in_a_yaml_file_are_left_to_their_author(desk: Desk) -> None:
    rules = RULES.replace("{file: tables/partners.csv, key: username}", "[ada-l]")
    (desk.folder / "policies" / "partners.yaml").write_text(rules, "utf-8")
    ended = desk.run("table", "add", "partners", "username=cem")
    assert (ended.code, "are in a YAML file" in ended.err) == (2, True)


def test_hostile_cells_are_shown_as_text(desk: Desk) -> None:
    desk.file.write_text("username,note\nada-l,\x1b[31m\u202eevil\n", "utf-8")
    shown = desk.run("table", "show", "partners").out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
