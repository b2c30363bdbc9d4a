"""What tests of turns have in common: where the three people stand, policies whose access ends, a turn that was cut off."""

from __future__ import annotations

from contextlib import suppress

from hf_gate.domain.rows import RunRow
from hf_gate.errors import HfGateError
from tests.torture.scene import POLICY, Scene, desk_folder


def stand(scene: Scene) -> set[str | None]:
    return {scene.where(name) for name in ("ada", "bo", "cy")}


def ending(day: str) -> str:
    """The policy whose welcome ends on a day."""
    welcome = "then: accept\n  - id: rest"
    assert welcome in POLICY
    return POLICY.replace(welcome, f"then: accept\n    until: {day}\n  - id: rest")


def left_half_way(scene: Scene) -> RunRow:
    """Three people are to be let in by a turn whose calls all fail."""
    scene.ask(["ada", "bo", "cy"])
    scene.near.faults(["fail_before:status=503:on=batch|handle"])
    with suppress(HfGateError):
        scene.turn()
    scene.near.faults([])
    (run,) = scene.store.runs()
    return run


def in_for_thirty_days(scene: Scene) -> None:
    desk_folder(scene.folder, ending("30d"))
    scene.join()
    scene.ask(["ada"])
    scene.turn()
    assert scene.where("ada") == "accepted"
