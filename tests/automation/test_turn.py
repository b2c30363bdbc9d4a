"""One turn of `run`: what an earlier one left half-way is settled, and what was not sent is asked of today's policies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from pathlib import Path

import pytest
from msgspec import to_builtins

from hf_gate.automation.service.health import list_problems, list_unfinished_runs
from hf_gate.automation.service.turn import turn_result_record
from hf_gate.automation.service.turn_log import condition_of_failure, list_failures
from hf_gate.core.lifecycle import Status
from hf_gate.core.runs import RunKind
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.service.direct_decisions import Choice
from hf_gate.decisions.service.runs.runs import check_plan, plan_retry, plan_undo, policy_versions
from hf_gate.errors import Guarded, HfGateError, NotGated, StoreDamaged
from hf_gate.verdicts.plan.render import render_plan
from tests.kits.acts import ACCEPT, RESET, decide, undo
from tests.kits.in_process_hub import InProcessHub
from tests.kits.workspaces import (
    POLICY,
    HubWorkspace,
    accept_for_thirty_days,
    interrupt_turn,
    list_statuses,
    policy_ending_on,
    write_workspace,
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(repos=1))
    yield made
    made.close()


def test_a_policy_put_in_shadow_lets_nobody_in_by_what_an_earlier_turn_left(scene: HubWorkspace) -> None:
    run = interrupt_turn(scene)
    write_workspace(scene.folder, POLICY.replace("mode: enforce", "mode: shadow"))
    scene.join()
    done = scene.turn()
    assert list_statuses(scene) == {"pending"}
    assert done.run is None
    assert set(scene.states(run).values()) == {"planned"}
    assert scene.reload(run).state == "abandoned"
    scene.check_over()


def test_a_run_that_nobody_stopped_is_abandoned_and_the_next_turn_says_so(scene: HubWorkspace) -> None:
    run = interrupt_turn(scene)
    resumed = turn_result_record(scene.turn()).resumed
    assert [(one.run, one.state, one.counts) for one in resumed] == [(run.id, "abandoned", {"planned": 3})]
    assert to_builtins(turn_result_record(scene.turn()))["resumed"] == [], "it is over"
    assert run.id not in {one.id for one in list_unfinished_runs(scene.store)}


# ---- what is told at the end of a grant --------------------------------------------------------------------------------


def told_at_the_end(scene: HubWorkspace, policy: str) -> list[str | None]:
    """What the one who is let in for 30 days is told when they are over."""
    write_workspace(scene.folder, policy)
    scene.join()
    scene.ask({"ada": "while"})
    scene.turn()
    assert list_statuses(scene) == {"accepted", None}
    scene.local_hub.time.advance(31 * 86_400)
    return [change.reason for change in scene.plan().changes]


def test_a_turn_evaluates_only_what_changed_unless_all_is_wanted(scene: HubWorkspace) -> None:
    scene.ask({"ada": "nothing", "bo": "nothing", "cy": "nothing"})
    assert to_builtins(turn_result_record(scene.turn()))["evaluated"] == 3
    assert scene.turn().planned.evaluated == 0
    scene.ask({"di": "nothing"})
    assert scene.turn().planned.evaluated == 1
    assert scene.turn(is_full=True).planned.evaluated == 4
    assert scene.turn().planned.evaluated == 0


def test_the_places_in_the_reason_of_an_end_are_filled_in(scene: HubWorkspace) -> None:
    policy = POLICY.replace("until: 30d", 'until: 30d\n    end_reason: "Over at {repo}, {user} ({rule})."')
    assert told_at_the_end(scene, policy) == [f"Over at {scene.repos[0].id}, ada (for-a-while)."]


def test_whoever_is_rejected_at_the_end_is_not_told_that_they_may_ask_again(scene: HubWorkspace) -> None:
    (reason,) = told_at_the_end(scene, POLICY.replace("until: 30d", "until: 30d\n    at_end: reject"))
    assert reason == "Your access has ended."


# ---- a store that somebody edited --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        """UPDATE changes SET change = CAST(replace(CAST(change AS TEXT), '"to":"reset"', '"to":"accepted"') AS BLOB)""",
        "UPDATE changes SET request_id = 3 - request_id WHERE n = 1",
        "DELETE FROM changes WHERE n = 2",
        "UPDATE runs SET plan = 'c0ffee'",
        "DELETE FROM plans",
    ],
)
def test_a_run_whose_changes_are_not_those_of_its_plan_is_not_carried(scene: HubWorkspace, sql: str) -> None:
    scene.ask({"ada": "reset", "bo": "reset"})
    scene.sync()
    run = scene.approve(scene.plan())
    with sqlite3.connect(scene.folder / "desk.db") as db:
        assert db.execute(sql).rowcount
    db.close()
    with pytest.raises(StoreDamaged, match="differ from its plan; nothing was sent"):
        scene.execute(scene.reload(run))
    assert {scene.status_on_hub(name) for name in ("ada", "bo")} == {"pending"}


def test_an_acceptance_whose_end_is_past_waits_for_a_person(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bo", "cy"])
    write_workspace(scene.folder, policy_ending_on("2020-01-01"))
    scene.join()
    done = scene.turn()
    assert list_statuses(scene) == {"pending"}
    assert done.planned.plan.summary["human"] >= 3
    assert done.planned.plan.summary["accept_human"] == 3
    (line,) = [line for line in render_plan(done.planned.plan, UTC) if "two reviewers" in line]
    assert line.split()[:3] == ["needs", "review", "3"]


def test_an_acceptance_that_asks_for_two_reviewers_waits_for_people(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bo", "cy"])
    write_workspace(scene.folder, policy_ending_on("1y\n    reviewers: 2"))
    scene.join()
    done = scene.turn()
    assert list_statuses(scene) == {"pending"}
    assert done.planned.plan.summary["accept_human"] == 3


def test_where_decisions_are_refused_not_every_turn_begins_them_anew(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bo", "cy"])
    scene.sync()
    scene.local_hub.set_faults(["ungate:call=1:on=batch|handle"])
    first = scene.turn()
    assert isinstance(first.stopped, NotGated)
    (incident,) = [condition_of_failure(failure).key for failure in list_failures(first)]
    for _ in range(3):
        done = scene.turn()
        assert done.run is None
        assert [condition_of_failure(failure).key for failure in list_failures(done)] == [incident]
        (told,) = [one for one in list_problems(scene.workspace) if one.kind == "refused"]
        assert f"{scene.repos[0]} refused recent decisions: " in told.sentence
        assert "is not gated" in told.sentence
    assert len(scene.store.runs()) == 1
    scene.local_hub.time.advance(3601)
    assert [one for one in list_problems(scene.workspace) if one.kind == "refused"] == []
    done = scene.turn()
    assert isinstance(done.stopped, NotGated)  # it is asked again after an hour
    assert [condition_of_failure(failure).key for failure in list_failures(done)] == [incident]
    assert len(scene.store.runs()) == 2
    scene.check()


def test_a_run_that_waits_for_its_owner_is_told_of_once_and_not_in_every_turn(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bo", "cy"])
    scene.sync()
    run = scene.approve(scene.plan())
    scene.local_hub.set_faults(["ungate:call=1:on=batch|handle"])
    with suppress(HfGateError):
        scene.execute(run)
    before = len(scene.store.entries(run=run.id))
    for _ in range(3):
        scene.turn()
    assert len(scene.store.entries(run=run.id)) == before


# ---- a second try -------------------------------------------------------------------------------------------------------


def test_what_a_policy_decided_that_was_changed_since_is_not_tried_again(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bo"])
    scene.sync()
    run = scene.approve(scene.plan())
    with scene.store.writing() as write:
        write.set_change_states(run.id, [(1, "refused", "the Hub said no"), (2, "refused", "the Hub said no")])
    in_force = policy_versions(scene.bundle.policies)
    assert len(plan_retry(scene.store, run, now=scene.clock.now(), versions=in_force).changes) == 2
    write_workspace(scene.folder, policy_ending_on("1y"))
    scene.join()
    of_today = policy_versions(scene.bundle.policies)
    again = plan_retry(scene.store, run, now=scene.clock.now(), versions=of_today)
    assert (again.changes, again.summary["outdated"], again.summary["left_out"]) == ([], 2, 0)
    assert any("decided by older policies" in line for line in render_plan(again, UTC))
    stale = plan_retry(scene.store, run, now=scene.clock.now())
    with pytest.raises(Guarded, match=r"policy wishes@\w{8} in this plan is not the current version"):
        check_plan(stale, endpoint=scene.store.endpoint, policy_digest=None, now=scene.clock.now(), versions=of_today)


# ---- the way back -------------------------------------------------------------------------------------------------------


def put_back(scene: HubWorkspace, run: RunRow) -> list[str]:
    """A run is taken back as far as it can be; what cannot be is told."""
    plan, notes = plan_undo(scene.store, run, now=scene.clock.now())
    if plan.changes:
        scene.execute(scene.approve(plan, RunKind.UNDO))
    scene.check_over()
    return notes


def test_no_undo_gives_access_back_whose_end_has_come(scene: HubWorkspace) -> None:
    accept_for_thirty_days(scene)
    scene.local_hub.time.advance(31 * 86_400)
    run = scene.turn().run
    assert run is not None
    assert scene.status_on_hub("ada") == "reset"
    assert any("1 had access whose end has passed" in note for note in put_back(scene, run))
    assert scene.status_on_hub("ada") == "reset"


def test_who_had_access_without_an_end_is_put_back_without_one(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.sync()
    decide(scene, Choice(Status.ACCEPTED, until="30d"), "ada")
    decide(scene, Choice(Status.PENDING), "ada")  # ends what was dated
    decide(scene, ACCEPT, "ada")
    undo(scene, decide(scene, RESET, "ada"))
    assert (scene.status_on_hub("ada"), scene.row("ada").state.until) == ("accepted", None)


# ---- whose clock is wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [31 * 86_400, 400])
def test_a_clock_that_is_wrong_ends_no_grant_and_says_so(scene: HubWorkspace, skew: float) -> None:
    write_workspace(scene.folder, policy_ending_on("30d"))
    scene.join()
    scene.ask(["ada", "bo"])
    scene.turn()
    scene.local_hub.time.advance(30 * 86_400 - skew + 30)
    scene.ask(["cy"])
    scene.local_hub.skew = skew
    done = scene.turn()
    assert [scene.status_on_hub(name) for name in ("ada", "bo", "cy")] == ["accepted"] * 3, "who may come in is let in"
    assert to_builtins(turn_result_record(done))["clock_skew_s"] == -round(skew)
    scene.local_hub.skew = 0.0
    scene.local_hub.time.advance(skew)
    assert to_builtins(turn_result_record(scene.turn()))["clock_skew_s"] is None
    assert [scene.status_on_hub(name) for name in ("ada", "bo")] == ["reset"] * 2


def test_a_plan_asks_the_hub_for_the_time_before_it_ends_anything(scene: HubWorkspace) -> None:
    write_workspace(scene.folder, policy_ending_on("30d"))
    scene.join()
    scene.ask(["ada"])
    scene.turn()
    scene.local_hub.time.advance(86_400)
    scene.local_hub.skew = 30 * 86_400
    scene.restart()
    assert scene.hub.skew is None, "nothing was asked yet"
    made = scene.make_plan()
    assert (made.plan.changes, made.skew) == ([], -30 * 86_400)
    scene.local_hub.skew = 0.0
    scene.local_hub.time.advance(30 * 86_400)
    scene.restart()
    made = scene.make_plan()
    assert ([change.verb for change in made.plan.changes], made.skew) == (["remove"], None)


@pytest.mark.parametrize("skew", [400, -400])
def test_a_plan_that_is_applied_by_a_wrong_clock_ends_no_grant_and_does_the_rest(
    scene: HubWorkspace, skew: float
) -> None:
    accept_for_thirty_days(scene)
    scene.local_hub.time.advance(31 * 86_400)
    scene.ask(["bo"])
    scene.sync()
    run = scene.approve(scene.plan())
    assert run.total == 2
    scene.local_hub.skew = skew
    scene.execute(run)
    assert [scene.status_on_hub(name) for name in ("ada", "bo")] == ["accepted"] * 2
    assert sorted(scene.states(run).values()) == ["deferred", "done"]
    scene.check()
    scene.local_hub.skew = 0.0
    scene.turn()
    assert scene.status_on_hub("ada") == "reset"
