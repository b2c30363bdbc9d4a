"""policy compare: what people decided beside what a policy says on the facts of that time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from hf_gate.workspace.commands.schemas import schema_of
from tests.kits.command_line import DATASET, HOSTILE, CommandResult, Console, request_access

GOOD = {"Purpose": "I study how the voices of harbours changed over a hundred years."}
POLICY = """\
version: 1
policy: voices
applies_to: ["datasets/*/*"]
mode: enforce
tables: {{partners: {{file: tables/partners.csv, key: email}}}}
rules:
  - id: again
    when: history.rejected > 0
    then: reject
    reason: No.
  - id: known
    when: {condition}
    then: accept
  - id: say-more
    when: answers.purpose.quality == "empty"
    then: reset
    reason: Please say what you will study.
  - id: rest
    then: human
"""
BY_MAIL = 'email.domain == "example.org"'


class Desk:
    """A desk of one repo where the owner decides by hand."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.hub, self.folder, self.console = hub, folder, Console(hub)
        assert self.run("init", DATASET).code == 0
        (folder / "policies" / "starter.yaml").unlink()
        (folder / "tables").mkdir(exist_ok=True)
        self.table("email,expires\nx@example.org,\n")
        self.policy(BY_MAIL)

    def run(self, *args: str) -> CommandResult:
        return self.console.run("--workspace", str(self.folder), *args)

    def policy(self, condition: str) -> None:
        (self.folder / "policies" / "voices.yaml").write_text(POLICY.format(condition=condition), "utf-8")

    def table(self, text: str) -> None:
        (self.folder / "tables" / "partners.csv").write_text(text, "utf-8")

    def decide(self, verb: str, name: str) -> None:
        more = [] if verb in {"accept", "cancel"} else ["--no-reason"]
        ended = self.run(verb, f"{name}@{DATASET}", *more)
        assert ended.code == 0, ended.err

    def compare(self, *args: str) -> dict[str, Any]:
        ended = self.run("policy", "compare", "voices", *args, "--json")
        assert ended.code == 0, ended.err
        jsonschema.validate(ended.json, schema_of("policy-compare"))
        return dict(ended.json)


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    fresh.add_people([{"username": "bob", "email": "bob@mail.example"}])
    request_access(fresh, ["ada", "bob", "cem"], DATASET, GOOD)
    request_access(fresh, ["dora"], DATASET, {"Purpose": ""})
    return Desk(fresh, tmp_path / "desk")


def test_the_matrix_the_rate_and_the_disagreements(desk: Desk) -> None:
    for verb, name in (("accept", "ada"), ("accept", "bob"), ("reject", "cem"), ("reset", "dora")):
        desk.decide(verb, name)
    found = desk.compare()
    cells = {(cell["people"], cell["policy"]): cell["n"] for cell in found["matrix"]}
    assert cells == {("accept", "accept"): 1, ("accept", "human"): 1, ("reject", "accept"): 1, ("reset", "accept"): 1}
    assert (found["compared"], found["decided"], found["agreed"], found["left_to_people"]) == (4, 3, 1, 1)
    assert 0 < found["rate_low"] < found["rate"] < found["rate_high"] < 1
    dora, cem = found["disagreements"]
    assert (dora["user"], dora["people"], dora["policy"], dora["rule"], dora["by"]) == (
        "dora",
        "reset",
        "accept",
        "known",
        "lena-brandt",
    )
    assert cem["user"] == "cem"
    assert dora["says"].startswith("Accept when")
    shown = desk.run("audit", "show", dora["entry"])
    assert shown.code == 0
    text = desk.run("policy", "compare", "voices").out
    assert "it agrees with 1 of 3:" in text
    assert text.index("dora  reset by lena-brandt") < text.index("cem  reject by lena-brandt")


def test_the_answers_and_the_address_of_that_time_count(desk: Desk) -> None:
    desk.decide("reset", "dora")
    desk.policy('email.domain == "never.example"')
    desk.hub.clock.advance("1h")
    with Hub(desk.hub.tokens["dora"], desk.hub.url) as dora:
        dora.ask_access(DATASET, GOOD)
    desk.run("sync")
    desk.decide("accept", "dora")
    cells = {(cell["people"], cell["policy"]): cell["n"] for cell in desk.compare()["matrix"]}
    assert cells == {("reset", "reset"): 1, ("accept", "human"): 1}


def test_the_history_of_that_time_counts(desk: Desk) -> None:
    desk.decide("reject", "cem")
    desk.decide("cancel", "cem")
    desk.decide("accept", "cem")
    newest, oldest = sorted(desk.compare()["disagreements"], key=lambda row: str(row["decided_at"]), reverse=True)
    assert (newest["people"], newest["policy"], newest["rule"]) == ("accept", "reject", "again")
    assert (oldest["people"], oldest["policy"], oldest["rule"]) == ("reject", "accept", "known")


def test_a_table_that_nobody_read_then_is_unknown_and_listed_apart(desk: Desk) -> None:
    desk.policy("tables.partners")
    desk.decide("accept", "ada")
    desk.table("email,expires\nada@example.org,\n")
    found = desk.compare()
    assert (found["compared"], found["unknown"], found["decided"], found["rate"]) == (1, 1, 0, None)
    (row,) = found["unknowns"]
    assert (row["policy"], row["missing"]) == ("unknown", ["tables.partners"])
    assert "unknown facts" in desk.run("policy", "compare", "voices").out


