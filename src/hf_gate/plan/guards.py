"""The brakes: how strong a yes a plan needs when somebody is there, and how much of it a run may do when nobody is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

from ..policy.literals import Rate
from .model import Change, GuardResult

MAX_CONFIRMED: Final = 20  # rejections, resets, cancellations and removals: above, the number must be typed
MAX_CONFIRMED_ACCEPTS: Final = 50  # acceptances: above this and above a tenth of who waits
ACCEPT_SHARE: Final = 10  # a tenth
_NOT_ACCEPTED: Final = ("reject", "reset", "remove")
MAX_FIRST_TURN: Final = 50  # a policy version acts on a repo without being asked up to here


class Confirmation(StrEnum):
    """What a person must do before a plan is sent."""

    NONE = "none"
    CONFIRM = "confirm"
    TYPED = "typed"


def plan_confirmation(changes: Collection[Change], waiting: int) -> Confirmation:
    """The ladder for the changes of a plan. `waiting`: pending requests in all."""
    return required_confirmation(Counter(change.verb for change in changes), waiting)


def required_confirmation(count: Mapping[str, int], waiting: int) -> Confirmation:
    """By verb: one change needs no word, a few a yes, many their number."""
    total, accepts = sum(count.values()), count.get("accept", 0)
    if total - accepts > MAX_CONFIRMED or accepts > max(MAX_CONFIRMED_ACCEPTS, waiting // ACCEPT_SHARE):
        return Confirmation.TYPED
    return Confirmation.NONE if total <= 1 else Confirmation.CONFIRM


def apply_budgets(
    changes: Iterable[Change], budgets: Mapping[str, Rate], used: Mapping[str, int]
) -> tuple[list[Change], list[Change]]:
    """What a run may do now, the oldest first, and what is deferred. `used`: done in each verb's window so far."""
    left = {verb: max(0, budget.limit - used.get(verb, 0)) for verb, budget in budgets.items()}
    take: list[Change] = []
    deferred: list[Change] = []
    for change in sorted(changes, key=lambda change: (change.asked_at, change.sort_key)):
        if left.get(change.verb, 1) <= 0:
            deferred.append(change)
            continue
        if change.verb in left:
            left[change.verb] -= 1
        take.append(change)
    return take, deferred


PolicyStart: TypeAlias = tuple[str, str, str]
"""A policy, the digest of its version, and a repo where that begins to act."""


class FirstTurnHold:
    """Holds a policy version back that never acted at a repo when it would begin there with many changes; a few may go.

    What is held is counted as it comes and not kept, so that it takes nobody's place. Changes without a policy (ends of
    grants) go. `may_act` tells which versions may act where.
    """

    def __init__(self, may_act: Callable[[PolicyStart], bool]) -> None:
        self.held: Counter[PolicyStart] = Counter()
        self._may_act = may_act
        self._waiting: dict[PolicyStart, list[Change]] = {}

    def allows(self, change: Change) -> bool:
        """Whether it may go now; if not, it may be among the `few` at the end."""
        start = (change.policy or "", change.policy_digest or "", str(change.repo_ref))
        if not start[1] or self._may_act(start):
            return True
        if start in self.held:
            self.held[start] += 1
            return False
        aside = self._waiting.setdefault(start, [])
        aside.append(change)
        if len(aside) > MAX_FIRST_TURN:
            self.held[start] = len(self._waiting.pop(start))
        return False

    def small_starts(self) -> Iterator[Change]:
        """Of versions that begin with few."""
        for aside in self._waiting.values():
            yield from aside


def protection_check(names: Collection[str]) -> Callable[[Change], bool]:
    """Tells whether a change rejects, resets or removes somebody on the list of protected names or ids."""
    known = {name.lower() for name in names}

    def is_protected(change: Change) -> bool:
        named = {str(value).lower() for value in (change.user, change.user_id) if value}
        return change.verb != "accept" and bool(named & known)

    return is_protected


def guard_report(changes: Sequence[Change], waiting: int, protected: int) -> list[GuardResult]:
    """The limits of the ladder with what these changes come to; who is not let in counts together."""
    count = Counter(change.verb for change in changes)
    out = sum(count.values()) - count["accept"]
    most = max(MAX_CONFIRMED_ACCEPTS, waiting // ACCEPT_SHARE)
    return [
        GuardResult(name="accept", ok=count["accept"] <= most, limit=most, value=count["accept"]),
        *(
            GuardResult(name=verb, ok=out <= MAX_CONFIRMED or not count[verb], limit=MAX_CONFIRMED, value=count[verb])
            for verb in _NOT_ACCEPTED
        ),
        GuardResult(name="protected", ok=protected == 0, limit=0, value=protected),
    ]
