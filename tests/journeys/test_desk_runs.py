"""What runs tell of themselves at a desk: what was done and by which rule, how to take back the latest, and how many are shown."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.base.timestamps import to_ms
from hf_gate.command_line.automation.run import budget_warning
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.core.events.events import GrantDated, LedgerEntry, canonical_json
from hf_gate.core.runs import RunKind
from hf_gate.decisions.service.runs.runs import create_run
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.requests.sync_schedule import minimum_pause
from hf_gate.testing import LocalHub
from hf_gate.verdicts.plan.model import decode_plan
from hf_gate.workspace.rows.opening import open_store
from hf_gate.workspace.service.bootstrap import utc_now
from tests.kits.command_line import DATASET, MODEL, PROGRAM, Console, request_access, status_of

POLICY = f"""\
version: 1
policy: voices
applies_to: [{DATASET}]
mode: enforce
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Say more.
  - {{id: all, then: accept, until: 1y}}
"""


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A desk with a policy that acts; two have asked, and one of them wrote nothing that counts."""
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l"], DATASET)
    request_access(fresh, ["bob"], DATASET, {"Purpose": "test"})
    console = Console(fresh)
    assert console.run("init", DATASET, MODEL).code == 0
    (tmp_path / "policies" / "starter.yaml").write_text(POLICY, "utf-8")
    return console


def test_a_turn_says_what_was_done_by_which_rule(console: Console) -> None:
    assert re.search(
        r"run r_\w+ \(ended\): 2 done: 1 accepted \(all\), 1 reset \(say-more\)\.\n", console.run("run", "--once").out
    )


def test_a_plan_without_changes_has_nothing_to_apply(console: Console) -> None:
    assert console.run("run", "--once").code == 0
    made = console.run("plan", "--out", "empty.json")
    assert (made.code, "Next:" in made.out) == (0, False)
    runs = console.run("runs", "ls", "--json").json
    for _ in range(2):
        ended = console.run("apply", "empty.json")
        assert (ended.code, ended.out) == (0, "This plan has no changes: nothing to apply.\n"), ended.err
    document = console.run("apply", "empty.json", "--json").json
    assert (document["run"], document["planned"], document["outcomes"]) == (None, 0, [])
    assert console.run("runs", "ls", "--json").json == runs, "no run is made of nothing"


def test_what_a_guard_leaves_for_later_may_be_done_by_hand(console: Console, fresh: LocalHub, tmp_path: Path) -> None:
    request_access(fresh, ["cyd"], DATASET, {"Purpose": "test"})
    place = tmp_path / "hf-gate.yaml"
    place.write_text(place.read_text("utf-8").replace("reset: 200/h", "reset: 1/h"), "utf-8")
    said = console.run("run", "--once").out
    assert re.search(r"1 to reset exceed a guard.+`hf-gate status`.+`hf-gate apply plan.json`\.\n", said), said
    assert "STUCK: The guard `reset: 1/h` is used up" in console.run("status").out
    assert console.run("plan", "--out", "plan.json").code == 0
    assert "1 done: 1 reset (say-more)" in console.run("apply", "plan.json", "--yes").out


def test_undo_without_a_run_means_the_latest_that_did_something_and_names_it(console: Console) -> None:
    nothing = console.run("undo", "--out", "back.json")
    assert (nothing.code, "no run has changed anything yet" in nothing.error) == (2, True)
    run = console.run("run", "--once", "--json").json["run"]
    ended = console.run("undo", "--out", "back.json")
    assert f"The latest run with changes is {run} (hf-gate run, " in ended.err
    assert "): 1 accepted (all), 1 reset (say-more).\n" in ended.err
    assert len(json.loads(Path("back.json").read_text())["changes"]) == 2
    assert "would plan the same changes again" in ended.out
    assert console.run("apply", "back.json", "--yes").code == 0
    assert status_of(console.hub, "ada-l") == status_of(console.hub, "bob") == "pending"


