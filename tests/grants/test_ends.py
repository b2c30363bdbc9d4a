"""Ends of access that move: dates in tables, conditions, notices, and the guard of sudden ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from hf_gate.automation.service.health import list_problems
from hf_gate.automation.service.turn import turn_result_record
from hf_gate.base.timestamps import from_ms
from hf_gate.core.events import events as e
from hf_gate.core.runs import RunKind
from hf_gate.decisions.service.plans.planning import PlanResult
from hf_gate.errors import HubUnavailable
from hf_gate.grants.service.ends.end_changes import change_end_by_hand, count_from
from hf_gate.grants.service.ends.grant_ends import refresh_ends
from hf_gate.store.rows.ledger import count_unattended_changes
from hf_gate.verdicts.plan.model import CLOCK_SKEW, ENDS_UNDECIDED
from tests.kits.acts import RESET, decide, undo
from tests.kits.grant_workspaces import GONE, KEPT, SIGNED, GrantWorkspace, make_grant_workspace, policy
from tests.kits.in_process_hub import InProcessClient


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[GrantWorkspace]:
    made = make_grant_workspace(tmp_path)
    yield made
    made.close()


def ends(scene: GrantWorkspace) -> dict[str, int]:
    """What one turn did with the ends, without what it did not do."""
    found: Any = to_builtins(turn_result_record(scene.turn()))["ends"]
    return {key: number for key, number in found.items() if number}


def about(days: float) -> Any:
    """A date in a table is the end of that day."""
    return pytest.approx(days, abs=1.01)


# ---- ends that a person chose ----------------------------------------------------------------------------------------


def test_the_reason_of_the_rule_is_not_sent_at_an_end_that_a_person_chose(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 40, "bo": 40}, SIGNED, "end_reason: The agreement has ended.")
    scene.change_end("ada", f"{scene.now + timedelta(days=20):%Y-%m-%d}")
    scene.wait(22)
    assert [change.reason for change in scene.plan().changes] == ["Your access has ended. You may ask again."]
    scene.turn()
    scene.wait(20)
    assert [change.reason for change in scene.plan().changes] == ["The agreement has ended."]


def test_a_table_that_ends_access_before_the_chosen_end_sends_the_reason_of_the_rule(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 90}, SIGNED, "end_reason: The agreement has ended.")
    scene.change_end("ada", f"{scene.now + timedelta(days=60):%Y-%m-%d}")
    scene.set_rows({"ada": 30})
    scene.turn()
    scene.wait(32)
    assert [change.reason for change in scene.plan().changes] == ["The agreement has ended."]


def test_a_condition_that_turns_false_sends_the_reason_of_the_rule(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 90}, "until: 90d", KEPT, "grace: 7d", "end_reason: The agreement has ended.")
    scene.change_end("ada", f"{scene.now + timedelta(days=60):%Y-%m-%d}")
    scene.set_rows({"ada": GONE})
    scene.turn()
    scene.wait(8)
    assert [change.reason for change in scene.plan().changes] == ["The agreement has ended."]


def test_more_time_counts_from_the_end_of_the_access(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 40}, SIGNED)
    row = scene.row("ada")
    assert count_from(row, scene.now) == from_ms(row.state.ends_at or 0)
    assert count_from(row, scene.now + timedelta(days=50)) == scene.now + timedelta(days=50)
    more = change_end_by_hand(scene.store, row, "30d", count_from(row, scene.now), scene.zone)
    assert (more.is_shorter, more.is_longer) == (False, True)
    assert from_ms(more.end or 0) - from_ms(row.state.ends_at or 0) == timedelta(days=30)


# ---- dates in a table --------------------------------------------------------------------------------------------------


def test_access_ends_on_the_date_of_the_person(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 40, "bo": 60}, SIGNED)
    assert (scene.days_left("ada"), scene.days_left("bo")) == (about(40), about(60))
    scene.wait(42)
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bo")) == ("reset", "accepted")


def test_a_later_date_counts_at_once(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 10}, SIGNED)
    scene.set_rows({"ada": 100})
    assert ends(scene) == {"later": 1}
    assert scene.days_left("ada") == about(100)
    scene.wait(12)
    assert ends(scene) == {}
    assert scene.status_on_hub("ada") == "accepted"


def test_a_later_date_saves_an_access_whose_end_has_come(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 10}, SIGNED)
    scene.wait(12)
    scene.set_rows({"ada": 5})
    assert ends(scene) == {"later": 1}
    assert scene.status_on_hub("ada") == "accepted"


def test_an_earlier_date_takes_effect_at_once(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100, "bo": 100}, SIGNED)
    scene.set_rows({"ada": 2, "bo": 30})
    assert ends(scene) == {"earlier": 2}
    assert (scene.days_left("ada"), scene.days_left("bo")) == (about(2), about(30))
    assert ends(scene) == {}, "the same date moves nothing again"
    scene.wait(3)
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bo")) == ("reset", "accepted")


@pytest.mark.parametrize("days", [None, GONE])
def test_an_unknown_date_moves_nothing_and_the_known_end_stays(scene: GrantWorkspace, days: str | None) -> None:
    scene.let_in({"ada": 20, "bo": 200}, SIGNED)
    scene.set_rows({"ada": days, "bo": 200})
    assert ends(scene) == {}
    assert scene.days_left("ada") == about(20)
    scene.wait(22)
    scene.turn()
    assert scene.status_on_hub("ada") == "reset", "it cannot be kept by taking the row away"


def test_a_table_that_cannot_be_read_moves_nothing(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 20}, SIGNED)
    scene.lose_table()
    assert ends(scene) == {}
    assert scene.days_left("ada") == about(20)


def test_an_unknown_or_past_date_accepts_nobody(scene: GrantWorkspace) -> None:
    scene.set_rows({"ada": None, "bo": -3})
    scene.set_policy(policy(SIGNED, when="true"))
    scene.ask(["ada", "bo"])
    done = scene.turn()
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bo")) == ("pending", "pending")
    assert done.planned.plan.summary["accept_human"] == 2


# ---- sudden ends -------------------------------------------------------------------------------------------------------

MANY = [f"p{number:02}" for number in range(23)]


def stuck(scene: GrantWorkspace) -> list[str]:
    return [one.sentence for one in list_problems(scene.workspace, scene.bundle) if one.is_stuck]


def kept(scene: GrantWorkspace) -> int:
    return sum(scene.status_on_hub(name) == "accepted" for name in MANY)


@pytest.mark.parametrize("terms", [SIGNED, KEPT])
def test_a_wrong_table_ends_twenty_a_day_and_the_rest_is_counted_and_said(scene: GrantWorkspace, terms: str) -> None:
    scene.let_in(dict.fromkeys(MANY, 100), terms)
    scene.set_rows(dict.fromkeys(MANY, -1))
    turn = to_builtins(turn_result_record(scene.turn()))
    assert (turn["deferred"], kept(scene)) == ({"end": 3}, 3)
    assert count_unattended_changes(scene.store, "end", 0) == 20
    (said,) = stuck(scene)
    assert said.startswith("3 grants would end, because a condition is false or a table moved the date")
    scene.set_rows(dict.fromkeys(MANY, 100))
    assert to_builtins(turn_result_record(scene.turn()))["deferred"] == {}
    assert (stuck(scene), kept(scene)) == ([], 3), "the corrected table keeps the others"


def test_a_term_that_a_table_extends_ends_without_a_limit(scene: GrantWorkspace) -> None:
    scene.let_in(dict.fromkeys(MANY, 10), SIGNED)
    scene.wait(9)
    scene.set_rows(dict.fromkeys(MANY, 4))
    assert ends(scene) == {"later": 23}
    scene.wait(6)
    scene.turn()
    assert (kept(scene), count_unattended_changes(scene.store, "end", 0)) == (0, 0)


def test_a_wrong_date_that_is_replaced_by_another_wrong_one_still_counts(scene: GrantWorkspace) -> None:
    scene.let_in(dict.fromkeys(MANY, 100), SIGNED, guards="{end: 1/day}")
    scene.set_rows(dict.fromkeys(MANY, -20))
    scene.turn()
    scene.set_rows(dict.fromkeys(MANY, -10))
    scene.wait(0.1)
    scene.turn()
    assert kept(scene) == 22


def test_what_the_guard_holds_back_ends_by_a_plan_that_a_person_applies(scene: GrantWorkspace) -> None:
    scene.let_in(dict.fromkeys(MANY, 100), SIGNED)
    scene.set_rows(dict.fromkeys(MANY, -1))
    scene.turn()
    plan = scene.make_plan().plan
    assert [change.guard for change in plan.changes] == ["end"] * 3
    scene.execute(scene.approve(plan, RunKind.PLAN))
    assert (kept(scene), stuck(scene)) == (0, [])


def test_a_date_that_has_stood_for_seven_days_ends_without_a_limit(scene: GrantWorkspace) -> None:
    scene.let_in(dict.fromkeys(MANY, 100), SIGNED)
    scene.set_rows(dict.fromkeys(MANY, 9))
    assert ends(scene) == {"earlier": 23}
    scene.wait(11)
    assert to_builtins(turn_result_record(scene.turn()))["deferred"] == {}
    assert kept(scene) == 0
    assert count_unattended_changes(scene.store, "end", 0) == 0


@pytest.mark.parametrize(("terms", "days"), [(SIGNED, 9.9), (KEPT, 11.5)])
def test_a_grant_that_should_have_ended_a_day_ago_is_stuck(scene: GrantWorkspace, terms: str, days: float) -> None:
    scene.let_in({"ada": 10}, terms)
    scene.wait(days)
    refresh_ends(scene.workspace, scene.bundle, scene.now)  # a lapse counts from now
    assert stuck(scene) == []
    scene.wait(3)
    assert stuck(scene) == ["1 grant should have ended more than a day ago: hf-gate ends ls"]
    scene.turn()
    assert stuck(scene) == []


# ---- the clock is wrong ------------------------------------------------------------------------------------------------

BACK = 200.0 * 86_400


def _plan_in_a_new_process(scene: GrantWorkspace, days: dict[str, int | str | None]) -> PlanResult:
    scene.restart()
    scene.set_rows(days)
    assert scene.hub.skew is None, "nothing was asked yet"
    return scene.make_plan()


def test_a_plan_by_a_clock_that_was_set_back_shortens_no_grace(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100, "bo": 100}, KEPT, "grace: 14d")
    scene.local_hub.skew = -BACK
    made = _plan_in_a_new_process(scene, {"ada": GONE, "bo": 100})
    assert made.skew == pytest.approx(BACK, abs=2)
    assert (made.ends.counts, scene.days_left("ada")) == ({}, None)
    assert made.plan.summary[CLOCK_SKEW] == round(made.skew or 0)
    scene.local_hub.skew = 0.0
    scene.restart()
    scene.load()
    assert ends(scene) == {"lapsed": 1}
    assert scene.status_on_hub("ada") == "accepted"
    assert scene.days_left("ada") == pytest.approx(14, abs=0.01)


def test_a_plan_by_a_clock_that_was_set_back_moves_no_date(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, SIGNED)
    scene.local_hub.skew = -BACK
    assert _plan_in_a_new_process(scene, {"ada": 1}).ends.counts == {}
    assert scene.days_left("ada") == about(100)
    scene.local_hub.skew = 0.0
    scene.restart()
    scene.load()
    assert ends(scene) == {"earlier": 1}
    assert scene.days_left("ada") == about(1)


def test_while_the_clock_cannot_be_compared_ends_move_only_later(
    scene: GrantWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.let_in({"ada": 100, "bo": 100, "cy": 100}, SIGNED, KEPT, "grace: 14d")

    def fail(*_: object) -> None:
        raise HubUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(InProcessClient, "gate", fail)
        made = _plan_in_a_new_process(scene, {"ada": 30, "bo": GONE, "cy": 200})
    assert (made.skew, made.ends.counts) == (None, {"later": 1})
    assert [scene.days_left(name) for name in ("ada", "bo", "cy")] == [about(100), about(100), about(200)]
    assert scene.make_plan().ends.counts == {"earlier": 1, "lapsed": 1}


def test_a_plan_that_moves_no_end_to_an_earlier_time_calls_nobody(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, SIGNED, KEPT)
    assert _plan_in_a_new_process(scene, {"ada": 200}).ends.counts == {"later": 1}
    assert scene.hub.skew is None


# ---- conditions --------------------------------------------------------------------------------------------------------


def test_a_false_condition_ends_access_after_the_grace(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100, "bo": 100}, KEPT, "grace: 14d")
    assert scene.days_left("ada") is None
    scene.set_rows({"ada": GONE, "bo": 100})
    assert ends(scene) == {"lapsed": 1}
    assert scene.days_left("ada") == pytest.approx(14, abs=0.01)
    scene.wait(13.9)
    assert ends(scene) == {}
    assert scene.status_on_hub("ada") == "accepted"
    scene.wait(0.2)
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bo")) == ("reset", "accepted")


def test_without_a_grace_access_ends_in_the_same_turn(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100, "bo": 100}, KEPT)
    scene.set_rows({"ada": GONE, "bo": 100})
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bo")) == ("reset", "accepted")


def test_a_condition_that_is_true_again_restores_the_access(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, "until: 1y", KEPT, "grace: 14d")
    scene.set_rows({"ada": -2})
    assert ends(scene) == {"lapsed": 1}
    scene.set_rows({"ada": 50})
    assert ends(scene) == {"restored": 1}
    assert scene.days_left("ada") == about(365)


def test_another_end_does_not_restart_a_grace(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, "until: 1y", KEPT, "grace: 14d")
    scene.set_rows({"ada": GONE})
    assert ends(scene) == {"lapsed": 1}
    scene.wait(10)
    assert scene.change_end("ada", "200d") == []
    ends(scene)
    assert scene.days_left("ada") == pytest.approx(4, abs=0.01)


def test_an_unknown_condition_never_ends_access(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, KEPT, "grace: 7d")
    scene.lose_table()
    assert ends(scene) == {}
    scene.set_rows({"ada": GONE})
    assert ends(scene) == {"lapsed": 1}
    scene.lose_table()
    scene.wait(10)
    done = scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    assert done.planned.plan.summary[ENDS_UNDECIDED] == 1
    scene.set_rows({"ada": GONE})
    scene.turn()
    assert scene.status_on_hub("ada") == "reset"


def test_a_changed_policy_changes_no_grant(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, "until: 1y", KEPT, "grace: 14d")
    scene.set_policy(policy("until: 7d"))
    assert ends(scene) == {}
    assert scene.days_left("ada") == about(365)
    scene.set_rows({"ada": -2})
    assert ends(scene) == {"lapsed": 1}, "the condition that was stored with the grant still holds"


# ---- notices -----------------------------------------------------------------------------------------------------------


def test_each_notice_is_recorded_once(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, SIGNED, "notice: [30d, 7d]")
    for _ in range(95):
        scene.wait(1)
        scene.turn()
    assert scene.notices("ada") == ["30d", "7d"]


def test_after_an_interruption_only_the_last_notice_is_recorded(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, SIGNED, "notice: [30d, 7d]")
    scene.wait(96)
    scene.restart()
    scene.load()
    assert ends(scene) == {"noticed": 1}
    assert ends(scene) == {}
    assert scene.notices("ada") == ["7d"]


def test_a_later_end_is_announced_again_and_an_earlier_one_too(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 20}, SIGNED, "notice: [30d, 7d]")
    assert scene.notices("ada") == [], "access that is shorter than a notice starts without it"
    scene.wait(14)
    scene.turn()
    scene.set_rows({"ada": 100})
    scene.turn()
    scene.wait(75)
    scene.turn()
    assert scene.notices("ada") == ["7d", "30d"]
    scene.set_rows({"ada": 8})
    scene.turn()
    scene.wait(2)
    scene.turn()
    assert scene.notices("ada") == ["7d", "30d", "7d"]


# ---- guards ------------------------------------------------------------------------------------------------------------


def test_twenty_eight_ends_are_not_counted_as_removals(scene: GrantWorkspace) -> None:
    names = [f"p{number:02}" for number in range(28)]
    scene.let_in(dict.fromkeys(names, 10), SIGNED, guards="{remove: 25/day}")
    scene.wait(12)
    done = scene.turn()
    assert done.deferred == []
    assert {scene.status_on_hub(name) for name in names} == {"reset"}
    assert count_unattended_changes(scene.store, "remove", 0) == 0


# ---- plans and undo ----------------------------------------------------------------------------------------------------


def test_an_end_that_moved_after_the_plan_is_not_sent(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 10}, SIGNED)
    scene.wait(12)
    plan = scene.make_plan().plan
    assert [change.rule for change in plan.changes] == ["until"]
    scene.set_rows({"ada": 50})
    scene.make_plan()
    run = scene.execute(scene.approve(plan, RunKind.PLAN))
    assert scene.states(run) == {scene.row("ada").state.hub_request: "stale"}
    assert scene.status_on_hub("ada") == "accepted"


def test_the_undo_of_a_removal_restores_the_end(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, SIGNED)
    for end in (None, "90d"):
        assert scene.change_end("ada", end) == []
    done = decide(scene, RESET, "ada")
    assert scene.status_on_hub("ada") == "reset"
    undo(scene, done)
    assert scene.status_on_hub("ada") == "accepted"
    assert scene.days_left("ada") == about(90)


def test_an_end_says_how_late_it_is_and_what_caused_it(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 10}, KEPT, "grace: 2d")
    scene.set_rows({"ada": GONE})
    scene.turn()
    scene.wait(4.9)
    (change,) = scene.make_plan().plan.changes
    (because,) = change.because
    assert (because.facts["days_late"], because.facts["lapsed"]) == (2, True)


def test_the_ledger_says_why_an_end_moved(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 10}, SIGNED)
    scene.set_rows({"ada": 100})
    scene.turn()
    moved = [event for event in scene.events_of("ada") if isinstance(event, e.GrantDated)]
    assert [event.cause for event in moved] == [None, "fact"]
    assert moved[0].terms == moved[1].terms
    scene.check_over()


def test_an_end_that_a_person_sets_keeps_the_conditions(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, "until: 1y", KEPT, "notice: [7d]")
    assert scene.change_end("ada", "2y") == []
    assert scene.days_left("ada") == about(730)
    scene.set_rows({"ada": GONE})
    assert ends(scene) == {"lapsed": 1}
    assert scene.status_on_hub("ada") == "reset"


def test_access_without_an_end_has_no_conditions_either(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, "until: 1y", KEPT)
    assert scene.change_end("ada", None) == []
    scene.set_rows({"ada": GONE})
    assert ends(scene) == {}
    assert scene.row("ada").state.terms is None


def test_a_condition_whose_table_is_gone_from_the_policies_ends_nothing(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, "until: 1y", KEPT)
    text = policy("until: 7d", when="true")
    scene.set_policy("\n".join(line for line in text.split("\n") if not line.startswith("tables:")))
    assert ends(scene) == {}
    assert scene.days_left("ada") == about(365)
    assert scene.row("ada").state.lapses_at is None
