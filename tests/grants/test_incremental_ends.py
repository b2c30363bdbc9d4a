"""Only the ends of grants for which something changed are reviewed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.people.grants import GrantTerms
from hf_gate.core.stored_rows import RequestRow
from hf_gate.grants.service.ends.end_reviews import ChangedEnds
from hf_gate.grants.service.ends.grant_ends import refresh_ends
from hf_gate.verdicts.plan.guards import ChangeFilter
from tests.kits.evaluations import CARD, EXPIRES, EvaluatedWorkspace, build_condition
from tests.kits.stores import EEG, MED, ON_BOTH, hub_id
from tests.kits.stores import sqlite_place as place

__all__ = ["place"]
SIGNED = GrantTerms(until=(EXPIRES,), notice=("7d",))
KEPT = GrantTerms(keep_while=(build_condition('tables.dua.state == "valid"', "14d"),))
PEOPLE = range(1, 6)


@pytest.fixture
def desk(place: str, tmp_path: Path) -> Iterator[EvaluatedWorkspace]:
    made = EvaluatedWorkspace(place, tmp_path / "desk")
    made.write_policy("  - {id: rest, then: human}\n")
    yield made
    made.close()


def sign(desk: EvaluatedWorkspace, **changed: str | None) -> None:
    """Everybody's agreement expires in June; `user1="2026-04-01"`: that of one person is another; None: none."""
    days = {f"user{n}": changed.get(f"user{n}", "2026-06-30") for n in range(1, 31)}
    desk.write_table(*(f",{name}@example.org,,{day}," for name, day in days.items() if day is not None))


def let_in(desk: EvaluatedWorkspace, terms: GrantTerms, numbers: range = PEOPLE, **changed: str) -> list[RequestRow]:
    """These people have access on these terms, and every end was reviewed."""
    sign(desk, **changed)
    desk.read(EEG, *numbers, status="accepted")
    desk.give_terms(terms, *map(desk.row, numbers), days=20)
    assert desk.review() == len(numbers)
    desk.review()
    assert desk.review() == 0
    return list(map(desk.row, numbers))


