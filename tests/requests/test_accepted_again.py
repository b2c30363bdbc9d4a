"""A grant that was given again on the Hub, past hf-gate, is adopted without its old end, and never ended by surprise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.core.events.events import GrantDated, decode_event
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.in_process_hub import InProcessHub
from tests.kits.workspaces import HubWorkspace, accept_for_thirty_days

DAY = 86_400


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(page_size=10))
    accept_for_thirty_days(made)
    yield made
    made.close()


def _accept_again(scene: HubWorkspace) -> None:
    """An admin cancels on the Hub, and accepts again."""
    scene.decide("ada", "pending")
    scene.local_hub.time.advance(60)
    scene.decide("ada", "accepted")


def _causes(scene: HubWorkspace) -> list[str | None]:
    entries = scene.store.entries(request=scene.row("ada").id, limit=50)
    events = [decode_event(one.link.body) for one in entries]
    return [event.cause for event in events if isinstance(event, GrantDated)]


@pytest.mark.parametrize("days", [10, 40])
def test_a_grant_accepted_again_before_or_after_its_end_has_no_end_of_ours(scene: HubWorkspace, days: int) -> None:
    assert scene.row("ada").state.until is not None
    scene.local_hub.time.advance(days * DAY)
    _accept_again(scene)
    scene.sync()
    assert (scene.row("ada").state.until, _causes(scene)[0]) == (None, "outside")
    scene.local_hub.time.advance(100 * DAY)
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    scene.check()


def test_what_was_accepted_again_after_the_plan_is_not_ended(scene: HubWorkspace) -> None:
    scene.local_hub.time.advance(40 * DAY)
    scene.sync()
    plan = scene.plan()
    assert [change.rule for change in plan.changes] == ["until"]
    _accept_again(scene)
    run = scene.execute(scene.approve(plan))
    assert dict(run.counts) == {"stale": 1}
    (change,) = scene.store.changes(run.id)
    assert change.why == "it was accepted again on the Hub"
    assert scene.status_on_hub("ada") == "accepted"


def test_the_hubs_own_time_of_our_acceptance_is_no_renewal(scene: HubWorkspace) -> None:
    for _ in range(3):
        scene.local_hub.time.advance(60)
        scene.sync()
        scene.sync(SyncKind.QUICK)
    assert scene.row("ada").state.until is not None
    scene.local_hub.time.advance(40 * DAY)
    scene.turn()
    assert scene.status_on_hub("ada") == "reset"


def test_somebody_accepted_on_the_hub_after_the_end_stays(scene: HubWorkspace) -> None:
    scene.local_hub.time.advance(40 * DAY)
    scene.turn()
    assert scene.status_on_hub("ada") == "reset"
    scene.decide("ada", "accepted")
    scene.sync()
    scene.local_hub.time.advance(400 * DAY)
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.row("ada").state.until) == ("accepted", None)
