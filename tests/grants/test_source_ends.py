"""Ends of access that follow the answers of another system, and the hold of ends that one system causes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.automation.service.health import list_problems
from hf_gate.core.events import events as e
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.decisions.service.plans.planning import make_plan
from hf_gate.grants.service.ends.grant_ends import read_held_ends, refresh_ends
from hf_gate.grants.service.ends.held_ends import confirm_moves, list_held_moves
from hf_gate.members.service.members import read_team
from hf_gate.settings.setting_keys import HELD_SOURCES, SOURCE_ENDS
from hf_gate.verdicts.drivers.source_calls import TurnBudget
from hf_gate.verdicts.service.evaluation import ask_sources, read_source_state
from tests.kits.grant_workspaces import policy
from tests.kits.source_systems import Reply, SourceWorkspace, open_source_workspace

KEPT = "  - {id: paid, when: sources.paid, then: accept, keep_while: sources.paid}\n  - {id: rest, then: human}\n"
MANY = [f"p{n:02}" for n in range(25)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[SourceWorkspace]:
    with open_source_workspace(tmp_path) as made:
        yield made


def let_in(scene: SourceWorkspace, *names: str, rules: str = KEPT, more: str = "") -> None:
    scene.declare(rules, more)
    scene.ask_access(*names)
    scene.turn()
    assert {scene.status_on_hub(name) for name in names} == {"accepted"}


def count(scene: SourceWorkspace, names: list[str], status: str) -> int:
    return sum(scene.status_on_hub(name) == status for name in names)


def test_access_ends_when_the_system_says_no_and_the_ledger_names_it(scene: SourceWorkspace) -> None:
    let_in(scene, "ada", "bo")
    scene.say("ada", {"paid": False})
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    scene.wait(1.1)
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bo")) == ("reset", "accepted")
    lapsed = next(event for event in scene.events_of("ada") if isinstance(event, e.GrantDated) and event.lapses)
    assert (lapsed.cause, lapsed.sources) == ("keep_while", ("paid",))
    entry = next(row for row in scene.store.entries(request=scene.row("ada").id) if b'"lapses"' in row.link.body)
    assert entry.private is not None
    assert entry.private["answers"]["paid"][0] is False


@pytest.mark.parametrize("reply", [Reply(status=503), Reply({"paid": "no"}), Reply(status=404), Reply(b"<html>")])
def test_a_system_that_fails_ends_nothing(scene: SourceWorkspace, reply: Reply) -> None:
    let_in(scene, "ada")
    scene.system.reply = reply
    for _ in range(4):
        scene.wait(1.1)
        scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    assert scene.row("ada").state.ends_at is None


def test_access_comes_back_while_its_grace_lasts(scene: SourceWorkspace) -> None:
    let_in(scene, "ada", rules=KEPT.replace("keep_while: sources.paid}", "keep_while: sources.paid, grace: 7d}"))
    scene.say("ada", {"paid": False})
    scene.wait(1.1)
    scene.turn()
    assert scene.days_left("ada") == pytest.approx(7, abs=0.1)
    scene.say("ada", {"paid": True})
    scene.wait(1.1)
    scene.turn()
    assert (scene.days_left("ada"), scene.status_on_hub("ada")) == (None, "accepted")


def test_a_system_that_says_no_for_everybody_ends_nothing_before_a_person_agrees(scene: SourceWorkspace) -> None:
    let_in(scene, *MANY)
    scene.system.reply = Reply({"paid": False})
    for _ in range(3):
        scene.wait(1.1)
        scene.turn()
        assert count(scene, MANY, "accepted") == 25
    assert read_held_ends(scene.store) == 25
    (problem,) = [one for one in list_problems(scene.workspace, scene.bundle) if one.kind == "held_ends"]
    assert problem.sentence.startswith("25 grants would end earlier. These are more than 20 at once, or by one source")
    assert len(list_held_moves(scene.workspace, scene.bundle, scene.now)) == 25


def test_a_system_that_says_no_slowly_is_held_too(scene: SourceWorkspace) -> None:
    """The rate lets few ask in a turn, so no turn alone has more than 20."""
    let_in(scene, *MANY, more="cache: 30d")
    config = scene.folder / "hf-gate.yaml"
    config.write_text(config.read_text().replace("cache: 30d", "cache: 31d\n    rate: 6/min"))
    scene.load()
    scene.system.reply = Reply({"paid": False})
    for _ in range(12):
        scene.turn()
        scene.wait(0.01)
    assert count(scene, MANY, "accepted") >= 5
    assert count(scene, MANY, "reset") <= 20
    assert read_held_ends(scene.store) == count(scene, MANY, "accepted")


def test_what_waits_because_of_a_system_waits_for_a_person_and_not_for_the_next_day(scene: SourceWorkspace) -> None:
    let_in(scene, *MANY, more="cache: 6h")
    for names in (MANY[:15], MANY[15:]):
        for name in names:
            scene.say(name, {"paid": False})
        scene.wait(0.3)
        scene.turn()
    for _ in range(3):
        assert (count(scene, MANY, "accepted"), read_held_ends(scene.store)) == (10, 10)
        scene.wait(1.1)
        scene.turn()
    moves = list_held_moves(scene.workspace, scene.bundle, scene.now)
    team = read_team(scene.store, Member(name="lena", role=MemberRole.ADMIN), scene.now)
    confirm_moves(scene.workspace, scene.bundle, team, moves, "lena", scene.now)
    assert (scene.store.setting(SOURCE_ENDS), scene.store.setting(HELD_SOURCES)) == (None, None)
    scene.turn()
    assert (count(scene, MANY, "accepted"), read_held_ends(scene.store)) == (0, 0)


def test_an_end_behind_the_present_one_is_held_too(scene: SourceWorkspace) -> None:
    """When a person renews the present end, access would end by the condition."""
    kept = "keep_while: sources.paid, until: 10d, grace: 30d}"
    let_in(scene, *MANY, rules=KEPT.replace("keep_while: sources.paid}", kept))
    scene.system.reply = Reply({"paid": False})
    scene.wait(1.1)
    scene.turn()
    assert read_held_ends(scene.store) == 25
    assert {scene.row(name).state.lapses for name in MANY} == {()}
    scene.change_end(MANY[0], "1y")
    for days in (15, 16):
        scene.wait(days)
        scene.turn()
    assert count(scene, MANY, "accepted") == 1


def test_a_move_that_waits_hides_no_notice_of_the_present_end(scene: SourceWorkspace) -> None:
    let_in(scene, *MANY, rules=KEPT.replace("sources.paid}", "sources.paid, until: 20d, notice: [14d]}"))
    scene.system.reply = Reply({"paid": False})
    scene.wait(1.1)
    scene.turn()
    assert (read_held_ends(scene.store), scene.notices("p00")) == (25, [])
    scene.wait(6)
    scene.turn()
    assert (read_held_ends(scene.store), scene.notices("p00")) == (25, ["14d"])
    scene.turn()
    assert scene.notices("p00") == ["14d"]


def test_ends_by_a_table_are_not_held_because_a_system_ends_some(scene: SourceWorkspace) -> None:
    let_in(scene, *MANY[:15])
    scene.system.reply = Reply({"paid": False})
    scene.wait(1.1)
    scene.turn()
    assert count(scene, MANY[:15], "reset") == 15
    assert read_held_ends(scene.store) == 0


def test_an_end_follows_the_time_that_the_system_names(scene: SourceWorkspace) -> None:
    rules = (
        "  - {id: paid, when: request.attempt > 0, then: accept, until: sources.paid}\n  - {id: rest, then: human}\n"
    )
    scene.system.reply = Reply({"paid": f"{scene.now.year + 1}-01-01T00:00:00Z"})
    let_in(scene, "ada", rules=rules, more="type: timestamp")
    first = scene.days_left("ada")
    scene.system.reply = Reply({"paid": f"{scene.now.year + 2}-01-01T00:00:00Z"})
    scene.wait(1.1)
    scene.turn()
    assert first is not None
    assert (scene.days_left("ada") or 0) > first + 300
    scene.system.reply = Reply({"paid": "2020-01-01"})
    scene.wait(1.1)
    scene.turn()
    assert (scene.days_left("ada") or 0) > first + 300
    scene.system.reply = Reply({"paid": "2020-01-01T00:00:00Z"})
    scene.wait(2)
    scene.turn()
    assert scene.days_left("ada") == pytest.approx(7, abs=0.1)


def test_a_source_that_is_no_longer_declared_leaves_access_as_it_is(scene: SourceWorkspace) -> None:
    let_in(scene, "ada")
    scene.set_policy(policy(when="false"))
    scene.wait(2)
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    sentences = [one.sentence for one in list_problems(scene.workspace) if one.kind == "unknown_conditions"]
    assert "depends on source paid, which no longer exists" in sentences[0]


# ---- the ends and the requests of one turn ---------------------------------------------------------------------------


def test_a_turn_in_which_a_source_fails_twice_counts_once(scene: SourceWorkspace) -> None:
    let_in(scene, "ada")
    scene.system.reply = Reply({"paid": "yes"})
    scene.ask_access("bo")
    scene.wait(1.1)
    assert scene.turn().planned.answers == 2
    state = read_source_state(scene.store, "paid")
    assert (state.failures, state.asked, state.failed) == (1, 2, 2)
    scene.say("ada", {"paid": True})
    scene.wait(1.3)
    assert scene.turn().planned.answers == 2
    state = read_source_state(scene.store, "paid")
    assert (state.failures, state.asked, state.failed) == (0, 2, 1)


def test_a_source_that_is_down_for_ends_is_not_asked_about_requests(scene: SourceWorkspace) -> None:
    let_in(scene, *MANY[:4])
    asked = len(scene.system.paths)
    scene.system.reply = Reply(status=503)
    scene.say(MANY[3], {"paid": True})  # who is asked about first
    scene.ask_access("bo")
    scene.wait(1.1)
    scene.turn()
    assert len(scene.system.paths) == asked + 4
    assert scene.observed("bo") is None


def test_the_ends_and_the_requests_of_a_turn_share_its_calls(scene: SourceWorkspace) -> None:
    let_in(scene, "ada", "bo")
    scene.ask_access(*"cde")
    scene.wait(1.1)
    scene.sync()
    asked = len(scene.system.paths)
    budget = TurnBudget(calls={"paid": 4})
    assert refresh_ends(scene.workspace, scene.bundle, scene.now, budget=budget).answers == 2
    assert (ask_about_requests(scene, budget), ask_about_requests(scene, budget)) == (2, 0)
    assert len(scene.system.paths) == asked + 4


def test_the_ends_leave_half_of_the_time_of_a_turn_to_the_requests(scene: SourceWorkspace) -> None:
    let_in(scene, "ada", "bo")
    scene.ask_access(*"cde")
    scene.wait(1.1)
    scene.sync()
    scene.system.reply = Reply(b" ", repeats=2.1, times=1)
    for name in "cde":
        scene.say(name, {"paid": True})
    budget = TurnBudget(time_s=4.0)
    assert refresh_ends(scene.workspace, scene.bundle, scene.now, budget=budget).answers == 1
    assert 0 < budget.time_s < 2
    assert ask_about_requests(scene, TurnBudget(time_s=0.0)) == 0
    assert ask_about_requests(scene, budget) == 3


def ask_about_requests(scene: SourceWorkspace, budget: TurnBudget) -> int:
    missing = make_plan(scene.workspace, scene.bundle, scene.evaluate, profile_budget=0).open_questions
    return ask_sources(scene.workspace, scene.bundle.config.sources, missing, scene.now, budget)
