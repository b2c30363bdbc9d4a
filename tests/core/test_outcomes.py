"""What an error makes of a decision, and what several decisions come to."""

from __future__ import annotations

from collections import Counter

import pytest

from hf_gate.domain.ids import Person, Repo, RepoType
from hf_gate.domain.outcomes import Ends, Kind, Outcome, exit_code_of, exit_code_of_counts, law_of
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


def made(*kinds: Kind | tuple[Kind, Exception]) -> list[Outcome]:
    pairs = [kind if isinstance(kind, tuple) else (kind, None) for kind in kinds]
    return [Outcome(kind, REPO, Person(username="ada"), error=error) for kind, error in pairs]


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ([], 0),
        ([Kind.DONE, Kind.ALREADY, Kind.STALE, Kind.GONE, Kind.DEFERRED], 0),
        ([Kind.REFUSED], 1),
        ([Kind.REFUSED, Kind.ALREADY], 1),
        ([Kind.REFUSED, Kind.DONE], 5),
        ([(Kind.OPEN, AWAY), (Kind.OPEN, AWAY)], 75),
        ([(Kind.OPEN, AWAY), Kind.DONE], 5),
        ([(Kind.OPEN, NO)], 4),
        ([(Kind.OPEN, NO), Kind.DONE], 5),
        ([(Kind.OPEN, UNKNOWN)], 5),
        ([(Kind.OPEN, UNKNOWN), (Kind.OPEN, AWAY)], 5),
        ([(Kind.OPEN, NotGated("no"))], 1),
        ([Kind.OPEN], 5),
    ],
)
def test_the_exit_code_says_whether_anything_was_done_and_why_not(kinds: list[Kind], code: int) -> None:
    assert exit_code_of(made(*kinds)) == code
    if all(isinstance(kind, Kind) for kind in kinds):  # a run that nothing ended early knows no reasons
        assert exit_code_of_counts(Counter(map(str, kinds))) == code


@pytest.mark.parametrize(
    ("stop", "kinds", "code"),
    [
        (AWAY, [], 75),
        (AWAY, [Kind.ALREADY], 75),
        (AWAY, [Kind.DONE], 5),
        (NO, [(Kind.OPEN, NO)], 4),
        (AWAY, [(Kind.OPEN, UNKNOWN)], 5),
        (Stale("moved"), [Kind.STALE], 6),
        (RuntimeError("a fault"), [], 1),
    ],
)
def test_what_ended_a_run_decides_when_surely_nothing_was_done(stop: Exception, kinds: list[Kind], code: int) -> None:
    assert exit_code_of(made(*kinds), stop) == code


@pytest.mark.parametrize(
    ("error", "typed", "listed", "ends"),
    [
        (Stale, Kind.STALE, Kind.STALE, Ends.ONE),
        (PersonNotFound, Kind.REFUSED, Kind.GONE, Ends.ONE),
        (RequestNotFound, Kind.REFUSED, Kind.GONE, Ends.ONE),
        (OutcomeUnknown, Kind.OPEN, Kind.OPEN, Ends.ONE),
        (BadRequest, Kind.REFUSED, Kind.REFUSED, Ends.ONE),
        (ReasonTooLong, Kind.REFUSED, Kind.REFUSED, Ends.ONE),
        (ForeignOrigin, Kind.REFUSED, Kind.REFUSED, Ends.ONE),
        (NotAllowed, Kind.OPEN, Kind.OPEN, Ends.REPO),
        (NotGated, Kind.REFUSED, Kind.REFUSED, Ends.REPO),
        (RepoNotFound, Kind.REFUSED, Kind.REFUSED, Ends.REPO),
        (WrongRepoType, Kind.REFUSED, Kind.REFUSED, Ends.REPO),
        (RepoMoved, Kind.REFUSED, Kind.REFUSED, Ends.REPO),
        (HubUnavailable, Kind.OPEN, Kind.OPEN, Ends.RUN),
        (Offline, Kind.OPEN, Kind.OPEN, Ends.RUN),
    ],
)
def test_an_error_has_one_meaning_for_a_typed_name_and_one_for_a_request_that_was_read(
    error: type[HfGateError], typed: Kind, listed: Kind, ends: Ends
) -> None:
    by_name, by_request = law_of(error("so"), listed=False), law_of(error("so"), listed=True)
    assert (by_name.kind, by_request.kind) == (typed, listed)
    assert by_name.ends is by_request.ends is ends
