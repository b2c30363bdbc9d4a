"""Turns of the loop that needs nobody there: what is planned once, and what an earlier process left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.automation.service.health import list_problems
from hf_gate.core.runs import RunState
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.in_process_hub import InProcessHub
from tests.kits.workspaces import POLICY, HubWorkspace, interrupt_turn, write_workspace

INSIDE = POLICY.replace("mode: enforce", "mode: enforce\njudges: [pending, accepted]")
OUT = INSIDE.replace('form[k] == "reset"', 'form[k] == "while"')
"""Whoever was let in for a while is put out by the first rule."""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(page_size=10))
    yield made
    made.close()


def test_whom_a_verdict_puts_out_when_the_grant_is_over_too_is_planned_once(scene: HubWorkspace) -> None:
    write_workspace(scene.folder, INSIDE)
    scene.join()
    scene.ask({"ada": "while"})
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    write_workspace(scene.folder, OUT)
    scene.join()
    scene.local_hub.time.advance(40 * 86_400)
    done = scene.turn()
    assert done.run is not None
    assert [change.rule for change in done.planned.plan.changes] == ["again"]
    assert (done.run.state, dict(done.run.counts)) == ("ended", {"done": 1})
    scene.check_over()


def test_what_a_run_left_under_way_is_read_also_when_many_runs_came_since(scene: HubWorkspace) -> None:
    scene.ask({"ada": "accept"})
    scene.sync()
    run = scene.approve(scene.plan())
    scene.die_while_sending(run)
    assert scene.row("ada").state.open_run == run.id
    for n in range(50):
        scene.ask({f"p{n}": "accept"})
        scene.sync(SyncKind.QUICK)
        scene.local_hub.time.advance(60)
        scene.execute(scene.approve(scene.plan()))
    assert run.id not in {each.id for each in scene.store.runs()}
    scene.turn()
    assert scene.row("ada").state.open_run is None
    assert scene.status_on_hub("ada") == "accepted"  # planned anew, since it had not been sent


def test_an_interrupted_run_of_a_plan_needs_a_person_and_one_of_a_turn_does_not(scene: HubWorkspace) -> None:
    assert interrupt_turn(scene).state is RunState.INTERRUPTED
    assert [(one.line, one.is_stuck) for one in list_problems(scene.workspace, scene.bundle)] == [
        ("UNFINISHED: Run r_1 is interrupted: 3 open. hf-gate runs show r_1", False)
    ]
    scene.turn()
    scene.ask({"dee": "accept"})
    scene.sync()
    run = scene.approve(scene.plan())
    scene.local_hub.set_faults(["fail_before:status=503:on=batch|handle"])
    assert scene.execute(run).state is RunState.INTERRUPTED
    scene.local_hub.set_faults([])
    (problem,) = list_problems(scene.workspace, scene.bundle)
    next_step = f"Continue it: hf-gate runs continue {run.id}"
    assert (problem.sentence, problem.is_stuck) == (f"Run {run.id} is interrupted: 1 open. {next_step}", True)
    scene.execute(scene.reload(run))
    assert list(list_problems(scene.workspace, scene.bundle)) == []
