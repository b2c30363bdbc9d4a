"""A draft that may be saved is tried on all waiting requests in the background, with progress."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.verdicts.service.trial_runner import FullTrial, TrialRunner, TrialState, key_of_draft
from tests.kits.desk import POLICY, Answer, Desk, Visitor, open_desk, text_of

ALLOWED = "desk: {may_write_policies: true}\n"
DRAFT = POLICY.replace("when: email.academic", "when: email.free")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, config=ALLOWED, requests=700) as desk:
        desk.visitor().post("/plans")  # records the verdicts of the desk
        yield desk


def _admin(desk: Desk) -> Visitor:
    return desk.visitor(Member(name="mia", role=MemberRole.ADMIN))


def _try(visitor: Visitor, text: str) -> Answer:
    return visitor.post("/policies/house", {"exact": json.dumps(text), "tab": "cards", "do": "try"})


def _await(desk: Desk, member: str, text: str) -> FullTrial:
    trial = desk.app_state.trials.find(member, key_of_draft(text))
    assert trial is not None
    assert trial.thread is not None
    trial.thread.join(60)
    assert not trial.is_running
    return trial


def _member(desk: Desk, name: str) -> str:
    member = desk.app_state.membership.find(name)
    assert member is not None
    return member.id


def _waiting(desk: Desk) -> int:
    return sum(row.counts.get("pending", 0) for row in desk.app_state.workspace.store.repos())


def _make(desk: Desk, text: str, part_size: int = 50) -> FullTrial:
    policy = parse_policy(text, "house.yaml").policy
    assert policy is not None
    return FullTrial(key_of_draft(text), [], policy, part_size, _waiting(desk))


def _run(runner: TrialRunner, trial: FullTrial) -> FullTrial:
    started = runner.start("m", trial)
    assert started.thread is not None
    started.thread.join(60)
    return started


def test_a_draft_is_tried_on_everybody_who_waits_and_the_page_follows(desk: Desk) -> None:
    mia, waiting = _admin(desk), _waiting(desk)
    assert waiting > 100
    page = _try(mia, DRAFT)
    assert "Tried on the requests that have waited longest" in text_of(page.body)
    (key,) = re.findall(r"/policies/house/trial\?key=([0-9a-f]{64})", page.body) or [key_of_draft(DRAFT)]
    trial = _await(desk, _member(desk, "mia"), DRAFT)
    assert (trial.state, trial.tally.tried, trial.total) == (TrialState.DONE, waiting, waiting)
    part = mia.get(f"/policies/house/trial?key={key}")
    assert f"Tried on all {waiting} waiting requests." in text_of(part.body)
    assert "hx-get" not in part.body
    again = text_of(_try(mia, DRAFT).body)
    assert f"of {waiting} would now be accepted" in again
    assert f"On all {waiting} waiting requests" in again
    assert "This draft is not being tried." in mia.get("/policies/house/trial?key=0").body
    assert mia.get(f"/policies/nothing/trial?key={key}").status == 404


def test_the_file_itself_decides_as_the_desk_recorded(desk: Desk) -> None:
    _try(_admin(desk), POLICY)
    tally = _await(desk, _member(desk, "mia"), POLICY).tally
    store = desk.app_state.workspace.store
    rows = [row for repo in store.repos() for row in store.iterate_requests(repo.repo, "pending")]
    assert tally.by_rule == Counter(row.state.verdict[::2] for row in rows if row.state.verdict)
    assert (tally.differing, tally.newly_accepted, tally.no_longer_accepted) == (0, 0, 0)


def test_processes_give_the_same_result_as_none(desk: Desk) -> None:
    workspace = desk.app_state.workspace
    alone = _run(TrialRunner(workspace), _make(desk, DRAFT))
    several = _run(TrialRunner(workspace, min_requests=1), _make(desk, DRAFT))
    assert (alone.state, several.state) == (TrialState.DONE, TrialState.DONE)
    assert alone.tally == several.tally
    assert alone.tally.tried == _waiting(desk)


def test_a_newer_draft_of_the_same_member_ends_the_older_trial(desk: Desk) -> None:
    runner = TrialRunner(desk.app_state.workspace, min_requests=1)
    older = runner.start("m", _make(desk, DRAFT, part_size=1))
    assert runner.start("m", _make(desk, DRAFT)) is older  # the same draft
    newer = _run(runner, _make(desk, POLICY))
    assert (older.state, newer.state) == (TrialState.REPLACED, TrialState.DONE)
    assert older.tally.tried < older.total
    assert runner.find("m", older.key) is None
    assert older.thread is not None
    assert not older.thread.is_alive()


def test_drafts_that_wait_for_their_turn_end_as_soon_as_a_newer_one_replaces_them(desk: Desk) -> None:
    runner = TrialRunner(desk.app_state.workspace, min_requests=1)
    working = runner.start("a", _make(desk, DRAFT, part_size=1))
    *replaced, latest = [runner.start("b", _make(desk, f"{DRAFT}# {number}\n")) for number in range(20)]
    for trial in replaced:
        assert trial.thread is not None
        trial.thread.join(60)
        assert (trial.state, trial.tally.tried) == (TrialState.REPLACED, 0)
    assert (working.is_running, latest.is_running) == (True, True)
    assert latest.thread is not None
    latest.thread.join(60)
    assert (working.state, latest.state) == (TrialState.DONE, TrialState.DONE)


def test_a_trial_that_takes_too_long_says_how_far_it_came(desk: Desk) -> None:
    runner = TrialRunner(desk.app_state.workspace, min_requests=1, max_seconds=0)
    trial = _run(runner, _make(desk, DRAFT))
    assert trial.state is TrialState.LATE
    assert 0 < trial.tally.tried < trial.total


def test_a_trial_that_fails_says_why(desk: Desk) -> None:
    folder = desk.app_state.workspace.location.folder
    assert folder is not None
    (folder / "hf-gate.yaml").write_text("version: 1\n", "utf-8")
    trial = _run(TrialRunner(desk.app_state.workspace), _make(desk, DRAFT))
    assert (trial.state, "no repos" in trial.problem) == (TrialState.FAILED, True)


def test_a_draft_that_was_saved_without_a_trial_is_tried_by_its_rules_alone(desk: Desk) -> None:
    mia = _admin(desk)
    base = re.search(r'name="base" value="([0-9a-f]*)"', mia.get("/policies/house").body)
    assert base
    values = {"base": base[1], "exact": json.dumps(DRAFT), "tab": "cards", "do": "save"}
    values |= {"yes": _needed_yes(_try(mia, DRAFT))}
    desk.app_state.trials = TrialRunner(desk.app_state.workspace)  # as after a restart
    saved = mia.post("/policies/house/save", values)
    assert saved.status == 303, text_of(saved.body)
    trial = _await(desk, _member(desk, "mia"), DRAFT)
    text = text_of(mia.get(saved.headers["location"]).body)
    assert f"Tried on all {trial.total} waiting requests." in text
    assert "would now be accepted" not in text


def _needed_yes(page: Answer) -> str:
    found = re.search(r'name="yes" value="([0-9a-f]*)"', page.body)
    return found[1] if found else ""


def test_who_may_not_save_starts_no_trial(desk: Desk, tmp_path: Path) -> None:
    rob = desk.reviewer()
    assert "full-trial" not in _try(rob, DRAFT).body
    assert rob.get(f"/policies/house/trial?key={key_of_draft(DRAFT)}").status == 404
    with open_desk(tmp_path / "other", requests=300) as other:
        assert "full-trial" not in _try(other.visitor(), DRAFT).body


def test_another_member_does_not_see_the_trial(desk: Desk) -> None:
    _try(_admin(desk), DRAFT)
    key = key_of_draft(DRAFT)
    assert "not being tried" not in _admin(desk).get(f"/policies/house/trial?key={key}").body
    assert "not being tried" in desk.visitor().get(f"/policies/house/trial?key={key}").body


def test_an_acceptance_that_needs_people_counts_as_theirs_in_both_trials(desk: Desk) -> None:
    draft = DRAFT.replace("then: accept", "then: accept\n    reviewers: 2")
    page = text_of(_try(_admin(desk), draft).body)
    assert re.search(r"\b0 of 100 would now be accepted", page)
    tally = _await(desk, _member(desk, "mia"), draft).tally
    assert tally.newly_accepted == 0
    assert tally.by_rule["human", "academic"] > 0
