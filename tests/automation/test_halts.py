"""What somebody paused or stopped, and what waits for somebody to let it act: no later turn begins it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import to_builtins

from hf_gate.automation.service.health import list_problems
from hf_gate.automation.service.turn import TurnResult, turn_result_record
from hf_gate.automation.service.turn_permissions import promote
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.runs import RunEvent
from hf_gate.core.stored_rows import RunRow
from hf_gate.core.turns import HoldKind
from hf_gate.decisions.rows import delete_halts_of
from hf_gate.decisions.service.direct_decisions import Choice
from hf_gate.decisions.service.runs.run_executor import halt_run
from hf_gate.settings.setting_keys import HOLDS
from tests.kits.acts import decide
from tests.kits.in_process_hub import InProcessHub
from tests.kits.workspaces import (
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


def halted(scene: HubWorkspace, word: str) -> RunRow:
    """Three people are to be let in by a turn whose run somebody halts before anything is sent."""
    scene.ask(["ada", "bo", "cy"])
    scene.store.request_stop(f"r_{scene.count + 1}", word)
    run = scene.turn().run
    assert run is not None
    assert list_statuses(scene) == {"pending"}
    return run


def held_runs(done: TurnResult) -> list[tuple[str, int | None]]:
    """The halted runs for which changes of a turn wait, and how many."""
    return [(hold.subject, hold.count) for hold in done.holds if hold.kind is HoldKind.RUN]


@pytest.mark.parametrize(("word", "state"), [("pause", "paused"), ("stop", "stopped")])
def test_what_somebody_halted_the_next_turn_does_not_begin_anew(scene: HubWorkspace, word: str, state: str) -> None:
    run = halted(scene, word)
    scene.ask(["dee"])  # by the same policy at the same repo
    done = scene.turn()
    assert list_statuses(scene) | {scene.status_on_hub("dee")} == {"pending"}
    assert done.run is None
    assert held_runs(done) == [(run.id, 4)]
    (told,) = [one for one in list_problems(scene.workspace) if one.kind == "run"]
    assert told.sentence.startswith(f"4 changes held, because run {run.id} was {state}. ")
    assert to_builtins(turn_result_record(done))["held"] == [
        {"kind": "run", "subject": run.id, "count": 4, "sentence": told.sentence}
    ]
    scene.check_over()


def test_what_was_paused_goes_on_with_everybody_else_when_somebody_says_so(scene: HubWorkspace) -> None:
    run = halted(scene, "pause")
    scene.store.request_stop(run.id, None)
    assert scene.execute(run).state == "ended"
    scene.ask(["dee"])
    assert held_runs(scene.turn()) == []
    assert scene.status_on_hub("dee") == "accepted"


def test_a_policy_that_was_edited_acts_again_where_a_run_of_it_was_stopped(scene: HubWorkspace) -> None:
    halted(scene, "stop")
    write_workspace(scene.folder, policy_ending_on("1y"))
    scene.join()
    assert held_runs(scene.turn()) == []
    assert list_statuses(scene) == {"accepted"}


def test_a_version_that_was_let_go_on_acts_again_where_a_run_of_it_was_stopped(scene: HubWorkspace) -> None:
    halted(scene, "stop")
    (policy,) = scene.bundle.policies
    with scene.store.writing() as write:
        delete_halts_of(write, policy.digest)
    assert held_runs(scene.turn()) == []
    assert list_statuses(scene) == {"accepted"}


def test_what_was_let_go_on_is_not_halted_again_by_reading_what_was_under_way(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bo", "cy"])
    scene.sync()
    run = scene.approve(scene.plan())
    scene.die_while_sending(run)
    scene.store.request_stop(run.id, "stop")
    halt_run(scene.store, scene.reload(run), RunEvent("stop"), to_ms(scene.clock.now()))
    (policy,) = scene.bundle.policies
    promote(scene.workspace, scene.bundle.policies, policy, "lena")
    assert held_runs(scene.turn()) == []
    assert list_statuses(scene) == {"accepted"}


def test_ends_that_somebody_stopped_are_left_to_people_and_others_end(scene: HubWorkspace) -> None:
    write_workspace(scene.folder, policy_ending_on("30d"))
    scene.join()
    scene.ask(["ada", "bo"])
    scene.turn()
    scene.local_hub.time.advance(86_400)
    scene.ask(["cy"])
    scene.turn()
    scene.local_hub.time.advance(29.5 * 86_400)
    scene.store.request_stop(f"r_{scene.count + 1}", "stop")
    run = scene.turn().run
    assert run is not None
    assert list_statuses(scene) == {"accepted"}
    scene.local_hub.time.advance(86_400)
    assert held_runs(scene.turn()) == [(run.id, 2)]
    assert [scene.status_on_hub(name) for name in ("ada", "bo", "cy")] == ["accepted", "accepted", "reset"]


def test_an_end_that_was_given_after_another_one_was_stopped_comes(scene: HubWorkspace) -> None:
    accept_for_thirty_days(scene)
    scene.local_hub.time.advance(31 * 86_400)
    scene.store.request_stop(f"r_{scene.count + 1}", "stop")
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    decide(scene, Choice(Status.ACCEPTED, until="10d"), "ada")
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    scene.local_hub.time.advance(11 * 86_400)
    scene.turn()
    assert scene.status_on_hub("ada") == "reset"


def test_a_first_cycle_that_was_halted_is_not_taken_for_one_that_is_over(scene: HubWorkspace) -> None:
    scene.ask([f"p{n}" for n in range(60)])
    scene.sync()
    run = scene.approve(scene.plan())  # by a person: the version never acted on its own
    scene.store.request_stop(run.id, "pause")
    scene.execute(run, read_stop_request=lambda: scene.store.stop_request(run.id))
    assert held_runs(scene.turn()) == [(run.id, 60)]
    (policy,) = scene.bundle.policies
    with scene.store.writing() as write:
        delete_halts_of(write, policy.digest)
    done = scene.turn()
    assert ([(hold.subject, hold.count) for hold in done.holds], done.run) == ([("wishes", 60)], None)


def test_what_is_held_until_somebody_lets_it_act_is_told_by_how_the_desk_stands(scene: HubWorkspace) -> None:
    scene.ask([f"p{n}" for n in range(60)])
    scene.turn()
    (held,) = [one for one in list_problems(scene.workspace) if one.kind == "held_policy"]
    assert held.sentence.startswith("60 changes of policy wishes held")
    (policy,) = scene.bundle.policies
    promote(scene.workspace, scene.bundle.policies, policy, "lena")
    assert [one for one in list_problems(scene.workspace) if one.kind == "held_policy"] == []
    assert to_builtins(turn_result_record(scene.turn()))["held"] == []
    assert scene.store.setting(HOLDS) is None


def test_a_wish_that_a_dead_process_did_not_hear_holds_in_the_next_turn(scene: HubWorkspace) -> None:
    run = interrupt_turn(scene)
    scene.store.request_stop(run.id, "pause")
    assert held_runs(scene.turn()) == [(run.id, 3)]
    assert list_statuses(scene) == {"pending"}
