"""What several decisions come to."""

from __future__ import annotations

import pytest

from hf_gate.domain.ids import Person, Repo, RepoType
from hf_gate.domain.outcomes import Kind, Outcome, exit_code_of
from hf_gate.errors import HubUnavailable, NotAllowed, NotGated, OutcomeUnknown

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
