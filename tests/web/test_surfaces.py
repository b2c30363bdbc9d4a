"""Every surface that prints records prints the same keys: commands, files of the desk, its JSON API and their schemas."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.console import Console
from tests.web.kit import GOOD, POLICY, Room, Visitor, a_room
from tests.web.test_api import _post
from tests.web.test_plans import ended, made

REQUEST = ("repo", "repo_type", "request_id", "user_id", "user", "fullname", "email", "status", "asked_at", "reviewed_at", "answers", "quality", "verdict")  # fmt: skip
STORED = tuple(key for key in REQUEST if key != "quality")
OUTCOME = ("user", "user_id", "request_id", "repo", "repo_type", "outcome", "why")
CHANGE = ("n", "repo", "repo_type", "request_id", "user_id", "user", "asked_at", "from", "to", "reason", "rule", "policy", "until", "outcome", "why")  # fmt: skip
PLANNED = ("repo", "repo_type", "request_id", "user_id", "user", "asked_at", "answers_digest", "from", "to", "reason", "rule", "policy", "policy_digest", "because", "until", "at_end", "row")  # fmt: skip
ENTRY = ("id", "at", "kind", "actor", "repo", "repo_type", "request", "text", "body")
QUESTIONS = ("answers.Purpose", "answers.=Country")

COMMANDS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "ls": (["ls", "--status", "all"], REQUEST),
    "ls --live": (["ls", "--live", "--status", "all"], REQUEST),
    "ls --by person": (["ls", "--by", "person"], REQUEST),
    "person": (["person", "ada"], (*REQUEST, "attempt", "until")),
    "person --live": (["person", "ada", "--live"], (*REQUEST, "attempt", "until")),
    "repos ls": (["repos", "ls"], ("repo", "repo_type", "gated")),
    "repos report": (
        ["repos", "report", "REPO"],
        ("repo", "repo_type", "user", "fullname", "email", "status", "asked_at", "reviewed_at", "granted_by"),
    ),
    "runs ls": (["runs", "ls"], ("run", "kind", "state", "actor", "made_at", "plan", "planned", "counts")),
    "expire ls": (
        ["expire", "ls"],
        ("until", "user", "user_id", "request_id", "repo", "repo_type", "at_end", "rule"),
    ),
    "audit ls": (["audit", "ls"], ENTRY),
}
"""Commands that print many records, and the keys of each."""

PARTS: Mapping[str, tuple[Sequence[str], str, Sequence[str]]] = {
    "accept": (["accept", "ada@REPO", "--dry-run"], "outcomes", OUTCOME),
    "runs show": (["runs", "show", "RUN"], "outcomes", OUTCOME),
    "status: repos": (
        ["status"],
        "repos",
        (
            "repo",
            "repo_type",
            "counts",
            "waiting",
            "oldest_asked_at",
            "median_wait_s",
            "quick_at",
            "full_at",
            "complete",
            "problem",
            "answered",
        ),
    ),
    "policy check: problems": (
        ["policy", "check"],
        "problems",
        ("file", "line", "column", "length", "level", "code", "message", "hint", "fix"),
    ),
    "policy check: policies": (
        ["policy", "check"],
        "policies",
        ("policy", "file", "mode", "digest", "applies_to", "rules", "tests", "failing_tests", "accepts"),
    ),
    "show: history": (["show", "ada@REPO"], "history", ("at", "attempt", "kind", "actor", "text")),
}
"""Documents with records in them: the command, under which key, and the keys of each record."""

DOCUMENTS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "show": (["show", "ada@REPO"], ("schema_version", *REQUEST, "granted_by", "account", "history")),
    "repos show": (
        ["repos", "show", "REPO"],
        ("schema_version", "repo", "repo_type", "gated", "counts", "fields", "fingerprint"),
    ),
    "runs show": (
        ["runs", "show", "RUN"],
        (
            "schema_version",
            "run",
            "planned",
            "done",
            "already",
            "stale",
            "gone",
            "refused",
            "deferred",
            "open",
            "outcomes",
        ),
    ),
    "audit show": (["audit", "show", "REPO#1"], ("schema_version", *ENTRY, "private", "commitment", "hash")),
}
"""Documents that are one record."""

FILES: Mapping[str, tuple[str, Sequence[str]]] = {
    "queue": ("/queue.{kind}?q=", STORED),
    "queue by person": ("/queue.{kind}?q=&by=person", STORED),
    "bulk": ("/bulk/PICK.{kind}?verb=accept", STORED),
    "person": ("/people/PERSON.{kind}", (*STORED, "attempt", "until")),
    "people": ("/people.{kind}", ("person", "user_id", "user", "fullname", "email", "requests")),
    "repos": (
        "/repos.{kind}",
        (
            "repo",
            "repo_type",
            "gated",
            "pending",
            "accepted",
            "rejected",
            "reset",
            "oldest_asked_at",
            "quick_at",
            "full_at",
            "complete",
            "problem",
            "fields",
            "form_problems",
            "fingerprint",
            "policies",
        ),
    ),
    "policies": (
        "/policies.{kind}",
        ("policy", "file", "mode", "digest", "applies_to", "rules", "tests", "errors", "warnings"),
    ),
    "plans": ("/plans.{kind}", ("digest", "made_at", "by", "kind", "changes", "run", "state")),
    "plan": ("/plans/PLAN.{kind}", CHANGE),
    "run": ("/runs/RUN.{kind}", CHANGE),
    "audit": ("/audit.{kind}", ENTRY),
}
"""Files of the desk, and the keys of each record."""


class Scene:
    """A desk with a plan that was carried, an access that ends, a selection, and what the addresses of them are."""

    def __init__(self, room: Room, folder: Path) -> None:
        self.room, self.console, self.folder = room, Console(room.local), folder
        self.lena: Visitor = room.visitor()
        room.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD, "=Country": "Chad"})
        room.ask([{"username": "bob"}, {"username": "cyd"}], {"Purpose": "test"})
        plan = made(room, self.lena)
        run = self.lena.post(plan, {"do": "apply"}).headers["location"]
        ended(room, run)
        room.ask([{"username": "dee"}, {"username": "eve"}], {"Purpose": GOOD})
        row = room.row("dee")
        version = self.lena.get(f"/api/v1/requests/{row.state.hub_request}").json["version"]
        chosen = [{"id": row.state.hub_request, "version": version}]
        _post(self.lena, "/decisions", {"verb": "accept", "requests": chosen, "until": "90d"})
        room.leave()
        self.lena.post("/selection", {"do": "all", "q": "status:pending"})
        pick = self.lena.post("/bulk", {"verb": "accept"}).headers["location"]
        self.names = {
            "PICK": pick.partition("?")[0].rpartition("/")[2],
            "PERSON": room.row("ada").person.pseudonym,
            "PLAN": plan.rpartition("/")[2],
            "RUN": run.rpartition("/")[2],
            "REPO": str(room.repo),
        }

    def run(self, args: Sequence[str], *flags: str) -> str:
        """What a command prints at this desk."""
        ended = self.console.run(*map(self._named, args), *flags, env={"HF_GATE_WORKSPACE": str(self.folder)})
        assert ended.code == 0, ended.err
        return ended.out

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
    with a_room(folder, POLICY + "  - id: late\n    then: human\n") as room:
        yield Scene(room, folder)


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def _table(text: str) -> list[str]:
    return next(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_the_same_records_in_every_format(scene: Scene, name: str) -> None:
    args, keys = COMMANDS[name]
    rows = json.loads(scene.run(args, "--json"))
    assert rows
    assert {tuple(row) for row in rows} == {tuple(keys)}
    assert _lines(scene.run(args, "--format", "jsonl")) == rows
    told = scene.run(args, "--format", "agent").splitlines()[0].split("\t")
    assert [key.removeprefix("untrusted_") for key in told] == list(keys)
    plain = [key for key in keys if key not in {"answers", "quality"}]
    head = _table(scene.run(args, "--format", "csv"))
    assert [key for key in head if not key.startswith("answers.")] == plain
    assert set(head) - set(plain) <= set(QUESTIONS)


@pytest.mark.parametrize("name", PARTS)
def test_a_document_has_the_same_records_in_it(scene: Scene, name: str) -> None:
    args, part, keys = PARTS[name]
    rows = json.loads(scene.run(args, "--json"))[part]
    assert rows
    assert {tuple(row) for row in rows} == {tuple(keys)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_one_record_has_its_keys(scene: Scene, name: str) -> None:
    args, keys = DOCUMENTS[name]
    assert tuple(json.loads(scene.run(args, "--json"))) == tuple(keys)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_desk_has_the_same_records_in_every_format(scene: Scene, name: str) -> None:
    path, keys = FILES[name]
    rows = _lines(scene.file(path, "jsonl"))
    assert rows
    assert {tuple(row) for row in rows} == {tuple(keys)}
    if name != "plan":  # its .json is the plan itself, as `hf-gate apply` takes it
        assert json.loads(scene.file(path, "json")) == rows
    assert _table(scene.file(path, "csv")) == list(keys)


def test_the_plan_of_a_file_is_the_plan_of_a_command(scene: Scene) -> None:
    (*_, change) = json.loads(scene.file("/plans/PLAN.{kind}", "json"))["changes"]
    assert tuple(change) == PLANNED


def test_the_api_gives_requests_with_their_id_and_version(scene: Scene) -> None:
    rows = scene.lena.get("/api/v1/requests?q=").json["requests"]
    assert {tuple(row) for row in rows} == {("id", "version", *STORED)}
    assert tuple(scene.lena.get(f"/api/v1/requests/{rows[0]['id']}").json) == ("id", "version", *STORED)
