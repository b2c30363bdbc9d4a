"""What an error makes of a decision, and what several decisions come to."""

from __future__ import annotations

from collections import Counter

import pytest

from hf_gate.base.ids import Person, Repo, RepoType
from hf_gate.core.outcomes import Outcome, OutcomeKind, exit_code_of, exit_code_of_counts
from hf_gate.errors import (
    HubUnavailable,
    NotAllowed,
    NotGated,
    OutcomeUnknown,
    Stale,
)

REPO = Repo(RepoType.MODEL, "acme", "m")
AWAY, NO, UNKNOWN = HubUnavailable("away"), NotAllowed("no"), OutcomeUnknown("?")


def made(*kinds: OutcomeKind | tuple[OutcomeKind, Exception]) -> list[Outcome]:
    pairs = [kind if isinstance(kind, tuple) else (kind, None) for kind in kinds]
    return [Outcome(kind, REPO, Person(username="ada"), error=error) for kind, error in pairs]


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ([], 0),
        ([OutcomeKind.DONE, OutcomeKind.ALREADY, OutcomeKind.STALE, OutcomeKind.GONE, OutcomeKind.DEFERRED], 0),
        ([OutcomeKind.REFUSED], 1),
        ([OutcomeKind.REFUSED, OutcomeKind.ALREADY], 1),
        ([OutcomeKind.REFUSED, OutcomeKind.DONE], 5),
        ([(OutcomeKind.OPEN, AWAY), (OutcomeKind.OPEN, AWAY)], 75),
        ([(OutcomeKind.OPEN, AWAY), OutcomeKind.DONE], 5),
        ([(OutcomeKind.OPEN, NO)], 4),
        ([(OutcomeKind.OPEN, NO), OutcomeKind.DONE], 5),
        ([(OutcomeKind.OPEN, UNKNOWN)], 5),
        ([(OutcomeKind.OPEN, UNKNOWN), (OutcomeKind.OPEN, AWAY)], 5),
        ([(OutcomeKind.OPEN, NotGated("no"))], 1),
        ([OutcomeKind.OPEN], 5),
    ],
)
def test_the_exit_code_says_whether_anything_was_done_and_why_not(kinds: list[OutcomeKind], code: int) -> None:
    assert exit_code_of(made(*kinds)) == code
    if all(isinstance(kind, OutcomeKind) for kind in kinds):  # a run that nothing ended early knows no reasons
        assert exit_code_of_counts(Counter(map(str, kinds))) == code


@pytest.mark.parametrize(
    ("stop", "kinds", "code"),
    [
        (AWAY, [], 75),
        (AWAY, [OutcomeKind.ALREADY], 75),
        (AWAY, [OutcomeKind.DONE], 5),
        (NO, [(OutcomeKind.OPEN, NO)], 4),
        (AWAY, [(OutcomeKind.OPEN, UNKNOWN)], 5),
        (Stale("moved"), [OutcomeKind.STALE], 6),
        (RuntimeError("a fault"), [], 1),
    ],
)
def test_what_ended_a_run_decides_when_surely_nothing_was_done(
    stop: Exception, kinds: list[OutcomeKind], code: int
) -> None:
    assert exit_code_of(made(*kinds), stop) == code
