"""Ends of access in the terminal: what `run`, `plan` and `status` say about them, and the commands that change them."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.core.people.grants import format_last_day
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console, request_access

POLICY = f"""\
version: 1
policy: starter
applies_to: [{DATASET}]
mode: enforce
tables: {{dua: {{file: tables/dua.csv, key: username}}}}
rules:
  - {{id: signed, when: tables.dua, then: accept, until: tables.dua.expires}}
  - {{id: rest, then: human}}
"""
NAMES = [f"person-{number}" for number in range(21)]


def write_rows(place: Path, day: str, names: list[str]) -> None:
    others = [f"other-{number},2099-12-31" for number in range(30)]
    (place / "tables").mkdir(exist_ok=True)
    (place / "tables" / "dua.csv").write_text("\n".join(["username,expires", *others, *(f"{n},{day}" for n in names)]))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the clock follows that of the local Hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    return tmp_path


@pytest.fixture
def console(fresh: LocalHub, place: Path) -> Console:
    """A workspace whose 21 people have access until 2090."""
    request_access(fresh, NAMES, repo=DATASET)
    console = Console(fresh)
    console.run("init", DATASET)
    write_rows(place, "2090-01-01", NAMES)
    (place / "policies" / "starter.yaml").write_text(POLICY)
    assert console.run("run", "--once").code == 0
    return console


def ends(console: Console) -> list[dict[str, object]]:
    return list(json.loads(console.run("ends", "ls", "--json").out))


def test_a_wrong_table_ends_twenty_people_and_says_who_is_held_back(console: Console, place: Path) -> None:
    assert len(ends(console)) == 21
    write_rows(place, "2020-01-01", NAMES)
    turn = console.run("run", "--once")
    assert "1 to end exceed a guard in hf-gate.yaml" in turn.out
    said = "1 grant would end, because a condition is false or a table moved the date to an earlier time"
    assert said in console.run("status").out
    problems = console.run("status", "--json").json["problems"]
    assert [(one["kind"], one["sentence"].startswith("1 grant would end")) for one in problems] == [("guard", True)]
    assert console.run("status", "--check").code == 1
    assert len(ends(console)) == 1
    assert console.run("plan", "--out", "plan.json").code == 0
    assert console.run("apply", "plan.json").code == 0
    assert (ends(console), said in console.run("status").out) == ([], False)


# ---- changes by hand ---------------------------------------------------------------------------------------------------

WHO = f"person-0@{DATASET}"


def end_of(console: Console, name: str) -> str | None:
    return next((str(row["ends_at"])[:10] for row in ends(console) if row["user"] == name), None)


def test_a_renewal_without_an_end_takes_the_one_of_the_policies(console: Console) -> None:
    assert console.run("ends", "set", WHO, "--until", "30d").code == 0
    assert console.run("ends", "set", WHO).code == 6, "access would get shorter, and nobody was asked"
    done = console.run("ends", "set", WHO, "--yes")
    assert (done.code, "access until 1 Jan 2090 instead of 31 Jan 2090 (starter/signed)" in done.out) == (0, True)
    assert end_of(console, "person-0") == "2090-01-02"


def test_the_same_end_again_is_said_and_not_recorded_again(console: Console) -> None:
    assert console.run("ends", "set", WHO, "--until", "2091-05-01").code == 0
    before = console.run("audit", "ls", "--json").out
    again = console.run("ends", "set", WHO, "--until", "2091-05-01")
    assert (again.code, again.out) == (0, "Nothing was changed.\n")
    assert f"{WHO}: access until 1 May 2091, as before." in again.err
    assert console.run("audit", "ls", "--json").out == before


def test_an_end_by_a_false_condition_is_not_said_to_be_set_by_a_person(console: Console, place: Path) -> None:
    kept = POLICY.replace("until: tables.dua.expires", "until: 1y, keep_while: tables.dua, grace: 14d")
    (place / "policies" / "starter.yaml").write_text(kept)
    assert console.run("ends", "set", "--all", "--with-end", "--yes", "--max-changes", "21").code == 0
    assert console.run("ends", "set", WHO, "--until", "2095-05-01").code == 0
    assert [row["by"] for row in ends(console) if row["is_chosen"]] == ["lena-brandt"]
    assert "lena-brandt" in console.run("ends", "ls").out
    write_rows(place, "2090-01-01", NAMES[1:])
    assert console.run("run", "--once").code == 0
    (row,) = [one for one in ends(console) if one["user"] == NAMES[0]]
    assert (row["ends_at"] == row["lapses_at"], row["is_chosen"]) == (True, False)
    (line,) = [line for line in console.run("ends", "ls").out.splitlines() if NAMES[0] in line.split()]
    assert ("condition false" in line, "lena-brandt" in line) == (True, False), line
    explained = console.run("explain", WHO).out
    assert ("because a condition is false" in explained, "chosen by a person" in explained) == (True, False), explained


def test_a_date_is_compared_with_the_date_while_a_condition_is_false(console: Console, place: Path) -> None:
    """The access ends in 14 days unless the condition is true again; the date behind that counts."""
    kept = POLICY.replace("until: tables.dua.expires", "until: 1y, keep_while: tables.dua, grace: 14d")
    (place / "policies" / "starter.yaml").write_text(kept)
    assert console.run("ends", "set", "--all", "--with-end", "--yes", "--max-changes", "21").code == 0
    assert console.run("ends", "set", WHO, "--until", "2095-05-01").code == 0
    write_rows(place, "2090-01-01", NAMES[1:])
    assert console.run("run", "--once").code == 0
    shorter = console.run("ends", "set", WHO, "--until", "2094-05-01")
    assert (shorter.code, "cannot ask for confirmation of 1 change" in shorter.err) == (6, True), shorter.err
    (row,) = [one for one in ends(console) if one["user"] == NAMES[0]]
    lapse = format_last_day(str(row["ends_at"]), UTC)
    previewed = console.run("ends", "set", WHO, "--until", "2094-05-01", "--dry-run").out.splitlines()[0]
    assert previewed == (
        f"{WHO}: access until 1 May 2094 instead of 1 May 2095; while a condition is false, only until {lapse}"
    )
    longer = console.run("ends", "set", WHO, "--until", "1y").out
    assert longer == (
        f"{WHO}: access until 1 May 2096 instead of 1 May 2095; while a condition is false, only until {lapse}\n"
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((WHO, "--until", "2020-01-01"), "in the past"),
        ((WHO, "--until", "soon"), "is not an end"),
        ((f"nobody@{DATASET}", "--until", "1y"), "there is no request"),
        (("person-0@acme/other", "--until", "1y"), "not a repo of this workspace"),
    ],
)
def test_a_renewal_that_cannot_be_says_why(console: Console, args: tuple[str, ...], words: str) -> None:
    ended = console.run("ends", "set", *args)
    assert ended.code != 0
    assert words in ended.err
    assert end_of(console, "person-0") == "2090-01-02"


def test_who_has_no_access_gets_no_end(console: Console) -> None:
    console.run("revoke", WHO, "--how", "reset", "--reason", "Please ask again.")
    ended = console.run("ends", "set", WHO, "--until", "1y")
    assert (ended.code, "has no access (reset)" in ended.err) == (2, True), ended.err


def test_an_end_is_removed_and_given_back_by_adoption(console: Console) -> None:
    assert (
        console.run("ends", "set", WHO, "--until", "none").out
        == f"{WHO}: access has no end; before, it had one: 1 Jan 2090\n"
    )
    assert console.run("ends", "set", WHO, "--until", "none").err.endswith(f"\n{WHO}: access has no end, as before.\n")
    assert end_of(console, "person-0") is None
    assert "person-0" in console.run("ends", "ls", "--without-end").out
    found = console.run("ls", DATASET, "--query", "ends:none", "--json")  # people who wait have no end of access
    assert [row["user"] for row in found.json] == ["person-0"], found.err
    refused = console.run("ends", "set", "--all")
    assert (refused.code, "confirmation of 1 change here" in refused.err) == (6, True)
    done = console.run("ends", "set", "--all", "--yes", "--json")
    assert (done.json["changed"], done.json["left"]) == (1, {})
    assert end_of(console, "person-0") == "2090-01-02"
    assert console.run("ends", "ls", "--without-end").out == "Every access has an end.\n"
    assert console.run("ends", "set", "--all", "--yes").out == "Nothing was changed.\n"


def test_adoption_leaves_people_whose_end_is_unknown(console: Console, place: Path) -> None:
    console.run("ends", "set", WHO, "--until", "none")
    write_rows(place, "", NAMES)
    done = console.run("ends", "set", "--all", "--yes")
    assert "1 person not changed: the end is not known (person-0)." in done.err
    assert done.out == "Nothing was changed.\n"


def test_an_acceptance_until_a_chosen_date_says_that_a_condition_stays(
    console: Console, place: Path, fresh: LocalHub
) -> None:
    kept = POLICY.replace("until: tables.dua.expires", "until: 1y, keep_while: tables.dua")
    (place / "policies" / "starter.yaml").write_text(kept.replace("when: tables.dua, ", ""))
    new = ["ada", "bea", "cyd"]
    request_access(fresh, new, repo=DATASET)
    write_rows(place, "2090-01-01", [*NAMES, *new[:2]])
    assert console.run("sync").code == 0
    asked = console.run("accept", f"ada@{DATASET}", "--yes")
    assert "is not known: the condition `keep_while` of rule starter/signed is false or unknown" in asked.error
    planned = console.run("plan").out  # also binds the names of the table to accounts
    assert planned.count(", under a condition") == 2, planned
    one = console.run("accept", f"ada@{DATASET}", "--until", "2090-02-01", "--yes")
    assert one.out == f"ada at {DATASET}: accepted; can download now; access until 1 Feb 2090, under a condition.\n"
    rest = console.run("accept", f"bea@{DATASET}", f"cyd@{DATASET}", "--until", "2090-02-01", "--yes").out
    assert rest == "2 accepted; 1 with access until 1 Feb 2090, under a condition; 1 with access until 1 Feb 2090.\n"
    again = console.run("accept", f"ada@{DATASET}", "--until", "2090-03-01", "--yes").out
    assert again == f"ada at {DATASET}: already accepted; access until 1 Mar 2090, under a condition.\n"


def test_a_condition_whose_table_is_gone_is_named(console: Console, place: Path) -> None:
    kept = POLICY.replace("until: tables.dua.expires", "keep_while: tables.dua")
    (place / "policies" / "starter.yaml").write_text(kept)
    assert console.run("ends", "set", "--all", "--with-end", "--yes", "--max-changes", "21").code == 0
    console.run("run", "--once")
    assert "UNKNOWN" not in console.run("status").out
    (place / "policies" / "starter.yaml").write_text(
        f"version: 1\npolicy: other\napplies_to: [{DATASET}]\nrules:\n  - {{id: rest, then: human}}\n"
    )
    (place / "tables" / "dua.csv").unlink()
    assert console.run("run", "--once").code == 0
    status = console.run("status")
    assert f"21 grants at {DATASET} depend on table dua, which no longer exists" in status.out
    found = console.run("status", "--json").json
    jsonschema.validate(found, schema_of("status"))
    assert [one["subject"] for one in found["problems"] if one["kind"] == "unknown_conditions"] == [DATASET]
    checked = console.run("status", "--check")
    assert (checked.code, "depend on table dua" in checked.out) == (1, True), checked.out
    console.run(
        "ends", "set", *(f"{name}@{DATASET}" for name in NAMES), "--until", "none", "--yes", "--max-changes", "21"
    )
    assert "UNKNOWN" not in console.run("status").out


def test_an_end_by_a_condition_that_became_unknown_is_not_called_false(console: Console, place: Path) -> None:
    kept = POLICY.replace("until: tables.dua.expires", "keep_while: tables.dua, grace: 14d")
    (place / "policies" / "starter.yaml").write_text(kept)
    assert console.run("ends", "set", "--all", "--with-end", "--yes", "--max-changes", "21").code == 0
    write_rows(place, "2090-01-01", NAMES[1:])
    assert console.run("run", "--once").code == 0
    assert "condition false" in console.run("ends", "ls").out
    (row,) = ends(console)
    assert (row["user"], row["is_undecided"]) == (NAMES[0], False)
    (place / "policies" / "starter.yaml").write_text(
        f"version: 1\npolicy: other\napplies_to: [{DATASET}]\nrules:\n  - {{id: rest, then: human}}\n"
    )
    (place / "tables" / "dua.csv").unlink()
    assert console.run("run", "--once").code == 0
    out = console.run("ends", "ls").out
    assert ("condition unknown: access stays" in out, "condition false" in out) == (True, False), out
    (row,) = ends(console)
    assert (row["is_undecided"], row["lapses_at"] is None) == (True, False)
    explained = console.run("explain", f"{NAMES[0]}@{DATASET}").out
    assert "Access stays while a condition is unknown; if it is false, access until" in explained
