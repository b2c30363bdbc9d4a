"""Only what changed is evaluated, and the plan and the stored verdicts are those of a full evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.verdicts.plan.guards import ChangeFilter
from tests.kits.evaluations import CARD, EvaluatedWorkspace
from tests.kits.stores import EEG, MED, hub_id
from tests.kits.stores import sqlite_place as place

__all__ = ["place"]
ROW = ",user2@example.org,,,a"
REST = "  - {id: rest, then: human}\n"


@pytest.fixture
def desk(place: str, tmp_path: Path) -> Iterator[EvaluatedWorkspace]:
    made = EvaluatedWorkspace(place, tmp_path / "desk")
    yield made
    made.close()


def rule(when: str, then: str = "then: accept") -> str:
    return f"  - id: first\n    when: {when}\n    {then}\n" + REST


def test_nothing_is_evaluated_when_nothing_changed(desk: EvaluatedWorkspace) -> None:
    desk.write_policy(rule('answers.purpose.quality == "good"'))
    desk.read(EEG, *range(1, 8), answers={"Why": "x"})
    assert desk.evaluate() == 7
    assert desk.evaluate() == 0
    desk.wait(days=40)
    assert desk.evaluate() == 0


CHANGES: dict[str, tuple[str, Callable[[EvaluatedWorkspace], object], int]] = {
    "answers": ('form.exists(k, form[k] == "yes")', lambda desk: desk.read(EEG, 1, answers={"Why": "yes"}), 1),
    "new attempt": ("request.attempt > 1", lambda desk: desk.read(EEG, 1, day=5), 1),
    "e-mail": ('email.domain == "mit.edu"', lambda desk: desk.read(EEG, 1, email="a@mit.edu"), 1),
    "profile": ("person.models > 2", lambda desk: desk.write_profile(1, models=3), 1),
    "history": ("history.accepted > 0", lambda desk: desk.decide(desk.row(1), "accepted", "pending"), 1),
    "elsewhere": ("history.elsewhere > 0", lambda desk: desk.read(MED, 1, status="accepted"), 1),
    "withdrawn elsewhere": (
        "history.elsewhere == 0",
        lambda desk: desk.append(desk.row(2, MED), e.RequestWithdrawn(before="accepted")),
        1,
    ),
    "asked again elsewhere": ("history.elsewhere == 0", lambda desk: desk.read(MED, 2, day=5), 2),
    "access lost elsewhere": (
        "history.elsewhere == 0", lambda desk: desk.decide(desk.row(2, MED), "reset"), 1,
    ),
    "first full sync": ("history.accepted == 0", lambda desk: desk.read_fully(EEG), 3),
    "stored row": ("tables.paid", lambda desk: desk.write_row(1, {}), 1),
    "row added": ("tables.dua", lambda desk: desk.write_table(ROW, ",user1@example.org,,,"), 1),
    "row removed": ("tables.dua", lambda desk: desk.write_table(), 1),
    "domain added": ("tables.dua", lambda desk: desk.write_table(ROW, ",@example.org,,,"), 3),
    "username added": ("tables.dua", lambda desk: desk.write_table(ROW, ",,user3,,"), 3),
    "account of a username": ("tables.dua", lambda desk: _bind(desk, "user1", 3), 3),
    "row by id": ("tables.dua", lambda desk: desk.write_table(ROW, f"{hub_id(1)},,,,"), 1),
    "date": ('tables.dua.state == "expired"', lambda desk: desk.write_table(",user2@example.org,,2026-01-01,"), 1),
    "column": ('tables.dua.row["note"] == "b"', lambda desk: desk.write_table(",user2@example.org,,,b"), 1),
    "policy": ("false", lambda desk: desk.write_policy(rule("true")), 3),
    "form": ('answers.purpose.text == "x"', lambda desk: desk.write_form(EEG, CARD), 3),
    "erasure": ("true", lambda desk: desk.erase(desk.row(1).person.id), 1),
    "zone": (
        "true", lambda desk: _set_zone(desk, "Pacific/Auckland"), 3,
    ),
}  # fmt: skip
"""What a rule reads, what changes it, and how many of three requests are evaluated then."""


def _bind(desk: EvaluatedWorkspace, username: str, number: int) -> None:
    with desk.store.writing() as write:
        write.write_binding("dua", username, hub_id(number))


def _set_zone(desk: EvaluatedWorkspace, name: str) -> None:
    path = desk.folder / "hf-gate.yaml"
    path.write_text(path.read_text().replace("Europe/Zurich", name))


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_verdict_depends_on_is_evaluated_again(desk: EvaluatedWorkspace, name: str) -> None:
    when, change, evaluated = CHANGES[name]
    desk.write_policy(rule(when))
    desk.write_table(ROW)
    desk.read(MED, 2, status="accepted")
    desk.read(EEG, 1, 2, 3, answers={"Why": "x"})
    for repo in (EEG, MED) if name != "first full sync" else (MED,):
        desk.read_fully(repo)
    desk.evaluate()
    assert desk.evaluate() == 0
    change(desk)
    assert desk.evaluate() == evaluated
    assert desk.evaluate() == 0


DAYS: dict[str, tuple[str, str, timedelta]] = {
    "age": ("request.age_days >= 60", "then: accept", timedelta(days=31)),
    "account": ("person.account_days > 930", "then: accept", timedelta(days=60)),
    "since the last decision": ("history.days_since_last > 10", "then: accept", timedelta(days=11)),
    "row": ("tables.dua", "then: accept", timedelta(days=20)),
    "wait": (
        "true",
        "then: wait\n    at_most: 70d\n    after: reset\n    reason: Please ask again.",
        timedelta(days=16),
    ),
    "end": ("true", "then: accept\n    until: 2026-03-20", timedelta(days=20)),
    "profile": ("person.models > 2", "then: accept", timedelta(days=7, hours=1)),
}


@pytest.mark.parametrize("name", DAYS)
def test_a_verdict_that_depends_on_the_day_is_evaluated_when_it_can_change(desk: EvaluatedWorkspace, name: str) -> None:
    when, then, span = DAYS[name]
    desk.write_policy(rule(when, then))
    desk.write_table(",user2@example.org,,2026-03-15,a", ",user3@example.org,,,a,2026-03-10")
    desk.read(EEG, 1, 2, 3)
    desk.read_fully(EEG)
    desk.write_profile(1, models=3)
    desk.decide(desk.row(1), "accepted", "pending")
    desk.evaluate()
    before = {row.id: (row.state.verdict, row.evaluation.outcome) for row in desk.current()}
    desk.wait(seconds=span.total_seconds())
    assert desk.evaluate() > 0
    assert {row.id: (row.state.verdict, row.evaluation.outcome) for row in desk.current()} != before


def test_days_that_change_nothing_have_nobody_evaluated(desk: EvaluatedWorkspace) -> None:
    desk.write_policy(rule("request.age_days > 100 || 950 <= person.account_days"))
    desk.read(EEG, 1, 2)
    assert desk.evaluate() == 2
    desk.wait(days=20)
    assert desk.evaluate() == 0
    desk.wait(days=200)
    assert desk.evaluate() == 2
    assert desk.evaluate() == 0


def test_a_changed_row_of_a_username_concerns_the_account_that_it_is_bound_to(desk: EvaluatedWorkspace) -> None:
    desk.write_policy(rule("tables.dua"))
    desk.write_table(",,old-name,,a", ROW)
    desk.read(EEG, 1, 2, 3)
    _bind(desk, "old-name", 1)
    desk.evaluate()
    desk.write_table(",,old-name,2026-02-01,a", ROW)
    assert desk.evaluate() == 1
    desk.write_table(ROW)
    assert desk.evaluate() > 0
    assert desk.evaluate() == 0


def test_only_requests_whose_verdict_depends_on_the_time_are_evaluated_every_turn(desk: EvaluatedWorkspace) -> None:
    desk.write_policy(rule('email.free && now > timestamp("2026-03-01T12:30:00Z")'))
    desk.read(EEG, 1, email="a@gmail.com")
    desk.read(EEG, 2, email="b@mit.edu")
    assert desk.evaluate() == 2
    desk.wait(hours=1)
    assert desk.evaluate() == 1
    assert desk.row(1).state.verdict != desk.row(2).state.verdict


def test_changes_that_a_guard_defers_are_counted_and_not_built_again(desk: EvaluatedWorkspace) -> None:
    desk.write_policy("  - {id: all, then: reset, reason: Please ask again.}\n")
    desk.read(EEG, *range(1, 2_101))
    bundle = desk.bundle
    whole = desk.propose(bundle).plan
    built: list[Change] = []

    class Counting(ChangeFilter):
        def allows(self, change: Change) -> bool:
            built.append(change)
            return True

    for room, most in ((0, 0), (5, 1_000), (1_500, 2_000)):
        built.clear()
        found = desk.propose(bundle, Counting(), room={"reset": room})
        assert len(built) <= most
        assert [change.row for change in found.plan.changes] == [change.row for change in whole.changes][:room]
        assert found.left_out == {"reset": 2_099 - room}  # user3 is protected
        assert found.plan.summary == whole.summary


def test_a_request_that_changed_meanwhile_is_evaluated_in_the_next_turn(desk: EvaluatedWorkspace) -> None:
    desk.write_policy(rule('form.exists(k, form[k] == "yes")'))
    desk.read(EEG, 1, 2, answers={"Why": "no"})
    bundle = desk.bundle
    read: list[int] = []

    def change_while_evaluating() -> None:
        if not read:
            read.extend(desk.read(EEG, 1, answers={"Why": "yes"}))

    desk.propose(bundle, between=change_while_evaluating)
    assert desk.row(1).state.verdict is None
    assert desk.evaluate() == 1
    verdict = desk.row(1).state.verdict
    assert verdict is not None
    assert verdict[0] == "accept"


def test_another_process_that_begins_meanwhile_has_its_results_kept(desk: EvaluatedWorkspace) -> None:
    desk.write_policy(rule("true", "then: human"))
    desk.read(EEG, 1, 2)
    bundle, began = desk.bundle, list[bool]()

    def evaluate_by_another_policy() -> None:
        if not began:
            began.append(True)
            desk.write_policy(rule("true"))
            desk.propose(desk.bundle)

    desk.propose(bundle, between=evaluate_by_another_policy)
    assert {row.state.verdict and row.state.verdict[0] for row in desk.current()} == {"accept"}
    assert desk.evaluate() == 0


def test_a_held_start_is_counted_and_not_evaluated(desk: EvaluatedWorkspace) -> None:
    desk.write_policy("  - {id: all, then: reset, reason: Please ask again.}\n")
    desk.read(EEG, *range(1, 61))
    assert desk.evaluate() == 60
    assert desk.evaluate() == 0