def test_runs_and_ends_are_listed_as_many_as_are_asked_for(console: Console) -> None:
    request_access(console.hub, ["cem"], DATASET)
    console.run("run", "--once")
    request_access(console.hub, ["dora-k"], DATASET)
    console.run("run", "--once")
    for args, shown in (
        (["runs", "ls"], "Showing the newest 1. All: --all"),
        (["ends", "ls"], "Showing the first 1 "),
    ):
        assert len(console.run(*args, "--json").json) >= 2
        assert len(console.run(*args, "--limit", "1", "--json").json) == 1
        assert console.run(*args, "--limit", "1", "--json").json == console.run(*args, "--json").json[:1]
        assert shown in console.run(*args, "--limit", "1").err
        assert "Showing" not in console.run(*args, "--all").err
        assert console.run(*args, "--limit", "0", "--json").json == []


# ---- the starter policy -------------------------------------------------------------------------------------------------


# ---- whose plan it is --------------------------------------------------------------------------------------------------


def resealed_file(change: Callable[[dict[str, Any]], None]) -> None:
    """Somebody edits plan.json and seals it again: the digest has no key."""
    document = json.loads(Path("plan.json").read_text("utf-8"))
    change(document)
    del document["plan"]["digest"]
    document["plan"]["digest"] = hashlib.sha256(canonical_json(document)).hexdigest()
    Path("plan.json").write_text(json.dumps(document), "utf-8")


def pose_as_nobodys(document: dict[str, Any]) -> None:
    document["plan"]["policy_digest"] = ""


def name_another_policy(document: dict[str, Any]) -> None:
    document["plan"]["policy_digest"] = ""
    document["changes"][0] |= {"policy": "somebody-elses", "policy_digest": "deadbeef"}


def let_in_as_a_person(document: dict[str, Any]) -> None:
    document["plan"]["policy_digest"] = ""
    document["changes"][0] |= {"policy": None, "policy_digest": None, "to": "accepted"}


@pytest.mark.parametrize("edit", [pose_as_nobodys, name_another_policy, let_in_as_a_person])
def test_a_plan_that_somebody_sealed_again_is_not_carried_out(
    console: Console, edit: Callable[[dict[str, Any]], None]
) -> None:
    console.run("plan", "--out", "plan.json")
    resealed_file(edit)
    ended = console.run("apply", "plan.json", "--yes")
    assert (ended.code, "nothing was sent" in ended.error) == (6, True)
    assert "hf-gate plan --out plan.json" in ended.hint
    assert status_of(console.hub, "ada-l") == status_of(console.hub, "bob") == "pending"


def test_of_a_run_in_which_nothing_failed_there_is_nothing_to_try_again(console: Console, tmp_path: Path) -> None:
    run = console.run("run", "--once", "--json").json["run"]
    assert "Nothing was saved." in console.run("runs", "retry", run, "--out", "again.json").out
    assert not (tmp_path / "again.json").exists()


# ---- a word that ends a run ----------------------------------------------------------------------------------------------


@pytest.fixture
def cut_off(console: Console, tmp_path: Path) -> str:
    """A run of the loop that was written down, and whose process died before anything was sent."""
    console.run("sync")
    made = decode_plan(console.run("plan", "--json").out.encode(), "the plan")
    url = console.hub.url
    with open_store(tmp_path / "desk.db", endpoint=url, world=get_world_id(url)) as store:
        return create_run(
            store,
            made,
            run_id="r_0123456789ab",
            kind=RunKind.AUTO,
            actor="lena-brandt",
            now=datetime.fromisoformat(made.plan.made_at),
        ).id