def test_a_table_that_the_last_verdict_read_is_known(desk: Desk) -> None:
    desk.policy("tables.partners")
    desk.table("email,expires\nada@example.org,\nx@example.org,\n")
    assert desk.run("plan", "--out", str(desk.folder / "plan.json")).code == 0
    desk.decide("accept", "ada")
    found = desk.compare()
    assert [(cell["people"], cell["policy"]) for cell in found["matrix"]] == [("accept", "accept")]
    desk.table("email,expires\nada@example.org,\ny@example.org,\n")
    assert desk.compare() == found, "the version that was read is kept"


def test_the_rows_of_a_table_count_as_they_were_then(desk: Desk) -> None:
    desk.policy("tables.partners")
    desk.table("email,expires\nada@example.org,\nx@example.org,\n")
    assert desk.run("plan", "--out", str(desk.folder / "plan.json")).code == 0
    desk.decide("accept", "ada")
    for rows in (
        "x@example.org,\nz@example.org,\n",
        "x@example.org,\nbo@example.org,\n",
        "y@example.org,2020-01-01\nz@example.org,\n",
    ):
        desk.table(f"email,expires\n{rows}")
        assert desk.run("plan", "--out", str(desk.folder / "plan.json")).code == 0
    assert [(cell["people"], cell["policy"]) for cell in desk.compare()["matrix"]] == [("accept", "accept")]
    desk.policy("size(tables.partners.row) > 5")
    assert desk.compare()["unknown"] == 1, "other columns of an earlier version are not kept"


def test_decisions_on_the_page_of_the_hub_are_decisions_of_people_and_those_of_policies_are_not(desk: Desk) -> None:
    with Hub(desk.hub.tokens["owner"], desk.hub.url) as owner:
        owner.accept(DATASET, "ada")
    desk.run("sync", "--full")
    assert desk.run("run", "--once").code in {0, 5}
    found = desk.compare()
    assert [(cell["people"], cell["n"]) for cell in found["matrix"]] == [("accept", 1)]
    desk.policy('email.domain == "never.example" && email.present')
    assert desk.compare()["compared"] == 1


def test_decisions_about_an_erased_person_are_counted_as_left_out(desk: Desk) -> None:
    desk.decide("accept", "ada")
    desk.decide("reset", "bob")
    ended = desk.run("person", "erase", "bob", "--yes")
    assert ended.code == 0, ended.err
    found = desk.compare()
    assert (found["compared"], found["erased"]) == (1, 1)
    assert "1 decision left out" in desk.run("policy", "compare", "voices").out


def test_last_since_and_query_choose_the_decisions(desk: Desk) -> None:
    desk.decide("accept", "ada")
    desk.hub.clock.advance("480h")
    desk.decide("accept", "bob")
    assert desk.compare()["compared"] == 2
    assert desk.compare("--last", "1")["compared"] == 1
    assert desk.compare("--since", "10d")["compared"] == 1
    assert desk.compare("--since", "12w")["compared"] == 2
    assert desk.compare("--query", "user:ada")["compared"] == 1
    assert desk.compare("--query", "user:nobody")["compared"] == 0
    assert "nothing to compare" in desk.run("policy", "compare", "voices", "--query", "user:nobody").out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["voces"], "Did you mean voices?"), (["voices", "--last", "5", "--since", "3d"], "Give only one"),
        (["voices", "--since", "soon"], "Write a date"), (["nothing.yaml"], ""), ([HOSTILE], "voices"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_line_with_the_next_step(desk: Desk, args: list[str], words: str) -> None:
    ended = desk.run("policy", "compare", *args)
    assert ended.code == 2
    assert words in ended.err
    assert "\x1b[31m" not in ended.err
    assert len([line for line in ended.err.splitlines() if line.startswith("Error: ")]) == 1


def test_a_draft_in_a_file_is_compared_too(desk: Desk, tmp_path: Path) -> None:
    desk.decide("accept", "bob")
    draft = tmp_path / "draft.yaml"
    draft.write_text(POLICY.format(condition="email.present"), "utf-8")
    ended = desk.run("policy", "compare", str(draft), "--json")
    assert (ended.json["agreed"], ended.json["decided"]) == (1, 1)


def test_promote_prints_the_agreement_first(desk: Desk) -> None:
    desk.decide("accept", "ada")
    desk.decide("reject", "cem")
    ended = desk.run("policy", "promote", "voices", "--yes", "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, schema_of("policy-promote"))
    assert ended.json["agreement"] == {"compared": 2, "decided": 2, "agreed": 1, "unknown": 0}
    lines = ended.err.splitlines()
    agreement = next(
        n
        for n, line in enumerate(lines)
        if "Compared with 2 decisions by people. Where it would decide by itself, it agrees with 1 of 2" in line
    )
    assert agreement < next(n for n, line in enumerate(lines) if "will act unattended" in line)
    assert "`hf-gate policy compare voices` lists 1 decision" in ended.err
