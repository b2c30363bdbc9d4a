"""`--dry-run` is the run without the send: the same checks, outcomes, exit code and words, and nothing is sent or stored."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.base.ids import parse_repo
from hf_gate.core.runs import RunKind
from hf_gate.decisions.service.runs.runs import create_run
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.testing import LocalHub
from hf_gate.verdicts.plan.model import decode_plan
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import DATASET, MODEL, CommandResult, Console, promote_policy, request_access, status_of
from tests.kits.paths import ROOT
from tests.kits.workspace_folders import TWO_REVIEWERS, write_unread_folder

ENDS = f"""\
version: 1
policy: lantern
applies_to: [{MODEL}]
mode: enforce
rules:
  - id: busy
    when: person.models > 3
    then: accept
    until: 60d
"""
ADA, BOB = f"ada-l@{MODEL}", f"bob99@{MODEL}"


@pytest.fixture
def folder(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace without rules, in which ada-l and bob99 ask, and the staff's own account too."""
    write_unread_folder(tmp_path, fresh, [MODEL, DATASET])
    monkeypatch.chdir(tmp_path)
    assert Console(fresh).run("sync", "--full").code == 0
    return tmp_path


def _content(folder: Path) -> dict[str, bytes]:
    """The files of a workspace; of its store only what it holds, because reading makes empty files beside it."""
    names = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() for path in names if not path.name.endswith(("-shm", "-wal", ".lock"))}


def _kinds(ended: CommandResult) -> list[tuple[str, str]]:
    """The outcomes with their words. What would be sent has no outcome in a dry run."""
    rows = json.loads(ended.out)["outcomes"] if ended.out else []
    kinds = [row["outcome"] or "done" for row in rows]
    return [(kind, "" if kind == "done" else row["why"]) for kind, row in zip(kinds, rows, strict=True)]


def _sentences(ended: CommandResult) -> list[str]:
    return [line for line in ended.err.splitlines() if line.startswith(("Error: ", "Hint: "))]


def _compare(console: Console, folder: Path, *words: str) -> CommandResult:
    """Run a command dry and for real; return how the real one ended."""
    moves, before = console.hub.journal(), _content(folder)
    shown = console.run(*words, "--dry-run")
    tried = console.run(*words, "--json", "--dry-run")
    assert console.hub.journal() == moves, "nothing was sent"
    assert _content(folder) == before, "nothing was stored"
    real = console.run(*words, "--json")
    assert (shown.code, tried.code) == (real.code, real.code), (shown.err, tried.err, real.err)
    assert _kinds(tried) == _kinds(real)
    assert _sentences(tried) == _sentences(real)
    if real.out and real.json["done"] == 0:
        assert f"would {words[0]}" not in shown.out
    return real


# ---- plans ----------------------------------------------------------------------------------------------------------------


def test_a_plan_is_applied_dry_as_it_would_be(fresh: LocalHub, folder: Path) -> None:
    (folder / "policies" / "lantern.yaml").write_text(
        f"version: 1\npolicy: lantern\napplies_to: [{MODEL}]\nmode: enforce\nrules: [{{id: all, then: accept}}]\n"
    )
    console = Console(fresh)
    assert console.run("plan", "--out", "plan.json").code == 0
    with Hub(fresh.tokens["owner"], fresh.url) as elsewhere:
        elsewhere.reject(MODEL, "bob99", reason=None)
    shown = console.run("apply", "plan.json", "--dry-run")
    assert f"  + accept ada-l at {MODEL}  all\n" in shown.out
    assert f"bob99 at {MODEL}: not accepted, stale: " in shown.out
    assert shown.out.splitlines()[-1].endswith(", 1 stale; nothing was sent.")
    assert status_of(fresh, "ada-l") == "pending"
    assert console.run("runs", "ls", "--json").json == []
    real = _compare(console, folder, "apply", "plan.json", "--yes")
    assert real.json["stale"] == 1
    assert real.json["done"] > 0
    again = console.run("apply", "plan.json", "--dry-run")
    assert "already been applied" in again.err


