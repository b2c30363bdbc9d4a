"""What an error makes of a decision, and what several decisions come to."""

from __future__ import annotations

from collections import Counter

import pytest

from hf_gate.base.ids import Person, Repo, RepoType
from hf_gate.core.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error, exit_code_of, exit_code_of_counts
from hf_gate.errors import (
    BadRequest,
    ForeignOrigin,
    HfGateError,
    HubUnavailable,
    NotAllowed,
    NotGated,
    Offline,
    OutcomeUnknown,
    PersonNotFound,
    ReasonTooLong,
    RepoMoved,
    RepoNotFound,
    RequestNotFound,
    Stale,
    WrongRepoType,
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


@pytest.mark.parametrize(
    ("error", "typed", "listed", "ends"),
    [
        (Stale, OutcomeKind.STALE, OutcomeKind.STALE, ErrorScope.ONE),
        (PersonNotFound, OutcomeKind.REFUSED, OutcomeKind.GONE, ErrorScope.ONE),
        (RequestNotFound, OutcomeKind.REFUSED, OutcomeKind.GONE, ErrorScope.ONE),
        (OutcomeUnknown, OutcomeKind.OPEN, OutcomeKind.OPEN, ErrorScope.ONE),
        (BadRequest, OutcomeKind.REFUSED, OutcomeKind.REFUSED, ErrorScope.ONE),
        (ReasonTooLong, OutcomeKind.REFUSED, OutcomeKind.REFUSED, ErrorScope.ONE),
        (ForeignOrigin, OutcomeKind.REFUSED, OutcomeKind.REFUSED, ErrorScope.ONE),
        (NotAllowed, OutcomeKind.OPEN, OutcomeKind.OPEN, ErrorScope.REPO),
        (NotGated, OutcomeKind.REFUSED, OutcomeKind.REFUSED, ErrorScope.REPO),
        (RepoNotFound, OutcomeKind.REFUSED, OutcomeKind.REFUSED, ErrorScope.REPO),
        (WrongRepoType, OutcomeKind.REFUSED, OutcomeKind.REFUSED, ErrorScope.REPO),
        (RepoMoved, OutcomeKind.REFUSED, OutcomeKind.REFUSED, ErrorScope.REPO),
        (HubUnavailable, OutcomeKind.OPEN, OutcomeKind.OPEN, ErrorScope.RUN),
        (Offline, OutcomeKind.OPEN, OutcomeKind.OPEN, ErrorScope.RUN),
    ],
)
def test_an_error_has_one_meaning_for_a_typed_name_and_one_for_a_request_that_was_read(
    error: type[HfGateError], typed: OutcomeKind, listed: OutcomeKind, ends: ErrorScope
) -> None:
    by_name, by_request = classify_error(error("so"), is_listed=False), classify_error(error("so"), is_listed=True)
    assert (by_name.kind, by_request.kind) == (typed, listed)
    assert by_name.scope is by_request.scope is ends
