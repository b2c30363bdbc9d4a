"""What the desk does is told: approvals, runs, ends of access, and what lasts; a person's single decision is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.timestamps import to_ms
from hf_gate.core.letters.notices import NoticeEvent, NoticeItem
from tests.kits.approvals import OWNER, TWO_REVIEWERS, author_of, create_member, decide_as, two_people, use_policy
from tests.kits.grant_workspaces import DAY, SIGNED, GrantWorkspace
from tests.kits.in_process_hub import InProcessHub
from tests.kits.outboxes import list_notice_items, turn_on_destinations
from tests.kits.workspaces import HubWorkspace

__all__ = ["two_people"]


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[GrantWorkspace]:
    made = GrantWorkspace(tmp_path, InProcessHub(repos=1))
    yield made
    made.close()


def told(scene: HubWorkspace, event: NoticeEvent) -> list[NoticeItem]:
    return [item for item in list_notice_items(scene.store) if item.event is event]


def test_the_first_approval_is_told_and_the_second_is_not(two_people: HubWorkspace) -> None:
    turn_on_destinations(two_people.store, at=0)
    mia = create_member(two_people, "mia")
    decide_as(two_people, author_of(mia))
    (item,) = told(two_people, NoticeEvent.SECOND_APPROVAL)
    assert (item.repo, item.count, len(item.requests)) == (str(two_people.repos[0]), 1, 1)
    decide_as(two_people, OWNER)
    assert two_people.status_on_hub("ada") == "accepted"
    assert len(told(two_people, NoticeEvent.SECOND_APPROVAL)) == 1


def test_an_approval_after_one_that_lapsed_is_told(two_people: HubWorkspace) -> None:
    turn_on_destinations(two_people.store, at=0)
    decide_as(two_people, author_of(create_member(two_people, "mia")))
    two_people.local_hub.withdraw("ada", two_people.repos[0])
    two_people.ask(["ada"])
    two_people.sync()
    decide_as(two_people, OWNER)
    assert len(told(two_people, NoticeEvent.SECOND_APPROVAL)) == 2


def test_a_single_decision_of_a_person_is_no_run_to_tell(two_people: HubWorkspace) -> None:
    turn_on_destinations(two_people.store, at=0)
    use_policy(two_people, TWO_REVIEWERS.replace("reviewers: 2", "reviewers: 1"))
    decide_as(two_people, OWNER)
    assert two_people.status_on_hub("ada") == "accepted"
    assert told(two_people, NoticeEvent.RUN_RESULT) == []


def test_an_unattended_run_and_the_notice_of_an_end_are_told(ends: GrantWorkspace) -> None:
    turn_on_destinations(ends.store, at=0)
    ends.let_in({"ada": 100}, SIGNED, "notice: [30d]")
    (run,) = told(ends, NoticeEvent.RUN_RESULT)
    assert (run.facts["state"], run.facts["done"]) == ("ended", 1)
    assert told(ends, NoticeEvent.ENDS_SOON) == []
    ends.local_hub.time.advance(75 * DAY)
    ends.turn()
    (soon,) = told(ends, NoticeEvent.ENDS_SOON)
    assert (soon.count, soon.requests) == (1, (ends.row("ada").id,))
    assert to_ms(ends.now) > 0