def test_the_rest_of_an_unfinished_run_is_applied_dry_too(fresh: LocalHub, folder: Path) -> None:
    (folder / "policies" / "lantern.yaml").write_text(
        f"version: 1\npolicy: lantern\napplies_to: [{MODEL}]\nmode: enforce\nrules: [{{id: all, then: accept}}]\n"
    )
    console = Console(fresh)
    made = decode_plan(console.run("plan", "--out", "plan.json", "--json").out.encode(), "the plan")
    with open_store(folder / "desk.db", endpoint=fresh.url, world=get_world_id(fresh.url)) as store:
        now = datetime.fromisoformat(made.plan.made_at)
        create_run(store, made, run_id="r_0123456789ab", kind=RunKind.PLAN, actor="ada", now=now)
    shown = console.run("apply", "plan.json", "--dry-run")
    assert shown.out.endswith(f"Dry run: {len(made.changes)} changes; nothing was sent.\n"), shown.out + shown.err
    assert status_of(fresh, "ada-l") == "pending"
    real = _compare(console, folder, "apply", "plan.json", "--yes")
    assert (real.json["run"], real.json["done"]) == ("r_0123456789ab", len(made.changes))


def test_a_dry_run_of_a_plan_keeps_the_limits_and_never_asks(fresh: LocalHub, folder: Path) -> None:
    (folder / "policies" / "lantern.yaml").write_text(
        f"version: 1\npolicy: lantern\napplies_to: [{MODEL}]\nmode: enforce\nrules: [{{id: all, then: accept}}]\n"
    )
    console = Console(fresh)
    assert console.run("plan", "--out", "plan.json").code == 0
    assert _compare(console, folder, "apply", "plan.json", "--max-changes", "1").code == 6
    assert console.run("apply", "plan.json", "--dry-run").code == 0


# ---- decisions -----------------------------------------------------------------------------------------------------------

Prepare = Callable[[LocalHub, Path], None]


def _nothing(_hub: LocalHub, _folder: Path) -> None: ...


def _two_people(hub: LocalHub, folder: Path) -> None:
    (folder / "policies" / "lantern.yaml").write_text(TWO_REVIEWERS)
    promote_policy(hub, "lantern")


def _first_approval(hub: LocalHub, folder: Path) -> None:
    _two_people(hub, folder)
    assert Console(hub, "admin").run("accept", ADA).code == 0


def _own_approval(hub: LocalHub, folder: Path) -> None:
    _two_people(hub, folder)
    assert Console(hub).run("accept", ADA).code == 0


def _own_request(hub: LocalHub, folder: Path) -> None:
    _two_people(hub, folder)
    with Hub(hub.tokens["owner"], hub.url) as mine:
        name = mine.whoami().name
    hub.add_requests([{"repo": MODEL, "repo_type": "model", "user": name, "answers": {}}])
    assert Console(hub).run("sync", "--full").code == 0


def _no_policies(hub: LocalHub, folder: Path) -> None:
    _first_approval(hub, folder)
    (folder / "policies" / "lantern.yaml").write_text("rules: [")


def _rules_with_ends(_hub: LocalHub, folder: Path) -> None:
    (folder / "policies" / "lantern.yaml").write_text(ENDS)


def _accepted(hub: LocalHub, _folder: Path) -> None:
    with Hub(hub.tokens["owner"], hub.url) as other:
        other.accept(parse_repo(MODEL), "ada-l")


def _new_request(hub: LocalHub, _folder: Path) -> None:
    request_access(hub, ["cem-k"])


def _new_request_for_two(hub: LocalHub, folder: Path) -> None:
    _two_people(hub, folder)
    request_access(hub, ["cem-k"])


def _people(hub: LocalHub, _folder: Path) -> None:
    hub.add_people([{"username": "dee-z"}])


def _two_people_and_a_stranger(hub: LocalHub, folder: Path) -> None:
    _two_people(hub, folder)
    _people(hub, folder)


def _accepted_and_synced(hub: LocalHub, folder: Path) -> None:
    _accepted(hub, folder)
    assert Console(hub).run("sync").code == 0


def _crowd(hub: LocalHub, _folder: Path) -> None:
    request_access(hub, [f"person-{number}" for number in range(21)])


def _restored(hub: LocalHub, _folder: Path) -> None:
    console = Console(hub)
    assert console.run("store", "backup", "copy.sqlite").code == 0
    assert console.run("store", "restore", "copy.sqlite", "--yes").code == 0


def _away(hub: LocalHub, _folder: Path) -> None:
    hub.set_faults(["down"])


