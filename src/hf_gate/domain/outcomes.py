"""How one decision ended: seven kinds, the same everywhere, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ..errors import HfGateError
from .ids import Person, Repo


class Kind(StrEnum):
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
    """How one decision ended. `why` is a sentence; empty for done, unless the answer was lost and read back.

    `error` is what a single verb raises for this outcome; `hub_request_id` the Hub's x-request-id of the write.
    """

    kind: Kind
    repo: Repo
    person: Person
    request_id: str | None = None
    why: str = ""
    hub_request_id: str | None = None
    error: Exception | None = None

    @property
    def user(self) -> str | None:
        """The username, when it is known."""
        return self.person.username


def exit_code_of(outcomes: Iterable[Outcome]) -> int:
    """The exit code of several decisions together.

    0: nothing refused, nothing open. 5: done in part, or sent and unknown. Else nothing was done, and the reason
    decides: 4 not allowed, 75 the Hub is away, 1 refused.
    """
    count: Counter[Kind] = Counter()
    reasons: set[int] = set()
    for outcome in outcomes:
        count[outcome.kind] += 1
        if outcome.kind is Kind.OPEN:
            reasons.add(outcome.error.exit_code if isinstance(outcome.error, HfGateError) else 5)
    if not (count[Kind.REFUSED] or count[Kind.OPEN]):
        return 0
    if count[Kind.DONE] or 5 in reasons:
        return 5
    return min(reasons, default=1)
