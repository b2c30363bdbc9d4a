"""The stored result of evaluating a request: what a plan does with it, and when it must be evaluated again."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

from hf_gate.core.people.access_end import HandTerms

from .request_state import RequestState

EVALUATE_NOW: Final = 0
"""The time of a request that every turn evaluates: a new or changed request, or one whose rules name `now`."""


class EvaluationOutcome(StrEnum):
    """What a plan does with an evaluated request."""

    IGNORE = "ignore"  # no policy evaluates it, or its record was erased
    STAY = "stay"
    CHANGE = "change"
    PEOPLE = "people"  # a policy would accept, but people must decide
    PROFILE = "profile"  # the verdict waits for a profile that can still be read


Lookups: TypeAlias = tuple[int | None, int | None, int | None]
"""Keyed hashes of account id, e-mail address and username, if they were looked up in a table of the owner."""

NO_LOOKUPS: Final[Lookups] = (None, None, None)


class StoredEvaluation(NamedTuple):
    """The stored evaluation of one request.

    `version` increases with every change, so that a result computed meanwhile is not stored. `evaluate_at` is the time
    (ms) of the next evaluation; None: not before the request, its person or something shared changes.
    """

    version: int = 0
    outcome: str | None = None
    evaluate_at: int | None = EVALUATE_NOW
    lookups: Lookups = NO_LOOKUPS
    review_at: int | None = EVALUATE_NOW  # of the end, if the request is a grant with terms; as `evaluate_at`
    is_undecided: bool = False  # access would end by a condition that is unknown


def evaluation_of(values: Sequence[Any]) -> StoredEvaluation:
    """Return the stored evaluation from its columns: six, or eight with the review of the end."""
    version, outcome, evaluate_at, user, email, name, *review = values
    review_at, is_undecided = review or (EVALUATE_NOW, False)
    return StoredEvaluation(version, outcome, evaluate_at, (user, email, name), review_at, bool(is_undecided))


def add_lookups(known: Lookups, new: Lookups) -> Lookups:
    """Return the new hashes, and the known ones of keys that were not looked up now.

    A grant is looked up for its verdict and for its end, and the two can use different keys.
    """
    user, email, name = (old if now is None else now for old, now in zip(known, new, strict=True))
    return user, email, name


class EvaluationResult(NamedTuple):
    """The result of one evaluation, for the store. `version` is the stored version that was evaluated."""

    request: int
    version: int
    outcome: str
    evaluate_at: int | None
    lookups: Lookups = NO_LOOKUPS


class ReviewResult(NamedTuple):
    """The result of one review of an end, for the store. `version` is the stored version that was reviewed."""

    request: int
    version: int
    review_at: int | None
    is_undecided: bool = False
    lookups: Lookups = NO_LOOKUPS


class EvaluationCount(NamedTuple):
    """How many requests of a repo and status have one verdict and outcome."""

    outcome: str
    action: str
    policy: str | None
    rule: str
    digest: str | None
    shadow: tuple[tuple[str, str, str], ...]  # policy, rule, action
    hand_terms: HandTerms | None
    verdict_id: int
    n: int

    def has(self, state: RequestState) -> bool:
        """Tell whether a request in this state has the verdict of this group."""
        verdict = (self.action, self.policy, self.rule, self.digest)
        return (state.verdict, state.shadow, state.hand_terms) == (verdict, self.shadow, self.hand_terms)
