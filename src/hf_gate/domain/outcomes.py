"""How one decision ended: seven kinds, the same everywhere, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

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
    """How one decision ended. `why` is empty for done, one sentence for the others.

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
    """The exit code of several decisions: 0 nothing refused or open, 1 refused and nothing done, 5 in part."""
    count = Counter(outcome.kind for outcome in outcomes)
    if not (count[Kind.REFUSED] or count[Kind.OPEN]):
        return 0
    if count[Kind.OPEN]:
        return 5
    return 5 if count[Kind.DONE] else 1
