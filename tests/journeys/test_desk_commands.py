"""From the gated repos of an account to a desk: init, sync, status and the ledger, as somebody meets them at the command line."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, HOSTILE, MODEL, Console, request_access


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, in which the program runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def busy() -> Iterator[LocalHub]:
    """A Hub with 60 requests in three repos, on which nothing is changed."""
    with LocalHub(requests=60) as hub:
        yield hub


def fits(name: str, document: Any) -> Any:
    jsonschema.validate(document, schema_of(name))
    return document


# ---- init ---------------------------------------------------------------------------------------------------------------


def test_init_without_the_right_to_review_writes_nothing(busy: LocalHub, place: Path) -> None:
    ended = Console(busy, "stranger").run("init", MODEL)
    assert ended.code == 4
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("holder", "said", "warned"),
    [
        ("owner", "It should also be able to decide: its role is write.", ["can write to all repos of its account"]),
        ("fine_write", "able to decide: the token has repo.write.", ["also reaches every repo of "]),
        ("fine_decide", "able to decide: the token has repo.write.", []),
        ("fine_look", None, ["can view but not decide", "repo.write"]),
    ],
)
def test_init_says_at_once_what_the_token_may_do_and_where_else_it_reaches(
    busy: LocalHub, place: Path, holder: str, said: str | None, warned: list[str]
) -> None:
    repo = _first(busy)
    ended = Console(busy, holder).run("init", repo, "--json")
    assert ended.code == 0, ended.err
    assert fits("init", ended.json)["may_decide"] == {repo: holder != "fine_look"}
    lines = [line for line in ended.err.splitlines() if line.startswith("Warning: ")]
    assert all(word in "".join(lines) for word in warned)
    assert len(lines) == (1 if warned else 0)
    assert all("hf-gate help token" in line for line in lines)
    assert said is None or said in ended.err
    checks = Console(busy, holder).run("doctor", repo, "--json").json["checks"]
    reach = [check["detail"] for check in checks if check["check"] == "reach"]
    assert len(reach) == (1 if {"owner", "fine_write"} & {holder} else 0)
    assert place.exists()


def _first(hub: LocalHub) -> str:
    line = hub.repos[0]
    return str(line["repo"]) if line["repo_type"] == "model" else f"datasets/{line['repo']}"


def test_doctor_warns_when_git_keeps_what_a_desk_holds_of_people(busy: LocalHub, place: Path) -> None:
    console = Console(busy)
    console.run("init", MODEL)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)

    def desk() -> Any:
        return next(each for each in console.run("doctor", "--json").json["checks"] if each["check"] == "workspace")

    assert (desk()["ok"], desk()["detail"]) == (True, str(place))
    subprocess.run([*git, "add", "--force", "desk.db"], check=True)
    assert desk()["ok"] is None
    assert "desk.db" in desk()["detail"]
    assert place.exists()


# ---- which desk ---------------------------------------------------------------------------------------------------------


def test_the_desk_is_the_nearest_upwards_or_the_one_that_is_named(
    busy: LocalHub, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(busy)
    console.run("init", MODEL)
    deep = place / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert console.run("status", "--json").json["desk"] == str(place)
    monkeypatch.chdir(place.parent)
    assert console.run("status").code == 2
    assert console.run("status", "--json", "--workspace", str(place)).json["desk"] == str(place)
    assert console.run("status", "--json", env={"HF_GATE_WORKSPACE": str(place)}).json["desk"] == str(place)
    nowhere = console.run("status", "--workspace", str(deep))
    assert nowhere.code == 2
    assert "is not a workspace" in nowhere.error


@pytest.mark.parametrize("args", [["plan"], ["run", "--once"]])
def test_what_needs_a_desk_names_init_when_there_is_none(busy: LocalHub, place: Path, args: list[str]) -> None:
    ended = Console(busy).run(*args)
    assert ended.code == 2
    assert "hf-gate init" in ended.hint
    assert list(place.iterdir()) == []


# ---- status -------------------------------------------------------------------------------------------------------------


def test_status_tells_who_waits_and_what_was_read_whatever_the_token(busy: LocalHub) -> None:
    console = Console(busy)
    console.run("sync")
    doc = fits("status", console.run("status", "--json").json)
    assert sum(one["waiting"] for one in doc["repos"]) == sum(line["pending"] for line in busy.repos)
    assert (doc["problems"], doc["health"]["state"]) == ([], "idle")
    shown = console.run("status")
    assert shown.code == 0
    assert "Every request made before" in shown.out
    assert console.run("status", env={"HF_TOKEN": "hf_local_nobody"}).code == 0


# ---- audit --------------------------------------------------------------------------------------------------------------


def test_the_ledger_is_shown_proved_written_out_and_proved_again(busy: LocalHub, place: Path) -> None:
    console = Console(busy)
    assert console.run("audit", "ls").code == 2
    console.run("sync", MODEL)
    rows = fits("audit-ls", console.run("audit", "ls", MODEL, "--json").json)
    assert rows[0]["kind"] == "SyncEnded"
    seen = console.run("audit", "ls", "--kind", "requestseen", "--actor", "outside", "--json").json
    assert {row["kind"] for row in seen} == {"RequestSeen"}
    shown = fits("audit-show", console.run("audit", "show", seen[-1]["id"], "--json").json)
    assert shown["private"]["record"]
    assert console.run("audit", "show", f"{MODEL}#1").code == 0

    assert console.run("audit", "checkpoint", "--out", "heads.json").code == 0
    proof = console.run("audit", "verify", "--fold", "--checkpoint", "heads.json", "--json")
    assert (proof.code, fits("audit-verify", proof.json)["ok"]) == (0, True)
    assert console.run("audit", "export", "--out", "ledger.jsonl").code == 0
    assert stat.S_IMODE((place / "ledger.jsonl").stat().st_mode) == 0o600
    assert console.run("audit", "verify", "--file", "ledger.jsonl", "--checkpoint", "heads.json").code == 0
    text = (place / "ledger.jsonl").read_text()
    assert shown["private"]["record"][:30] not in text

    (place / "ledger.jsonl").write_text(text.replace('"seq":4,', '"seq":5,'))
    broken = console.run("audit", "verify", "--file", "ledger.jsonl", "--json")
    assert broken.code == 1
    assert broken.json["broken"]
    assert "NOT VERIFIED" in console.run("audit", "verify", "--file", "ledger.jsonl").out
    fits("audit-checkpoint", console.run("audit", "checkpoint", "--json").json)


def test_the_entries_about_one_person_are_found_by_their_name_and_repo(fresh: LocalHub, place: Path) -> None:
    console = Console(fresh)
    request_access(fresh, ["ada-l", "bob"])
    request_access(fresh, ["ada-l"], repo=DATASET)
    console.run("sync", MODEL, DATASET)
    console.run("accept", f"ada-l@{MODEL}")
    kinds = [row["kind"] for row in console.run("audit", "ls", f"ada-l@{MODEL}", "--json").json]
    assert kinds == ["ChangeSettled", "ChangeStarted", "RequestSeen"]
    assert len(console.run("audit", "ls", f"ada-l@{MODEL}", "--kind", "RequestSeen", "--json").json) == 1
    of_repo = console.run("audit", "ls", DATASET, "--json").json
    assert {row["kind"] for row in of_repo} == {"SyncEnded", "RequestSeen"}
    number = console.run("audit", "ls", f"ada-l@{MODEL}", "--json").json[0]["request"]
    assert [row["kind"] for row in console.run("audit", "ls", "--request", str(number), "--json").json] == kinds
    nobody = console.run("audit", "ls", f"cem@{MODEL}")
    assert (nobody.code, "cem" in nobody.error) == (1, True)
    assert list(place.iterdir()) == []


def test_entries_can_be_pasted_from_a_narrow_table_and_say_whose_they_are(fresh: LocalHub) -> None:
    console = Console(fresh)
    request_access(fresh, ["ada-l"], repo=DATASET)
    request_access(fresh, ["bob"])
    console.run("sync", MODEL, DATASET)
    shown = console.run("audit", "ls", env={"COLUMNS": "80"}).out
    for repo in (DATASET, MODEL):
        name = repo.rpartition("/")[2]
        (pasted,) = re.findall(rf" (…\S*/{name}#1) +RequestSeen ", shown)
        assert console.run("audit", "show", pasted).out.startswith(f"{repo}#1 ")
    ambiguous = console.run("audit", "show", "…#1")
    assert (ambiguous.code, "may be an entry of" in ambiguous.error) == (2, True)
    assert console.run("audit", "show", "…/nothing#1").code == 2
    assert re.search(r"#\d+ bob: ", shown)
    assert "ada-l" not in console.run("audit", "ls", "--json").out, "what is written to a file names nobody unasked"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["ls", "--kind", "Nothing"], 2),
        (["show", "desk#999"], 2),
        (["show", "nonsense"], 2),
        (["verify", "--checkpoint", "missing.json"], 2),
        (["verify", "--file", "missing.jsonl"], 2),
        (["verify", "--file", "x", "--fold"], 2),
    ],
)
def test_audit_answers_wrong_questions_in_a_line(busy: LocalHub, place: Path, args: list[str], code: int) -> None:
    console = Console(busy)
    console.run("sync", MODEL)
    ended = console.run("audit", *args)
    assert ended.code == code
    assert ended.error
    assert list(place.iterdir()) == []


def test_no_text_of_a_stranger_acts_when_the_ledger_is_shown(fresh: LocalHub) -> None:
    console = Console(fresh)
    request_access(fresh, ["ada-l"], answers={"Purpose": HOSTILE})
    console.run("sync", MODEL)
    for args in (["ls"], ["show", f"{MODEL}#1"], ["show", f"{MODEL}#1", "--json"]):
        shown = console.run("audit", *args).out
        assert not set("\x1b\u202e\u200b\x07\r") & set(shown)
    assert "Evil" in console.run("audit", "show", f"{MODEL}#1").out
    record = json.loads(console.run("audit", "show", f"{MODEL}#1", "--json").json["private"]["record"])
    assert record["fields"]["Purpose"] == HOSTILE
