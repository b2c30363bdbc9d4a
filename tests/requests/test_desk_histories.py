"""Histories of a desk that the random search of `test_desk_machine.py` found once, step by step, and one for each control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pytest

from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.requests import Decision
from tests.kits.faulty_stores import WRONG_EXECUTORS
from tests.kits.invariants import UNSEEN
from tests.kits.random_days import RandomDays

Step = tuple[str, Mapping[str, Any]]
LAGGING: Final = ("dup_rows:p=0.5", "shuffle", "lag:s=1")
ADA: Final = {"name": "ada", "at": 0}


@pytest.fixture
def days() -> Iterator[RandomDays]:
    made = RandomDays()
    yield made
    made.teardown()


def play(days: RandomDays, steps: Sequence[Step]) -> None:
    """Each step as the machine does it, and its check afterwards."""
    for name, values in steps:
        getattr(days, name)(**values)
        days.check()


@pytest.mark.parametrize("wish", ["accept", "while", "reject"])
def test_who_withdraws_and_asks_anew_before_the_lists_show_it_is_decided_by_the_intent_that_was_written(
    days: RandomDays, wish: str
) -> None:
    """The lists show the request that was withdrawn, and the Hub's batch decides whatever request the account has."""
    steps: list[Step] = [
        ("asks", {**ADA, "wish": wish}),
        ("hub_misbehaves", {"faults": LAGGING}),
        ("withdraws", ADA),
        ("all_ask", {"wish": "accept", "at": 0}),
        ("takes_a_turn", {}),
        ("quiet", {}),
    ]
    play(days, steps)
    row = days.workspace.row("ada")
    assert (row.state.attempt, row.state.status) == (2, "rejected" if wish == "reject" else "accepted")
    assert (row.state.until is not None) == (wish == "while")


def test_only_a_decision_about_the_request_that_was_withdrawn_is_exempt(days: RandomDays) -> None:
    """The same moves without a decision of ours that was written down: the books do not agree."""
    days.asks(**ADA, wish="accept")
    days.withdraws(**ADA)
    days.all_ask(wish="accept", at=0)
    assert [one.kind for one in days.workspace.hub.decide_many(days.repo(0), [Decision.accept("ada")])] == [
        OutcomeKind.DONE
    ]
    with pytest.raises(AssertionError, match=r"I1: 1 moves of .* to accepted and 0 intents"):
        days.check()


def test_a_decision_that_comes_when_the_lists_must_show_the_newer_request_is_not_exempt(days: RandomDays) -> None:
    play(
        days,
        [
            ("asks", {**ADA, "wish": "accept"}),
            ("time_passes", {"seconds": 700}),
            ("hub_misbehaves", {"faults": ("lag:s=200",)}),
            ("withdraws", ADA),
            ("asks", {**ADA, "wish": "x"}),
        ],
    )
    days.local_hub.time.advance(UNSEEN)
    days.takes_a_turn()
    with pytest.raises(AssertionError, match=r"I1: 1 moves of .* to accepted and 0 intents"):
        days.check()


def test_an_undo_right_after_its_run_is_not_taken_for_done_by_a_list_that_lags(days: RandomDays) -> None:
    steps: list[Step] = [
        ("asks", {**ADA, "wish": "accept"}),
        ("hub_misbehaves", {"faults": LAGGING}),
        ("takes_a_turn", {}),
        ("is_turned_back", {}),
        ("is_applied", {}),
        ("quiet", {}),
    ]
    play(days, steps)
    assert days.workspace.status_on_hub("ada") == "pending"


def test_a_paused_run_takes_no_newer_request_of_the_same_person_for_the_one_it_planned(days: RandomDays) -> None:
    """They withdrew and asked again, and another run accepted the newer request before the first one was resumed."""
    steps: list[Step] = [
        ("all_ask", {"wish": "accept", "at": 0}),
        ("quiet", {}),
        ("is_planned", {"at": 0}),
        ("is_applied_in_steps", {"steps": 0}),
        ("withdraws", ADA),
        ("asks", {**ADA, "wish": "accept"}),
        ("takes_a_turn", {}),
        ("resumes", {}),
        ("quiet", {}),
    ]
    play(days, steps)
    assert days.workspace.status_on_hub("ada", days.repo(0)) == "accepted"