def test_a_run_that_nobody_carries_is_paused_at_once_and_the_loop_leaves_its_people_alone(
    console: Console, cut_off: str
) -> None:
    paused = console.run("runs", "stop", cut_off)
    assert f", workspace {Path.cwd()}\n" in paused.err
    assert paused.out == f"Run {cut_off} has paused. To continue: hf-gate runs continue {cut_off}\n"
    turn = console.run("run", "--once").out
    assert f"2 changes held, because run {cut_off} was paused. To continue: hf-gate runs continue {cut_off}" in turn
    assert status_of(console.hub, "ada-l") == "pending"
    assert console.run("runs", "continue", cut_off).code == 0
    assert status_of(console.hub, "ada-l") == "accepted"
    assert "held" not in console.run("run", "--once").out


def test_pausing_and_stopping_a_run_print_a_document(console: Console, cut_off: str) -> None:
    for word, state, more in (("pause", "paused", []), ("stop", "stopped", ["--for-good"])):
        printed = console.run("runs", "stop", cut_off, *more, "--json").json
        jsonschema.validate(printed, schema_of("runs-stop"))
        assert (printed["run"], printed["state"], printed["requested"]) == (cut_off, state, word)
    over = console.run("runs", "stop", cut_off, "--json")
    assert (over.json["state"], over.json["requested"], over.err.count("already")) == ("stopped", None, 0)
    assert "is already over: stopped." in console.run("runs", "stop", cut_off).out


def test_a_run_that_nobody_carries_is_stopped_at_once_and_its_policy_acts_again_when_it_is_promoted(
    console: Console, cut_off: str
) -> None:
    assert console.run("runs", "stop", cut_off, "--for-good").out == f"Run {cut_off} has stopped.\n"
    continued = console.run("runs", "continue", cut_off)
    assert "nothing is left to send" in continued.out + continued.err
    assert status_of(console.hub, "ada-l") == "pending"
    assert "hf-gate policy promote voices" in console.run("run", "--once").out
    assert status_of(console.hub, "ada-l") == "pending"
    assert console.run("policy", "promote", "voices", "--yes").code == 0
    console.run("run", "--once")
    assert status_of(console.hub, "ada-l") == "accepted"


def test_a_pause_that_takes_too_much_of_the_token_is_told_with_one_that_does_not() -> None:
    least = minimum_pause(4 * 38, quota=500, window=300)
    assert budget_warning(300, least, 38) == (
        "Syncing 38 repos every 5 min uses 30% of this token's calls. --every 31m or auto keeps it at 5%."
    )


def test_a_loop_turns_at_once_when_the_clock_that_it_follows_jumps(console: Console) -> None:
    environment = console.environment({"HF_GATE_CLOCK": "hub"})
    words = [*PROGRAM, "run", "--every", "10h", "--json"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as loop:
        assert loop.stdout is not None
        try:
            assert json.loads(loop.stdout.readline())["run"] is not None
            console.hub.clock.advance("11h")
            assert json.loads(loop.stdout.readline())["run"] is None
        finally:
            loop.terminate()


def test_apply_by_a_clock_that_is_off_ends_no_grant_and_says_so(console: Console) -> None:
    console.run("run", "--once")
    at, url = to_ms(utc_now()), console.hub.url
    with open_store(Path("desk.db").absolute(), endpoint=url, world=get_world_id(url)) as store:
        (row,) = (each for each in store.find_by_identity(None, "ada-l") if each.state.status == "accepted")
        ended = GrantDated(until=at - 86_400_000, at_end="reset", rule="voices/all", written="1y")
        with store.writing() as write:
            entry = LedgerEntry(event=ended, at=at, actor="lena-brandt", request=row.id, person=row.person.id)
            write.append(row.repo, [entry])
    assert console.run("plan", "--out", "plan.json", "--json").json["changes"][0]["rule"] == "until"
    console.hub.clock.advance("10m")
    applied = console.run("apply", "plan.json", "--yes")
    assert (applied.code, "1 deferred" in applied.out) == (0, True), applied.err
    assert re.search(r"No grant was ended: this machine's clock is .* behind the Hub's\.", applied.err)
    assert status_of(console.hub, "ada-l") == "accepted"
