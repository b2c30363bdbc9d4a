"""Limits of a plan: the confirmation that a person must give, and the budgets of an unattended run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from typing import Final, TypeAlias

from hf_gate.base.ids import Repo
from hf_gate.core.changes import Change

from .model import GuardResult

MAX_CONFIRMED: Final = 20  # changes other than accepts; above this, the number must be typed
MAX_CONFIRMED_ACCEPTS: Final = 50  # accepts; above this and a tenth of the pending requests, the number must be typed
ACCEPT_SHARE: Final = 10  # one tenth
_NOT_ACCEPTED: Final = ("reject", "reset", "remove")
MAX_FIRST_TURN: Final = 50  # changes that a new policy version may make in a repo without confirmation


class Confirmation(StrEnum):
    """The confirmation that a person must give before changes are sent."""

    NONE = "none"
    CONFIRM = "confirm"
    TYPED = "typed"


def plan_confirmation(changes: Collection[Change], waiting: int) -> Confirmation:
    """Return the confirmation for the changes of a plan. `waiting` is the number of pending requests."""
    return required_confirmation(Counter(change.verb for change in changes), waiting)


def required_confirmation(count: Mapping[str, int], waiting: int) -> Confirmation:
    """Return the confirmation for changes counted by verb: nothing for one change, "yes" for a few, the typed number
    for many.
    """
    total = sum(count.values())
    accepts = count.get("accept", 0)
    if total - accepts > MAX_CONFIRMED or accepts > max(MAX_CONFIRMED_ACCEPTS, waiting // ACCEPT_SHARE):
        return Confirmation.TYPED
    return Confirmation.NONE if total <= 1 else Confirmation.CONFIRM


def apply_budgets(changes: Iterable[Change], room: Mapping[str, int]) -> tuple[list[Change], list[Change]]:
    """Split changes, oldest first, into those within the budgets and those deferred.

    `room` has how many changes of each guard with a budget can be made.
    """
    left = dict(room)
    take: list[Change] = []
    deferred: list[Change] = []
    for change in sorted(changes, key=lambda change: (change.asked_at, change.sort_key)):
        if left.get(change.guard, 1) <= 0:
            deferred.append(change)
            continue
        if change.guard in left:
            left[change.guard] -= 1
        take.append(change)
    return take, deferred


PolicyStart: TypeAlias = tuple[str, str, str]
"""A policy name, the digest of its version, and a repo where that version starts."""


def start_of_change(change: Change) -> PolicyStart:
    """Return the policy version of a change, at its repo; without a policy, name and digest are empty."""
    return change.policy or "", change.policy_digest or "", str(change.repo_ref)


class ChangeFilter:
    """Decides which changes a plan may contain. This one allows all of them, because a person checks the plan."""

    def allows(self, change: Change) -> bool:  # noqa: ARG002
        """Return whether the plan may contain a change."""
        return True

    def refuses(self, start: PolicyStart, repo: Repo, count: int) -> bool:  # noqa: ARG002
        """Return whether the plan may contain none of `count` changes of a version at a repo."""
        return False

    def small_starts(self) -> Iterable[Change]:
        """Return the changes that were not allowed at first, and are added at the end."""
        return ()


class FirstTurnHold(ChangeFilter):
    """Holds back a policy version that is new in a repo and would start with many changes.

    Held changes are counted, not stored, so they do not count towards the size of a plan. Changes without a policy
    (ended grants) pass. `may_act` returns whether a version may act in a repo.
    """

    def __init__(self, may_act: Callable[[PolicyStart], bool]) -> None:
        self.held_counts: Counter[PolicyStart] = Counter()
        self._may_act = may_act
        self._waiting: dict[PolicyStart, list[Change]] = {}

    def allows(self, change: Change) -> bool:
        """Return whether a change may be made now. If not, `small_starts` may still yield it."""
        start = start_of_change(change)
        if not start[1] or self._may_act(start):
            return True
        if start in self.held_counts:
            self.held_counts[start] += 1
            return False
        aside = self._waiting.setdefault(start, [])
        aside.append(change)
        if len(aside) > MAX_FIRST_TURN:
            self.held_counts[start] = len(self._waiting.pop(start))
        return False

    def refuses(self, start: PolicyStart, repo: Repo, count: int) -> bool:  # noqa: ARG002
        """Return whether all of `count` changes of a version are held back; if so, count them."""
        if not start[1] or self._may_act(start) or (start not in self.held_counts and count <= MAX_FIRST_TURN):
            return False
        self.held_counts[start] += count + len(self._waiting.pop(start, ()))
        return True

    def small_starts(self) -> Iterable[Change]:
        """Return the changes of versions that start with few changes."""
        return chain.from_iterable(self._waiting.values())


def protection_check(names: Collection[str]) -> Callable[[Change], bool]:
    """Return a function that checks whether a change removes, resets or rejects a protected name or id."""
    known = {name.lower() for name in names}

    def is_protected(change: Change) -> bool:
        named = {str(value).lower() for value in (change.user, change.user_id) if value}
        return change.verb != "accept" and bool(named & known)

    return is_protected


def guard_report(changes: Sequence[Change], waiting: int, protected: int) -> list[GuardResult]:
    """Return the limits with the counts of these changes; all verbs but accept share one limit."""
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
