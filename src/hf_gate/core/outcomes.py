"""The seven outcomes of a decision, the outcome for each error, and the exit codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from hf_gate.base.ids import Person, Repo
from hf_gate.errors import (
    HfGateError,
    HubUnavailable,
    NotAllowed,
    NotGated,
    Offline,
    OutcomeUnknown,
    PersonNotFound,
    RepoMoved,
    RepoNotFound,
    RequestNotFound,
    Stale,
)


class OutcomeKind(StrEnum):
    """The seven ways in which a decision can end."""

    DONE = "done"
    ALREADY = "already"
    STALE = "stale"
    GONE = "gone"
    REFUSED = "refused"
    DEFERRED = "deferred"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one decision.

    `why` is a sentence; it is empty for done, unless the answer was lost and the request was read back. A call for one
    person raises `error`. `hub_request_id` is the Hub's x-request-id of the write.
    """

    kind: OutcomeKind
    repo: Repo
    person: Person
    request_id: str | None = None
    why: str = ""
    hub_request_id: str | None = None
    error: Exception | None = None

    def __repr__(self) -> str:
        why = f", {self.why!r}" if self.why else ""
        return f"<Outcome {self.kind.value} for {str(self.person)!r} at {self.repo}{why}>"

    @property
    def user(self) -> str | None:
        """The username, if known."""
        return self.person.username


class ErrorScope(StrEnum):
    """What an error ends: one decision, the decisions of one repo in a run, or the whole run."""

    ONE = "one"
    REPO = "repo"
    RUN = "run"


class ErrorRule(NamedTuple):
    """The outcome for an error, and what the error ends. `is_listed`: the request was read before."""

    error: type[HfGateError]
    is_listed: bool | None
    kind: OutcomeKind
    scope: ErrorScope


# The first match decides; None matches both values. The class of an error defines its exit code.
_ERROR_RULES: Final = (
    ErrorRule(Stale, None, OutcomeKind.STALE, ErrorScope.ONE),
    ErrorRule(PersonNotFound, True, OutcomeKind.GONE, ErrorScope.ONE),
    ErrorRule(RequestNotFound, True, OutcomeKind.GONE, ErrorScope.ONE),
    ErrorRule(OutcomeUnknown, None, OutcomeKind.OPEN, ErrorScope.ONE),
    ErrorRule(NotAllowed, None, OutcomeKind.OPEN, ErrorScope.REPO),
    ErrorRule(NotGated, None, OutcomeKind.REFUSED, ErrorScope.REPO),
    ErrorRule(RepoNotFound, None, OutcomeKind.REFUSED, ErrorScope.REPO),
    ErrorRule(RepoMoved, None, OutcomeKind.REFUSED, ErrorScope.REPO),
    ErrorRule(HubUnavailable, None, OutcomeKind.OPEN, ErrorScope.RUN),
    ErrorRule(Offline, None, OutcomeKind.OPEN, ErrorScope.RUN),
    ErrorRule(HfGateError, None, OutcomeKind.REFUSED, ErrorScope.ONE),
)


def classify_error(error: HfGateError, *, is_listed: bool) -> ErrorRule:
    """Return the first matching rule. `is_listed` says whether the request was read before."""
    return next(rule for rule in _ERROR_RULES if isinstance(error, rule.error) and rule.is_listed in {None, is_listed})


def exit_code_of(outcomes: Iterable[Outcome], stop: BaseException | None = None) -> int:
    """Return the exit code of several decisions and of the error that ended their run early.

    0: nothing refused, nothing open. 5: done in part, or sent with an unknown result. Otherwise nothing was done, and
    the code is that of `stop`, else 4 (not allowed), 75 (Hub unavailable) or 1 (refused).
    """
    count: Counter[OutcomeKind] = Counter()
    reasons: set[int] = set()
    for outcome in outcomes:
        count[outcome.kind] += 1
        if outcome.kind is OutcomeKind.OPEN:
            reasons.add(_exit_code_of_error(outcome.error, 5))
    if stop is None and not (count[OutcomeKind.REFUSED] or count[OutcomeKind.OPEN]):
        return 0
    if count[OutcomeKind.DONE] or 5 in reasons:
        return 5
    return min(reasons, default=1) if stop is None else _exit_code_of_error(stop, 1)


def exit_code_of_counts(count: Mapping[str, int]) -> int:
    """Return the exit code of a run that no error ended early, from its changes by outcome."""
    if count.get(OutcomeKind.OPEN) or (count.get(OutcomeKind.REFUSED) and count.get(OutcomeKind.DONE)):
        return 5
    return 1 if count.get(OutcomeKind.REFUSED) else 0


def _exit_code_of_error(error: BaseException | None, otherwise: int) -> int:
    return error.exit_code if isinstance(error, HfGateError) else otherwise
