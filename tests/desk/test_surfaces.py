"""Every surface that prints records prints the same keys: commands, files of the desk, its JSON API and their schemas."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.core.records import (
    AttemptRecord,
    AuditRecord,
    ExportedRequest,
    GrantEndRecord,
    GrantRecord,
    HistoryRecord,
    HubRequestRecord,
    OutcomeRecord,
    Record,
    RecordedVerdict,
    RepoRecord,
    RepoStatusRecord,
    RequestRecord,
    RunRecord,
    ShownRequest,
    keys_of,
)
from hf_gate.grants.service.tables.table_records import TableRecord, TableRowRecord
from hf_gate.reports.service.overview import OverviewRecord
from hf_gate.requests.service.record_files import SPREAD
from hf_gate.verdicts.records import PolicyRecord, ProblemRecord
from tests.kits.command_line import Console
from tests.kits.desk import GOOD, POLICY, Desk, Visitor, open_desk
from tests.kits.desk_actions import create_plan, wait_for_run

COMMANDS: Mapping[str, tuple[Sequence[str], type[Record]]] = {
    "ls": (["ls", "--status", "all"], RequestRecord),
    "ls --live": (["ls", "--live", "--status", "all"], RequestRecord),
    "person": (["person", "show", "ada"], AttemptRecord),
    "person --live": (["person", "show", "ada", "--live"], AttemptRecord),
    "repos ls": (["repos", "ls"], RepoRecord),
    "runs ls": (["runs", "ls"], RunRecord),
    "ends ls": (["ends", "ls"], GrantEndRecord),
    "audit ls": (["audit", "ls"], AuditRecord),
    "table ls": (["table", "ls"], TableRecord),
    "table show": (["table", "show", "partners"], TableRowRecord),
}
"""Commands that print many records."""

PARTS: Mapping[str, tuple[Sequence[str], str, type[Record]]] = {
    "accept": (["accept", "ada@REPO", "--dry-run"], "outcomes", OutcomeRecord),
    "runs show": (["runs", "show", "RUN"], "outcomes", OutcomeRecord),
    "status": (["status"], "repos", RepoStatusRecord),
    "show: history": (["show", "ada@REPO"], "history", HistoryRecord),
    "policy check: problems": (["policy", "check"], "problems", ProblemRecord),
    "policy check: policies": (["policy", "check"], "policies", PolicyRecord),
}
"""Documents with records in them: the command, and under which key they are."""

DOCUMENTS: Mapping[str, tuple[Sequence[str], type[Record], Sequence[str]]] = {
    "show": (["show", "ada@REPO"], ShownRequest, ()),
    "repos show": (["repos", "show", "REPO"], RepoRecord, ()),
    "report overview": (["report", "overview"], OverviewRecord, ()),
    "audit show": (["audit", "show", "REPO#1"], AuditRecord, ("private", "commitment", "hash")),
}
"""Documents that are one record, and what they say beside it."""


class Scene:
    """A desk with a plan that was carried, an access that ends, a selection, and what the addresses of them are."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk, self.console, self.folder = desk, Console(desk.local), folder
        self.lena: Visitor = desk.visitor()
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD, "=Country": "Chad"})
        desk.ask([{"username": "bob"}, {"username": "cyd"}], {"Purpose": "test"})
        plan = create_plan(desk, self.lena)
        run = self.lena.post(plan, {"do": "apply"}).headers["location"]
        wait_for_run(desk, run)
        desk.ask([{"username": "dee"}, {"username": "eve"}], {"Purpose": GOOD})
        row = desk.row("dee")
        chosen = {"verb": "accept", "key": row.state.hub_request or "", "version": row.version.token, "until": "90d"}
        assert self.lena.post("/tray", chosen).status == 303
        desk.send_due()
        self.lena.post("/selection", {"do": "all", "q": "status:pending"})
        pick = self.lena.post("/bulk", {"verb": "accept"}).headers["location"]
        self.names = {
            "PICK": pick.partition("?")[0].rpartition("/")[2],
            "PERSON": desk.row("ada").person.pseudonym,
            "PLAN": plan.rpartition("/")[2],
            "RUN": run.rpartition("/")[2],
            "REPO": str(desk.repo),
        }

    def run(self, args: Sequence[str], *flags: str) -> str:
        """What a command prints at this desk."""
        wait_for_run = self.console.run(*map(self._named, args), *flags, env={"HF_GATE_WORKSPACE": str(self.folder)})
        assert wait_for_run.code == 0, wait_for_run.err
        return wait_for_run.out

    def file(self, path: str, kind: str) -> str:
        """What a file of the desk holds."""
        answer = self.lena.get(self._named(path).replace("{kind}", kind))
        assert answer.status == 200, (path, answer.body)
        return answer.body

    def _named(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("desk")
    tables = 'tables: {partners: ["@partner.example"]}\n'
    with open_desk(folder, POLICY + "  - id: late\n    then: human\n", config=tables) as desk:
        yield Scene(desk, folder)


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def _check_table(text: str, kind: type[Record], rows: list[Any]) -> None:
    """One column for each field, and one for each key of a field that is spread; no cell of those is JSON."""
    head, *body = csv.reader(io.StringIO(text))
    nested: dict[str, type[Record]] = {"verdict": RecordedVerdict, "grant": GrantRecord}
    parts = {name: [f"{name}.{key}" for key in keys_of(part)] for name, part in nested.items()}
    plain = [part for key in keys_of(kind) if key not in {"quality", *SPREAD} for part in parts.get(key, [key])]
    spread = {f"{key}.{label}" for row in rows for key in SPREAD for label in row.get(key) or ()}
    assert head[: len(plain)] == plain
    assert set(head[len(plain) :]) == spread
    assert len(body) == len(rows)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_the_same_records_in_every_format(scene: Scene, name: str) -> None:
    args, kind = COMMANDS[name]
    rows = json.loads(scene.run(args, "--json"))
    assert rows
    assert {tuple(row) for row in rows} == {keys_of(kind)}
    assert _lines(scene.run(args, "--format", "jsonl")) == rows
    told = scene.run(args, "--format", "agent").splitlines()[0].split("\t")
    assert tuple(key.removeprefix("untrusted_") for key in told) == keys_of(kind)
    _check_table(scene.run(args, "--format", "csv"), HubRequestRecord if name == "ls --live" else kind, rows)
    schema = "-".join(
        each for each in args[:2] if each.isalpha() and each.islower() and each not in {"ada", "partners"}
    )
    jsonschema.validate(rows, json.loads(scene.run(["schema", schema])))


@pytest.mark.parametrize("name", PARTS)
def test_a_document_has_the_same_records_in_it(scene: Scene, name: str) -> None:
    args, part, kind = PARTS[name]
    rows = json.loads(scene.run(args, "--json"))[part]
    assert rows
    assert {tuple(row) for row in rows} <= {keys_of(kind)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_one_record_has_its_keys(scene: Scene, name: str) -> None:
    args, kind, more = DOCUMENTS[name]
    assert tuple(json.loads(scene.run(args, "--json"))) == ("schema_version", *keys_of(kind), *more)


def test_the_rows_of_a_table_read_as_its_command_does(scene: Scene) -> None:
    for kind in ("jsonl", "csv"):
        command = scene.run(["table", "show", "partners"], "--format", kind)
        assert scene.file("/tables/partners.{kind}", kind) == command


def test_a_sheet_has_one_column_for_each_question(scene: Scene) -> None:
    for text in (scene.file("/queue.{kind}?q=", "csv"), scene.run(["ls", "--status", "all"], "--format", "csv")):
        (ada,) = [row for row in csv.DictReader(io.StringIO(text)) if row["user"] == "ada"]
        assert (ada["answers.Purpose"], ada["answers.=Country"]) == (GOOD, "Chad")


def test_an_export_of_the_store_has_the_same_records(scene: Scene, tmp_path: Path) -> None:
    scene.run(["store", "export", str(tmp_path / "out")])
    rows = _lines((tmp_path / "out" / "requests.jsonl").read_text())
    assert {tuple(row) for row in rows} == {keys_of(ExportedRequest)}
    known = {row["request_id"]: row for row in _lines(scene.file("/queue.{kind}?q=", "jsonl"))}
    for row in rows:
        listed = known[row["request_id"]] | {"quality": None, "verdict": row["verdict"]}
        assert {key: row[key] for key in keys_of(RequestRecord)} == listed