CROWD = [f"person-{number}" for number in range(21)]
DECISIONS: dict[str, tuple[Prepare, str, list[str], int]] = {
    "plain": (_nothing, "owner", ["accept", ADA], 0),
    "an end": (_nothing, "owner", ["accept", ADA, "--until", "1y"], 0),
    "the first of two approvals": (_two_people, "owner", ["accept", ADA], 0),
    "the second of two approvals": (_first_approval, "owner", ["accept", ADA], 0),
    "an own approval again": (_own_approval, "owner", ["accept", ADA, BOB, "--yes"], 0),
    "an own request": (_own_request, "owner", ["accept", f"lena-brandt@{MODEL}"], 1),
    "policies that cannot be read": (_no_policies, "owner", ["accept", ADA, "--until", "none"], 1),
    "a new request where two must approve": (_new_request_for_two, "owner", ["accept", f"cem-k@{MODEL}"], 0),
    "a new request": (_new_request, "owner", ["accept", f"cem-k@{MODEL}"], 0),
    "an end that nobody knows": (_rules_with_ends, "owner", ["accept", ADA], 2),
    "a token without rights": (_nothing, "reader", ["accept", ADA], 4),
    "already accepted": (_accepted, "owner", ["accept", ADA], 0),
    "already accepted, with an end": (_accepted, "owner", ["accept", ADA, "--until", "1y"], 0),
    "one accepted of two": (_accepted, "owner", ["accept", ADA, BOB, "--yes"], 0),
    "nobody of that name": (_nothing, "owner", ["accept", f"nobody-at-all@{MODEL}"], 1),
    "a person without a request": (_people, "owner", ["accept", f"dee-z@{MODEL}"], 1),
    "one of two without a request": (_people, "owner", ["accept", ADA, f"dee-z@{MODEL}", "--yes"], 5),
    "a grant": (_people, "owner", ["grant", f"dee-z@{MODEL}"], 0),
    "a grant to nobody": (_nothing, "owner", ["grant", f"nobody-at-all@{MODEL}"], 1),
    "a grant where two must approve": (_two_people_and_a_stranger, "owner", ["grant", f"dee-z@{MODEL}"], 1),
    "grant at several repos": (_people, "owner", ["grant", f"dee-z@{MODEL}", f"dee-z@{DATASET}", "--yes"], 0),
    "revoke everywhere": (_accepted_and_synced, "owner", ["revoke", "ada-l@*", "--no-reason"], 0),
    "no reason": (_nothing, "owner", ["reset", ADA], 2),
    "a reason that is too long": (_nothing, "owner", ["reset", ADA, "--reason", "x" * 201], 2),
    "a reason": (_nothing, "owner", ["reject", ADA, BOB, "--reason", "Say more.", "--yes"], 0),
    "back to pending": (_accepted, "owner", ["cancel", ADA], 0),
    "revoke": (_accepted, "owner", ["revoke", ADA, "--how", "cancel"], 0),
    "a limit": (_nothing, "owner", ["accept", ADA, BOB, "--yes", "--max-changes", "1"], 6),
    "more than a yes allows": (_crowd, "owner", ["reject", MODEL, *CROWD, "--no-reason", "--yes"], 6),
    "more than --max": (_nothing, "owner", ["accept", ADA, BOB, "--yes", "--max", "1"], 6),
    "a restored store": (_restored, "owner", ["accept", ADA], 6),
    "the Hub away": (_away, "owner", ["--max-wait", "0", "accept", ADA], 75),
    "the Hub away for several": (_away, "owner", ["--max-wait", "0", "accept", ADA, BOB, "--yes"], 75),
    "a repo that is not there": (_nothing, "owner", ["accept", "ada-l@lumen-labs/nowhere"], 1),
}  # fmt: skip


@pytest.mark.parametrize("situation", DECISIONS)
def test_a_dry_run_of_a_decision_ends_as_the_decision_does(fresh: LocalHub, folder: Path, situation: str) -> None:
    prepare, holder, words, code = DECISIONS[situation]
    prepare(fresh, folder)
    real = _compare(Console(fresh, holder), folder, *words)
    assert real.code == code, real.err


# ---- other commands ------------------------------------------------------------------------------------------------------


def _table(_hub: LocalHub, folder: Path) -> None:
    (folder / "tables").mkdir()
    (folder / "tables" / "partners.csv").write_text("username,expires\nada-l,2099-01-01\nbob99,2099-01-01\n")
    (folder / "new.csv").write_text("username,expires\ncem-k,2099-01-01\n")
    text = "tables: {partners: {file: tables/partners.csv, key: username}}\nretention: {rejected: 30d}\n"
    with (folder / "hf-gate.yaml").open("a") as file:
        file.write(text)


def _linked_table(hub: LocalHub, folder: Path) -> None:
    _table(hub, folder)
    (folder / "tables").rename(folder / "elsewhere")
    (folder / "tables").symlink_to(folder / "elsewhere")


def _without_store(hub: LocalHub, folder: Path) -> None:
    _table(hub, folder)
    for path in folder.glob("desk.db*"):
        path.unlink()


