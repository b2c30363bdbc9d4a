"""One person across repos, and one request with its history: what was asked, what was said, and who decided."""

from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Hub
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, HOSTILE, MODEL, Console, request_access


@pytest.fixture
def asked(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    """Ada, who was sent back and asked again, and who asked at the dataset too; all of it read into a desk."""
    monkeypatch.chdir(tmp_path)
    console = Console(fresh)
    request_access(fresh, ["ada-l", "bob"])
    request_access(fresh, ["ada-l"], DATASET)
    assert console.run("init", MODEL, DATASET).code == 0
    with Hub(fresh.tokens["owner"], fresh.url) as hub:
        hub.reset(MODEL, "ada-l", reason="say more")
    assert console.run("sync").code == 0
    request_access(fresh, ["ada-l"], answers={"Purpose": HOSTILE})
    assert console.run("sync").code == 0
    return fresh


def test_people_are_listed_with_the_status_at_each_repo(asked: LocalHub) -> None:
    console = Console(asked)
    rows = console.run("person", "ls", "--json").json
    jsonschema.validate(rows, schema_of("people"))
    statuses = {row["user"]: row["requests"] for row in rows}
    dataset = f"datasets/{DATASET.removeprefix('datasets/')}"
    assert statuses == {"ada-l": {dataset: "pending", MODEL: "pending"}, "bob": {MODEL: "pending"}}
    assert [row["user"] for row in console.run("person", "ls", "--query", "user:bob", "--json").json] == ["bob"]
    assert "2 pending" in console.run("person", "ls").out
    assert console.run("person", "ls", "--query", "user:nobody").out.strip() == "No people match."


def test_one_person_gets_and_loses_access_at_several_repos(asked: LocalHub) -> None:
    console = Console(asked)
    assert console.run("revoke", "ada-l@*", "--no-reason").code == 1, "there is no access to end yet"
    planned = console.run("grant", "ada-l@*", "--dry-run", "--json").json
    assert planned["planned"] == 2
    refused = console.run("grant", "ada-l@*")
    assert refused.code == 6, "two changes need a yes"
    given = console.run("grant", f"ada-l@{MODEL}", f"ada-l@{DATASET}", "--yes", "--json")
    jsonschema.validate(given.json, schema_of("verbs"))
    assert (given.code, given.json["done"]) == (0, 2)
    email = next(row["email"] for row in console.run("person", "ls", "--json").json if row["user"] == "ada-l")
    ended = console.run("revoke", f"{email}@*", "--no-reason", "--yes", "--json")
    assert (ended.code, ended.json["done"]) == (0, 2)
    (ada,) = console.run("person", "ls", "--query", "user:ada-l", "--json").json
    assert set(ada["requests"].values()) == {"reset"}


def test_without_a_store_the_hub_is_asked_repo_by_repo(asked: LocalHub, tmp_path: Path) -> None:
    console = Console(asked)
    live = console.run("person", "show", "ada-l", "--live", "--json").json
    assert {(row["repo_type"], row["status"]) for row in live} == {("dataset", "pending"), ("model", "pending")}
    assert len(live) == 2
    assert tmp_path.exists()


def test_nobody_of_that_name_is_told_with_exit_code_1(asked: LocalHub) -> None:
    ended = Console(asked).run("person", "show", "nobody-here")
    assert ended.code == 1
    assert "no request of nobody-here" in ended.error


def test_show_knows_who_is_in_no_list_any_more(asked: LocalHub) -> None:
    console = Console(asked)
    with Hub(asked.tokens["bob"], asked.url) as hub:
        hub.withdraw(MODEL)
    assert console.run("sync", "--full").code == 0
    doc = console.run("show", f"bob@{MODEL}", "--json").json
    assert doc["status"] == "withdrawn"
    assert doc["history"][-1]["kind"] == "RequestWithdrawn"
    assert "gone from all lists" in console.run("show", f"bob@{MODEL}").out
