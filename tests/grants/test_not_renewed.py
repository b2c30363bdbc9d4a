"""A grant that a person marked as not to be renewed: no later date extends it, an earlier one still counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.requests import Target
from hf_gate.core.runs import RunKind
from hf_gate.decisions.service.decision_sender import DecisionSender
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget, renewal_entry
from hf_gate.decisions.service.runs.runs import plan_undo
from hf_gate.grants.service.ends.grant_ends import refresh_ends
from tests.kits.grant_workspaces import SIGNED, GrantWorkspace, make_grant_workspace


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[GrantWorkspace]:
    made = make_grant_workspace(tmp_path)
    made.let_in({"ada": 100, "bo": 100}, SIGNED)
    yield made
    made.close()


def _mark(scene: GrantWorkspace, *, is_blocked: bool) -> None:
    row = scene.row("ada")
    with scene.store.writing() as write:
        write.append(row.repo, [renewal_entry(row, "lena", to_ms(scene.now), is_blocked=is_blocked)])


def _move(scene: GrantWorkspace, days: int) -> None:
    scene.set_rows({"ada": days, "bo": days})
    refresh_ends(scene.workspace, scene.bundle, scene.now)


def _days(scene: GrantWorkspace) -> list[float | None]:
    return [scene.days_left(name) for name in ("ada", "bo")]


def _about(*days: int) -> Any:
    """Dates in a table are the ends of these days."""
    return pytest.approx(list(days), abs=1.01)


def test_a_later_date_does_not_extend_it_until_the_mark_is_removed(scene: GrantWorkspace) -> None:
    _mark(scene, is_blocked=True)
    _move(scene, 300)
    assert _days(scene) == _about(100, 300)
    _mark(scene, is_blocked=False)
    _move(scene, 300)
    assert _days(scene) == _about(300, 300)


def test_an_earlier_date_still_counts(scene: GrantWorkspace) -> None:
    _mark(scene, is_blocked=True)
    _move(scene, 50)
    assert _days(scene) == _about(50, 50)
    assert scene.row("ada").state.is_final


def test_the_mark_goes_with_the_grant(scene: GrantWorkspace) -> None:
    _mark(scene, is_blocked=True)
    scene.wait(102)
    scene.turn()
    assert scene.status_on_hub("ada") == "reset"
    assert not scene.row("ada").state.is_final


def test_the_store_rebuilt_from_the_ledger_has_the_mark(scene: GrantWorkspace) -> None:
    _mark(scene, is_blocked=True)
    scene.check()
    assert scene.row("ada").state.is_final
    assert not scene.row("bo").state.is_final


def _remove_and_undo(scene: GrantWorkspace) -> None:
    sender = DecisionSender(scene.store, scene.hub, scene.clock, scene.zone, "lena", scene.approvals)
    done = sender.decide([DecisionTarget(scene.repos[0], Target("ada"))], Choice(Status.RESET), run_id="r_x")
    assert (scene.status_on_hub("ada"), scene.row("ada").state.is_final) == ("reset", False)
    run = scene.store.run(str(done.run))
    assert run is not None
    plan, _ = plan_undo(scene.store, run, now=scene.now)
    scene.execute(scene.approve(plan, RunKind.UNDO))
    assert scene.status_on_hub("ada") == "accepted"
    scene.check_over()


def test_the_undo_of_a_removal_restores_the_mark(scene: GrantWorkspace) -> None:
    _mark(scene, is_blocked=True)
    _move(scene, 50)
    _remove_and_undo(scene)
    assert scene.row("ada").state.is_final
    _move(scene, 300)
    assert _days(scene) == _about(50, 300)


def test_the_undo_of_a_removal_restores_no_mark_that_was_removed(scene: GrantWorkspace) -> None:
    _mark(scene, is_blocked=True)
    _mark(scene, is_blocked=False)
    _remove_and_undo(scene)
    _move(scene, 300)
    assert _days(scene) == _about(300, 300)


def test_the_undo_of_a_removal_restores_no_mark_of_an_end_that_was_dropped(scene: GrantWorkspace) -> None:
    _mark(scene, is_blocked=True)
    for end in (None, "90d"):
        assert scene.change_end("ada", end) == []
    _remove_and_undo(scene)
    assert not scene.row("ada").state.is_final
    assert _days(scene)[0] == pytest.approx(90, abs=1.01)
