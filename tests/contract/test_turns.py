"""Turns of the loop that needs nobody there: what is planned once, and what an earlier process left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hf_gate.errors import HfGateError
from hf_gate.usecases.cadence import Kind
from hf_gate.usecases.run import Turn, turn
from tests.torture.failing import Failing, Killed
from tests.torture.near import Near
from tests.torture.scene import POLICY, Scene, desk_folder

INSIDE = POLICY.replace("mode: enforce", "mode: enforce\njudges: [pending, accepted]")
OUT = INSIDE.replace('form[k] == "reset"', 'form[k] == "while"')
"""Whoever was let in for a while is put out by the first rule."""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, Near(page_size=10))
    yield made
    made.close()


def takes_a_turn(scene: Scene) -> Turn:
    scene.count += 1
    carrier = scene.carrier(scene.store, scene.hub, scene.clock, scene.desk.zone)
    return turn(scene.desk, lambda _: carrier, scene.repos, ident=f"r_{scene.count}", profile_budget=0)


def test_whom_a_verdict_puts_out_when_the_grant_is_over_too_is_planned_once(scene: Scene) -> None:
    desk_folder(scene.folder, INSIDE)
    scene.join()
    scene.ask({"ada": "while"})
    takes_a_turn(scene)
    assert scene.where("ada") == "accepted"
    desk_folder(scene.folder, OUT)
    scene.join()
    scene.near.time.advance(40 * 86_400)
    done = takes_a_turn(scene)
    assert done.plan is not None
    assert done.run is not None
    assert [change.rule for change in done.plan.changes] == ["again"]
    assert (done.run.state, dict(done.run.counts)) == ("ended", {"done": 1})
    scene.check_over()


def test_what_a_run_left_under_way_is_read_also_when_many_runs_came_since(scene: Scene) -> None:
    scene.ask({"ada": "accept"})
    scene.sync()
    run, dying = scene.approve(scene.plan()), Failing(scene.store, 1_000_000)
    scene.near.seen = lambda send: dying.die() if send.changes else None
    with suppress(HfGateError, Killed):
        scene.carry(run, store=dying)
    scene.near.seen = lambda _: None
    scene.restart()
    assert scene.row("ada").state.open_run == run.id
    for n in range(50):
        scene.ask({f"p{n}": "accept"})
        scene.sync(Kind.QUICK)
        scene.near.time.advance(60)
        scene.carry(scene.approve(scene.plan()))
    assert run.id not in {each.id for each in scene.store.runs()}
    takes_a_turn(scene)
    assert scene.row("ada").state.open_run is None
    assert scene.where("ada") == "accepted"  # planned anew, since it had not been sent
