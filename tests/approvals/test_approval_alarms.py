"""Approvals of an earlier acceptance do not cover a later one that somebody makes on the Hub's page."""

from __future__ import annotations

import pytest

from hf_gate.approvals.rows.approvals import write_alarms
from hf_gate.approvals.service.approval_alarms import MAX_ALARMS, find_open_alarm, list_open_alarms
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.approvals import ApprovalAlarm
from hf_gate.decisions.service.direct_decisions import Choice
from hf_gate.store.store import Store
from tests.kits.approvals import OWNER, author_of, create_member, decide_as, list_alarms
from tests.kits.approvals import two_people as scene
from tests.kits.stores import EEG, record, store, store_records
from tests.kits.stores import sqlite_place as place
from tests.kits.workspaces import HubWorkspace

__all__ = ["place", "scene", "store"]


def accept_by_two(scene: HubWorkspace, until: str | None = None) -> None:
    """Two people approve, and the Hub hears it."""
    list_alarms(scene)
    decide_as(scene, author_of(create_member(scene, "mia")))
    decide_as(scene, OWNER, choice=Choice(Status.ACCEPTED, until=until))
    scene.local_hub.time.advance(3600)
    scene.sync()
    assert (scene.status_on_hub("ada"), list_alarms(scene)) == ("accepted", [])


@pytest.mark.parametrize("given", [0, 1])
def test_somebody_returned_to_pending_and_accepted_outside_raises_an_alarm(scene: HubWorkspace, given: int) -> None:
    accept_by_two(scene)
    scene.decide("ada", "pending")
    scene.local_hub.time.advance(3600)
    scene.sync()
    if given:
        decide_as(scene, OWNER)
    scene.local_hub.time.advance(3600)
    scene.decide("ada", "accepted")
    scene.sync()
    assert list_alarms(scene) == [("ada", given, 2)]


@pytest.mark.parametrize("has_end", [True, False])
def test_access_renewed_outside_raises_an_alarm_if_it_lost_its_end(scene: HubWorkspace, has_end: bool) -> None:
    """The status is the same in both syncs, but the access has no end any more."""
    accept_by_two(scene, "30d" if has_end else None)
    assert (scene.row("ada").state.until is not None) == has_end
    scene.decide("ada", "pending")
    scene.local_hub.time.advance(60)
    scene.decide("ada", "accepted")
    scene.sync()
    assert scene.row("ada").state.until is None
    assert list_alarms(scene) == ([("ada", 0, 2)] if has_end else [])


def test_the_alarm_of_a_request_is_found_behind_more_than_two_hundred_newer_ones(store: Store) -> None:
    first, *others = store_records(store, EEG, [record(n, "accepted") for n in range(1, MAX_ALARMS + 3)])
    raised = [ApprovalAlarm(ident, 1_000 + ident, 0, 2) for ident in (first, *others[:-1])]
    with store.writing() as write:
        write_alarms(write, raised)
    rows = store.requests([first, others[-1]])
    assert first not in {row.id for _, row in list_open_alarms(store)}
    assert find_open_alarm(store, rows[first]) == raised[0]
    assert find_open_alarm(store, rows[others[-1]]) is None