CHANGES: dict[str, tuple[GrantTerms, Callable[[EvaluatedWorkspace], object], int]] = {
    "row": (SIGNED, lambda desk: sign(desk, user1="2026-07-31"), 1),
    "row removed": (KEPT, lambda desk: sign(desk, user2=None), 1),
    "domain": (KEPT, lambda desk: desk.write_table(",@example.org,,,"), 5),
    "table lost": (SIGNED, lambda desk: (desk.folder / "dua.csv").write_text("no table"), 5),
    "note": (SIGNED, lambda desk: desk.append(desk.row(1), e.NoteWritten()), 1),
    "e-mail": (SIGNED, lambda desk: desk.read(EEG, 1, status="accepted", email="a@mit.edu"), 1),
    "decision elsewhere": (SIGNED, lambda desk: desk.read(MED, 1, status="accepted"), 1),
    "form": (SIGNED, lambda desk: desk.write_form(EEG, CARD), 5),
    "clock set back": (SIGNED, lambda desk: desk.wait(hours=-1), 5),
    "time": (SIGNED, lambda desk: desk.wait(days=30), 0),
    "somebody else's row": (SIGNED, lambda desk: sign(desk, user20=None), 0),
    "new grant": (SIGNED, lambda desk: desk.read(EEG, 9, status="accepted"), 0),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_end_is_reviewed_again_when_something_changed(desk: EvaluatedWorkspace, what: str) -> None:
    terms, change, reviewed = CHANGES[what]
    let_in(desk, terms)
    change(desk)
    assert desk.review() == reviewed


def test_a_notice_is_given_on_its_day_though_nothing_else_changed(desk: EvaluatedWorkspace) -> None:
    (row, *_) = let_in(desk, SIGNED, range(1, 2), user1="2026-04-30")
    assert row.state.ends_at is not None
    desk.wait(days=52)
    assert desk.review() == 0
    desk.wait(days=2)
    assert refresh_ends(desk.workspace, desk.bundle, desk.now).noticed == 1
    desk.review()
    desk.wait(days=1)
    assert desk.review() == 0


def test_an_unknown_condition_keeps_access_though_nothing_is_reviewed(desk: EvaluatedWorkspace) -> None:
    rows = let_in(desk, KEPT, range(1, 3))
    sign(desk, user1=None)
    desk.review()
    (desk.folder / "dua.csv").write_text("no table")
    desk.wait(days=15)
    for reviewed in (2, 0):
        done = refresh_ends(desk.workspace, desk.bundle, desk.now)
        assert (done.reviewed, done.undecided) == (reviewed, frozenset({rows[0].id}))


def test_a_condition_without_a_grace_ends_access_while_the_grace_of_another_runs(desk: EvaluatedWorkspace) -> None:
    strict = build_condition("!email.free", None)
    both = GrantTerms(keep_while=(build_condition('tables.dua.state == "valid"', "14d"), strict))
    desk.read(EEG, 1, status="accepted", email="user1@example.org")
    sign(desk)
    desk.give_terms(both, desk.row(1))
    sign(desk, user1=None)
    desk.review()
    assert desk.row(1).state.ends_at == to_ms(desk.now + timedelta(days=14))
    desk.wait(days=1)
    desk.read(EEG, 1, status="accepted", email="user1@gmail.com")
    desk.review()
    assert desk.row(1).state.ends_at == to_ms(desk.now)
    desk.wait(days=1)
    ended = desk.row(1).state.ends_at
    desk.review()
    assert desk.row(1).state.ends_at == ended, "each condition counts from the turn in which it turned false"


BOTH = GrantTerms(
    keep_while=(build_condition('tables.dua.state == "valid"', "14d"), build_condition("!email.free", "14d")),
)


def agree(desk: EvaluatedWorkspace, *, is_valid: bool = True) -> None:
    desk.write_table(*[f"{hub_id(1)},,,2026-06-30,"] * is_valid)


def mail(desk: EvaluatedWorkspace, domain: str) -> None:
    desk.read(EEG, 1, status="accepted", email=f"user1@{domain}")
    desk.review()


def days_left(desk: EvaluatedWorkspace) -> float | None:
    end = desk.row(1).state.ends_at
    return None if end is None else (from_ms(end) - desk.now) / timedelta(days=1)


def test_the_grace_of_each_condition_counts_from_when_that_condition_turned_false(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, status="accepted", email="user1@example.org")
    agree(desk)
    desk.give_terms(BOTH, desk.row(1))
    agree(desk, is_valid=False)
    desk.review()
    assert days_left(desk) == 14
    desk.wait(days=10)
    agree(desk)
    mail(desk, "gmail.com")
    assert days_left(desk) == 14, "the first condition is true again, and the second one has just turned false"
    desk.wait(days=2)
    agree(desk, is_valid=False)
    desk.review()
    assert days_left(desk) == 12
    mail(desk, "example.org")
    assert days_left(desk) == 14
    agree(desk)
    desk.review()
    assert days_left(desk) is None


def test_one_condition_ends_access_on_its_day_while_another_is_unknown(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, status="accepted", email="user1@example.org")
    agree(desk)
    desk.give_terms(BOTH, desk.row(1))
    agree(desk, is_valid=False)
    desk.review()
    desk.wait(days=10)
    mail(desk, "gmail.com")
    (desk.folder / "dua.csv").write_text("no table")
    desk.wait(days=5)
    for days, is_waiting in ((0, True), (8, True), (1, False), (1, False)):
        desk.wait(days=days)
        desk.review()
        assert days_left(desk) is not None
        assert (refresh_ends(desk.workspace, desk.bundle, desk.now).undecided != frozenset()) is is_waiting


def test_a_full_review_reviews_everybody(desk: EvaluatedWorkspace) -> None:
    let_in(desk, SIGNED)
    assert refresh_ends(desk.workspace, desk.bundle, desk.now, is_full=True).reviewed == 5
    assert desk.review() == 0


def test_a_grant_that_changed_meanwhile_is_reviewed_in_the_next_turn(desk: EvaluatedWorkspace) -> None:
    let_in(desk, SIGNED)
    ends = ChangedEnds(desk.workspace, desk.bundle, desk.now, is_full=True)
    ends.review()
    desk.append(desk.row(1), e.NoteWritten())
    ends.save()
    assert desk.review() == 1


@ON_BOTH
def test_ends_that_a_guard_defers_are_counted_and_not_built_again(desk: EvaluatedWorkspace) -> None:
    people = range(1, 1_201)
    desk.read(EEG, *people, status="accepted")
    everybody = desk.store._read_requests("r.is_current", [], EEG)  # 1,200 searches by name take 20 s on PostgreSQL
    assert len(everybody) == len(people)
    desk.give_terms(SIGNED, *everybody, days=2, cause="fact")
    desk.wait(days=3)
    bundle = desk.bundle
    whole = desk.propose(bundle).plan
    built: list[Change] = []

    class Counting(ChangeFilter):
        def allows(self, change: Change) -> bool:
            built.append(change)
            return True

    for room in (0, 5):
        built.clear()
        found = desk.propose(bundle, Counting(), room={"end": room})
        assert len(built) == room
        assert len(found.plan.changes) == room
        assert found.left_out == Counter(end=1_200 - len(built) - (room > 3))  # user3 is protected
        assert found.plan.summary["end"] == 1_200
    assert len(whole.changes) == 1_199
