"""Moments that are rare: late reads, lost processes, a clock that is set back, two acts at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_gate.base.ids import Repo
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import RequestState, apply_event
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.requests import Decision
from hf_gate.decisions.service.direct_decisions import Choice
from hf_gate.errors import HubUnavailable
from tests.kits.acts import ACCEPT, DyingHub, decide, run_of
from tests.kits.desk import GOOD, Desk
from tests.kits.in_process_hub import InProcessHub
from tests.kits.workspaces import HubWorkspace


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(repos=1))
    yield made
    made.close()


class SlowHub:
    """A Hub client that takes two minutes for the first decisions; meanwhile somebody rejects the last person."""

    def __init__(self, scene: HubWorkspace, last: str) -> None:
        self.scene, self.last = scene, last

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scene.hub, name)

    def decide_many(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]:
        def slowly() -> Iterator[Decision]:
            for n, decision in enumerate(decisions):
                if n == 100:
                    self.scene.local_hub.time.advance(120)
                    if self.scene.status_on_hub(self.last) == "pending":
                        self.scene.decide(self.last, "rejected")
                yield decision

        return self.scene.hub.decide_many(repo, slowly())


def test_requests_are_read_again_if_the_decisions_before_them_took_longer_than_a_minute(scene: HubWorkspace) -> None:
    names = [f"p{n:03}" for n in range(501)]
    scene.ask(names)
    scene.sync()
    run = scene.execute(scene.approve(scene.plan()), hub=SlowHub(scene, names[-1]))
    assert dict(run.counts) == {"done": 500, "stale": 1}
    assert scene.status_on_hub(names[-1]) == "rejected"


class BlindHub:
    """A Hub client that finds nobody after it gave access."""

    def __init__(self, hub: Any) -> None:
        self._hub, self.is_blind = hub, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    def grant_access(self, *args: Any, **named: Any) -> Outcome:
        self.is_blind = True
        outcome: Outcome = self._hub.grant_access(*args, **named)
        return outcome

    def find_many(self, *args: Any, **named: Any) -> Any:
        if self.is_blind:
            raise HubUnavailable("away")
        return self._hub.find_many(*args, **named)


def test_access_with_an_end_stays_open_until_its_request_is_found_and_the_end_is_set(scene: HubWorkspace) -> None:
    scene.local_hub.add_people("eve")
    choice = Choice(Status.ACCEPTED, is_grant=True, until="30d")
    decided = decide(scene, choice, "eve", hub=BlindHub(scene.hub))
    assert scene.status_on_hub("eve") == "accepted"
    assert decided.outcomes[0].kind is OutcomeKind.OPEN
    assert "its end is not set yet" in decided.outcomes[0].why
    scene.execute(run_of(scene, decided))
    assert scene.row("eve").state.until is not None
    assert dict(run_of(scene, decided).counts) == {"done": 1}


def test_an_attempt_is_known_by_its_id_also_if_both_were_made_in_one_instant(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.sync()
    run = scene.approve(scene.plan())
    world = scene.local_hub.app.world
    gated, account = world.find_repo(scene.repos[0]), world.find_user("ada")
    assert gated is not None
    assert account is not None
    asked_ms = gated.people[account.id].asked_ms
    scene.local_hub.withdraw("ada", scene.repos[0])
    scene.ask(["ada"])
    again = gated.people[account.id]
    gated.lists[again.status].remove(again)
    again.asked_ms = asked_ms
    gated.lists[again.status].add(again)
    assert dict(scene.execute(run).counts) == {"stale": 1}
    assert scene.status_on_hub("ada") == "pending"


def test_what_was_reviewed_meanwhile_and_is_as_before_is_not_sent_again(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.decide("ada", "rejected")
    scene.sync()
    cut_off = decide(scene, ACCEPT, "ada", hub=DyingHub(scene.hub, "after"))
    scene.local_hub.time.advance(60)
    scene.decide("ada", "rejected")
    scene.restart()
    ended = scene.execute(run_of(scene, cut_off))
    assert dict(ended.counts) == {"stale": 1}
    assert scene.status_on_hub("ada") == "rejected"
    assert len(scene.moves()) == 1


def test_to_accept_who_has_access_already_leaves_the_version_and_the_end_as_they_were(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    decide(scene, Choice(Status.ACCEPTED, until="30d"), "ada")
    before = scene.row("ada")
    scene.local_hub.time.advance(60)
    assert decide(scene, ACCEPT, "ada").outcomes[0].kind is OutcomeKind.ALREADY
    after = scene.row("ada")
    assert (after.version.token, after.state.until) == (before.version.token, before.state.until)


def test_the_moves_of_a_request_are_numbered_upwards_though_the_clock_is_set_back() -> None:
    state: RequestState | None = None
    moves = []
    for at, event in (
        (3_000, e.RequestSeen(person="p", status="pending", asked_at=1_000)),
        (2_000, e.StatusMoved(before="pending", after="rejected")),
        (1_000, e.StatusMoved(before="rejected", after="accepted")),
    ):
        state = apply_event(state, event, at)
        assert state is not None
        moves.append(state.last_moved_at)
    assert moves == sorted(set(moves))


def test_a_note_goes_only_to_the_requests_of_its_act(desk: Desk) -> None:
    desk.ask([{"username": name} for name in ("ada", "bob")], {"Purpose": GOOD})
    lena = desk.visitor()
    for name, note in (("ada", "Met at the workshop."), ("bob", "")):
        row = desk.row(name)
        values = {"verb": "accept", "key": row.state.hub_request or "", "version": row.version.token, "note": note}
        assert lena.post("/tray", values).status == 303
    desk.send_due()
    assert [desk.row(name).has_notes for name in ("ada", "bob")] == [True, False]