BOX = "I agree to the Lantern community licence and to the acceptable use policy"
OTHERS: dict[str, tuple[Prepare, str, list[str], int]] = {
    "apply a plan that is not there": (_nothing, "owner", ["apply", "nothing.json", "--yes"], 2),
    "add": (_table, "owner", ["table", "add", "partners", "username=cem-k"], 0),
    "add a key that is there": (_table, "owner", ["table", "add", "partners", "username=ada-l"], 2),
    "add behind a link": (_linked_table, "owner", ["table", "add", "partners", "username=cem-k"], 2),
    "add without a store": (_without_store, "owner", ["table", "add", "partners", "username=cem-k"], 0),
    "remove": (_table, "owner", ["table", "remove", "partners", "ada-l"], 0),
    "remove nobody": (_table, "owner", ["table", "remove", "partners", "zoe"], 2),
    "remove for a reason that is too long": (_table, "owner", ["table", "remove", "partners", "ada-l", "--reason", "x" * 201], 2),
    "import": (_table, "owner", ["table", "import", "partners", "new.csv", "--yes"], 0),
    "import that removes too much": (_table, "owner", ["table", "import", "partners", "new.csv", "--replace", "--yes"], 6),
    "import behind a link": (_linked_table, "owner", ["table", "import", "partners", "new.csv", "--yes"], 2),
    "adopt": (_accepted_and_synced, "owner", ["ends", "set", "--all", "--yes"], 0),
    "policy": (_nothing, "owner", ["policy", "new", "first", "--like", "deny"], 0),
    "policy with a table of the workspace": (_table, "owner", ["policy", "new", "first", "--like", "academic"], 2),
    "policy of a name that is taken": (_two_people, "owner", ["policy", "new", "lantern", "--like", "deny"], 2),
    "erase": (_nothing, "owner", ["person", "erase", "ada-l", "--yes"], 0),
    "erase nobody": (_nothing, "owner", ["person", "erase", "zoe", "--yes"], 1),
    "erase by another name": (_nothing, "owner", ["person", "erase", "ADA-L", "--yes"], 6),
    "erase somebody with access": (_accepted_and_synced, "owner", ["person", "erase", "ada-l", "--yes"], 75),
    "erase without a store": (_without_store, "owner", ["person", "erase", "ada-l", "--yes"], 1),
    "withdraw": (_nothing, "ada-l", ["withdraw", MODEL], 0),
    "withdraw nothing": (_nothing, "stranger", ["withdraw", MODEL], 1),
    "withdraw what was accepted": (_accepted, "ada-l", ["withdraw", MODEL], 1),
    "ask": (_nothing, "stranger", ["ask", MODEL, "--yes", "-a", f"{BOX}=true"], 0),
    "ask with an open box": (_nothing, "stranger", ["ask", MODEL, "--yes"], 2),
    "ask without answers": (_nothing, "stranger", ["ask", MODEL], 2),
    "retention": (_table, "owner", ["store", "retention", "--yes"], 0),
    "no retention": (_nothing, "owner", ["store", "retention", "--yes"], 2),
    "retention without a store": (_without_store, "owner", ["store", "retention", "--yes"], 0),
}  # fmt: skip


@pytest.mark.parametrize("situation", OTHERS)
def test_a_dry_run_of_another_command_ends_as_the_command_does(fresh: LocalHub, folder: Path, situation: str) -> None:
    prepare, holder, words, code = OTHERS[situation]
    prepare(fresh, folder)
    console, moves, before = Console(fresh, holder), fresh.journal(), _content(folder)
    shown = console.run(*words, "--dry-run")
    assert (fresh.journal(), _content(folder)) == (moves, before), "nothing was sent or written"
    real = console.run(*words)
    assert (shown.code, real.code) == (code, code), (shown.err, real.err)
    assert _sentences(shown) == _sentences(real)


def test_every_command_with_a_dry_run_is_compared_with_its_run() -> None:
    known = {" ".join(words) for _, _, words, _ in (*DECISIONS.values(), *OTHERS.values())}
    left = [path for path in _commands_with_dry_run() if not any(f"{path} " in f"{words} " for words in known)]
    assert left == []


def _commands_with_dry_run() -> list[str]:
    """The commands that take --dry-run, as the reference of commands names them."""
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    parts = re.split(r"(?m)^#+ `?hf-gate ", text)[1:]
    heads = [re.split(r"[`\n]", part)[0] for part in parts if "`--dry-run`" in part]
    return [match[0].strip() for head in heads if (match := re.match(r"([a-z]+( |\Z))+", head))]
