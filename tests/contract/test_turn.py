"""One turn of `run`: what an earlier one left half-way is settled, and what was not sent is asked of today's policies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hf_gate.domain.rows import RunRow
from hf_gate.errors import HfGateError
from hf_gate.usecases.carry import Carrier
from hf_gate.usecases.run import Turn, told, turn
from tests.torture.near import Near
from tests.torture.scene import POLICY, Scene, desk_folder


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, Near(repos=1))
    yield made
    made.close()


def take(scene: Scene) -> Turn:
    scene.count += 1
    desk = scene.desk

    def carrier(_: RunRow) -> Carrier:
        return Carrier(scene.store, scene.hub, scene.clock, desk.zone)

    return turn(desk, carrier, scene.repos, ident=f"r_{scene.count}", profile_budget=0)


def left_half_way(scene: Scene) -> RunRow:
    """Three people are to be let in by a turn whose calls all fail."""
    scene.ask(["ada", "bo", "cy"])
    scene.near.faults(["fail_before:status=503:on=batch|handle"])
    with suppress(HfGateError):
        take(scene)
    scene.near.faults([])
    (run,) = scene.store.runs()
    return run


def stand(scene: Scene) -> set[str | None]:
    return {scene.where(name) for name in ("ada", "bo", "cy")}


def test_a_policy_put_in_shadow_lets_nobody_in_by_what_an_earlier_turn_left(scene: Scene) -> None:
    run = left_half_way(scene)
    desk_folder(scene.folder, POLICY.replace("mode: enforce", "mode: shadow"))
    scene.join()
    done = take(scene)
    assert stand(scene) == {"pending"}
    assert done.run is None
    assert set(scene.states(run).values()) == {"planned"}
    assert scene.again(run).state == "stopped"
    scene.check_over()


def test_what_an_earlier_turn_left_is_planned_anew_while_the_policy_still_wants_it(scene: Scene) -> None:
    run = left_half_way(scene)
    done = take(scene)
    assert stand(scene) == {"accepted"}
    assert done.run is not None
    assert done.run.id != run.id
    scene.check_over()


def test_a_turn_says_what_became_of_the_one_before(scene: Scene) -> None:
    run = left_half_way(scene)
    assert told(take(scene))["resumed"] == [{"run": run.id, "state": "stopped", "counts": {"planned": 3}}]