@pytest.mark.parametrize("dies", [False, True])
def test_a_clock_that_comes_back_to_the_moment_of_our_change_hides_nobodys_decision(
    days: RandomDays, *, dies: bool
) -> None:
    """It is set back by two hours, and two hours later a list is read: seconds after our change, as the desk has it."""
    sent: list[Step] = [("takes_a_turn", {})]
    if dies:
        sent = [("is_planned", {"at": 0}), BEFORE_THE_OUTCOME, ("resumes", {})]
    steps: list[Step] = [
        ("asks", {**ADA, "wish": "accept"}),
        *sent,
        ("clock_jumps", {"skew": -7200.0}),
        ("is_decided_elsewhere", {**ADA, "to": "rejected"}),
        ("quiet", {}),
    ]
    play(days, steps)
    assert days.workspace.row("ada").state.status == "rejected"


@pytest.mark.parametrize("is_end", [True, False])
def test_a_request_that_another_reviewer_returned_to_its_status_is_not_decided_again(
    days: RandomDays, *, is_end: bool
) -> None:
    """Our decision arrived, its outcome was lost, and a reviewer decided since: the request looks as before our call."""
    wish, status = ("while", "accepted") if is_end else ("reject", "rejected")
    to_plan: list[Step] = [("time_passes", {"seconds": 40 * 86_400}), ("is_planned", {"at": 0})]
    steps: list[Step] = [
        ("asks", {**ADA, "wish": wish}),
        ("takes_a_turn", {}),
        *(to_plan if is_end else [("is_turned_back", {})]),
        BEFORE_THE_OUTCOME,
        ("is_decided_elsewhere", {**ADA, "to": status}),
        ("quiet", {}),
    ]
    play(days, steps)
    assert days.workspace.status_on_hub("ada") == status
    assert days.workspace.store.changes(days.workspace.store.runs()[0].id)[0].state == "stale"


# ---- the controls ------------------------------------------------------------------------------------------------------

BEFORE_THE_CALL: Final[Step] = ("dies_at_a_write", {"at": 1, "when": "after"})  # the intents are on the disk
BEFORE_THE_OUTCOME: Final[Step] = ("dies_at_a_write", {"at": 2, "when": "before"})  # the Hub has done it and said so
FORGOTTEN: Final[Mapping[str, tuple[str, Sequence[Step]]]] = {
    "hasty": ("I1", [("is_applied", {})]),
    "believing": ("I2", [BEFORE_THE_CALL, ("resumes", {})]),
    "blind": ("I3", [BEFORE_THE_OUTCOME, ("is_decided_elsewhere", {**ADA, "to": "rejected"}), ("resumes", {})]),
    "hopeful": ("I2", [("hub_misbehaves", {"faults": ("fail_before:on=batch",)}), ("is_applied", {})]),
}
"""For each carrier that forgets a duty: which invariant says so, and what happens after a plan about one person was made."""


def forgotten(name: str) -> tuple[str, Sequence[Step]]:
    invariant, steps = FORGOTTEN[name]
    return invariant, [("asks", {**ADA, "wish": "accept"}), ("is_planned", {"at": 0}), *steps]


def test_there_is_a_history_for_every_duty_that_can_be_forgotten() -> None:
    assert FORGOTTEN.keys() == WRONG_EXECUTORS.keys()


@pytest.mark.parametrize("name", WRONG_EXECUTORS)
def test_a_carrier_that_forgets_a_duty_is_caught_by_its_history(name: str) -> None:
    invariant, steps = forgotten(name)
    days = type("WrongDays", (RandomDays,), {"make_executor": WRONG_EXECUTORS[name]})()
    try:
        with pytest.raises(AssertionError, match=rf"'{invariant}: "):
            play(days, steps)
    finally:
        days.teardown()


@pytest.mark.parametrize("name", WRONG_EXECUTORS)
def test_a_carrier_that_forgets_nothing_comes_through_the_same_history(days: RandomDays, name: str) -> None:
    play(days, [*forgotten(name)[1], ("quiet", {})])
