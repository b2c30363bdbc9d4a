"""Whether a request changed since somebody looked at it: said by one definition, in Python and in SQL alike."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_gate.core.events.events import ChangeSettled, ChangeStarted, LedgerEntry
from hf_gate.core.lifecycle import STATUSES, WITHDRAWN
from hf_gate.core.parsing.query import Query
from hf_gate.core.request_version import RequestVersion
from hf_gate.core.stored_rows import MOVED, RequestRow, SelectionScope
from hf_gate.requests.rows.selections import count_selection_buckets, select_matching_requests, select_requests
from hf_gate.store.store import Store
from tests.kits.stores import EEG, place, read_selected, record, store, store_records

__all__ = ["place", "store"]
_numbers = itertools.count(1)
_picks = itertools.count(1)


@dataclass(slots=True)
class Play:
    """One person's request, moved by everybody who can move it."""

    store: Store
    number: int = field(default_factory=lambda: next(_numbers))
    status: str = "pending"
    attempt: int = 1
    reviews: int = 0
    told: dict[str, Any] = field(default_factory=lambda: {"answers": {"Why": "sleep"}})
    at: int = 1_000
    ident: int = 0

    def __post_init__(self) -> None:
        self.read()

    @property
    def row(self) -> RequestRow:
        found = self.store.request(self.ident)
        assert found is not None
        return found

    def read(self) -> None:
        self.at += 10
        reviewed = {} if self.status == "pending" else {"reviewedAt": f"2026-06-01T10:{self.reviews:02}:00.000Z"}
        told = record(self.number, self.status, day=self.attempt, request=self.number * 100 + self.attempt, **self.told)
        ident = store_records(self.store, EEG, [told | reviewed], self.at)[0]
        self.ident = self.ident or ident

    def step(self, what: str) -> None:
        match what.split():
            case ["outside", status]:
                self.status, self.reviews = status, self.reviews + (self.status != status)
                self.read()
            case ["own", status]:
                self.settle(status)
            case ["rename"]:
                self.told["name"] = f"other{next(_numbers)}"
                self.read()
            case ["answers"]:
                self.told["answers"] = {"Why": f"something else {next(_numbers)}"}
                self.read()
            case ["review"] if self.status != "pending":
                self.reviews += 1
                self.read()
            case ["again"] if self.status == "reset":
                self.attempt, self.status = self.attempt + 1, "pending"
                self.read()
            case _:
                self.read()

    def settle(self, status: str) -> None:
        if status == self.status:
            return
        before, self.status, self.at = self.status, status, self.at + 10
        events = (
            ChangeStarted(run="r1", before=before, after=status),
            ChangeSettled(run="r1", kind="done", after=status, reviewed_at=0 if status == "pending" else self.at),
        )
        current = self.store.attempts(EEG, self.row.person.id)[-1]
        with self.store.writing() as write:
            write.append(
                EEG, [LedgerEntry(event=each, at=self.at, actor="lena", request=current.id) for each in events]
            )


STEPS = (
    *(f"{who} {status}" for who in ("outside", "own") for status in STATUSES),
    "rename",
    "answers",
    "review",
    "again",
    "read",
)


def _look(play: Play) -> tuple[str, RequestVersion]:
    """Select the request as it is now; the selection, and what it keeps of the request."""
    pick = f"p{next(_picks)}"
    select_requests(play.store, pick, "m_1", [play.ident], play.at)
    (kept,) = read_selected(play.store, pick).values()
    return pick, kept


def _says_sql(play: Play, pick: str) -> bool:
    """Whether SQL says that the request is as it was."""
    repo = play.store.repo(EEG)
    assert repo is not None
    (heap,) = count_selection_buckets(play.store, SelectionScope(pick, [*STATUSES, WITHDRAWN], [repo.id], ["nobody"]))
    return heap.why != MOVED


def _says_python(play: Play, seen: RequestVersion) -> bool:
    row = play.row
    assert (seen.difference(row.version) is None) == (seen.token == row.version.token)
    return row.is_current and seen.difference(row.version) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(st.sampled_from(STEPS), max_size=4), after=st.lists(st.sampled_from(STEPS), max_size=4))
def test_sql_and_python_say_the_same_of_any_history(store: Store, before: list[str], after: list[str]) -> None:
    play = Play(store)
    for what in before:
        play.step(what)
    pick, seen = _look(play)
    assert seen.difference(play.row.version) is None
    for what in after:
        play.step(what)
    assert _says_sql(play, pick) == _says_python(play, seen)


@pytest.mark.parametrize(
    ("steps", "is_same"),
    [
        ([], True),
        (["read"], True),
        (["rename"], True),
        (["answers"], False),
        (["own rejected", "own pending"], False),
        (["outside rejected", "outside pending"], False),
        (["own accepted", "own pending"], False),
        (["outside accepted"], False),
        (["own reset", "again"], False),
    ],
)
def test_what_counts_as_a_change_since_somebody_looked(store: Store, steps: list[str], is_same: bool) -> None:
    play = Play(store)
    pick, seen = _look(play)
    for what in steps:
        play.step(what)
    assert (_says_sql(play, pick), _says_python(play, seen)) == (is_same, is_same)


def test_a_review_that_was_given_anew_is_a_change(store: Store) -> None:
    play = Play(store)
    play.step("outside accepted")
    pick, seen = _look(play)
    play.step("review")
    assert (_says_sql(play, pick), seen.difference(play.row.version)) == (False, "its status changed and changed back")


def test_a_clock_that_was_set_back_hides_no_move(store: Store) -> None:
    play = Play(store)
    play.step("own rejected")
    play.step("own pending")
    pick, _ = _look(play)
    play.at -= 40
    play.step("own rejected")
    play.step("own pending")
    assert not _says_sql(play, pick)


def test_a_rename_counts_only_where_the_rule_read_the_name(store: Store) -> None:
    play = Play(store)
    seen = play.row.version
    play.step("rename")
    assert seen.difference(play.row.version) is None
    assert seen.difference(play.row.version, with_identity=True) == "its name or e-mail address changed"


def test_a_query_is_selected_as_it_is(store: Store) -> None:
    play = Play(store)
    select_matching_requests(store, "q1", "m_1", Query(()), play.at, UTC)
    assert read_selected(store, "q1")[play.ident].difference(play.row.version) is None
