"""The brakes: how strong a yes a plan needs when somebody is there, and how much of it a run may do when nobody is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from ..policy.spelling import Rate
from .model import Change, Guard

FEW: Final = 20  # rejections, resets, cancellations and removals: above, the number must be typed
SOME: Final = 50  # acceptances: above this and above a tenth of who waits
SHARE: Final = 10  # a tenth
_OUT: Final = ("reject", "reset", "remove")
FIRST_CYCLE: Final = 50  # a policy version acts on a repo without being asked up to here


class Yes(StrEnum):
    """What a person must do before a plan is sent."""

    NONE = "none"
    CONFIRM = "confirm"
    TYPED = "typed"


def yes_needed(changes: Collection[Change], waiting: int) -> Yes:
    """The ladder for the changes of a plan. `waiting`: pending requests in all."""
    return ladder(Counter(change.verb for change in changes), waiting)


def ladder(count: Mapping[str, int], waiting: int) -> Yes:
    """By verb: one change needs no word, a few a yes, many their number."""
    total, accepts = sum(count.values()), count.get("accept", 0)
    if total - accepts > FEW or accepts > max(SOME, waiting // SHARE):
        return Yes.TYPED
    return Yes.NONE if total <= 1 else Yes.CONFIRM


def within(
    changes: Iterable[Change], budgets: Mapping[str, Rate], used: Mapping[str, int]
) -> tuple[list[Change], list[Change]]:
    """What a run may do now, the oldest first, and what is deferred. `used`: done in each verb's window so far."""
    left = {verb: max(0, budget.limit - used.get(verb, 0)) for verb, budget in budgets.items()}
    take: list[Change] = []
    deferred: list[Change] = []
    for change in sorted(changes, key=lambda change: (change.asked_at, change.order)):
        if left.get(change.verb, 1) <= 0:
            deferred.append(change)
            continue
        if change.verb in left:
            left[change.verb] -= 1
        take.append(change)
    return take, deferred


def first_cycles(changes: Iterable[Change], acting: Collection[tuple[str, str]]) -> tuple[list[Change], list[Change]]:
    """(go, held): a policy version that never acted on a repo is held there when it would begin with many changes.

    `acting`: pairs of policy digest and repo that may act. Changes without a policy (ends of grants) go.
    """
    groups: dict[tuple[str, str], list[Change]] = {}
    go: list[Change] = []
    for change in changes:
        pair = (change.policy_digest or "", str(change.where))
        if not pair[0] or pair in acting:
            go.append(change)
        else:
            groups.setdefault(pair, []).append(change)
    held: list[Change] = []
    for group in groups.values():
        (go if len(group) <= FIRST_CYCLE else held).extend(group)
    return go, held


def protect(changes: Iterable[Change], names: Collection[str]) -> tuple[list[Change], list[Change]]:
    """Nobody on the list of protected names or ids is rejected, reset or removed; returns (kept, left out)."""
    known = {name.lower() for name in names}
    kept: list[Change] = []
    out: list[Change] = []
    for change in changes:
        named = {str(value).lower() for value in (change.user, change.user_id) if value}
        (out if change.verb != "accept" and named & known else kept).append(change)
    return kept, out


def told(changes: Sequence[Change], waiting: int, protected: int) -> list[Guard]:
    """The limits of the ladder with what these changes come to; who is not let in counts together."""
    count = Counter(change.verb for change in changes)
    out = sum(count.values()) - count["accept"]
    most = max(SOME, waiting // SHARE)
    return [
        Guard(name="accept", ok=count["accept"] <= most, limit=most, value=count["accept"]),
        *(Guard(name=verb, ok=out <= FEW or not count[verb], limit=FEW, value=count[verb]) for verb in _OUT),
        Guard(name="protected", ok=protected == 0, limit=0, value=protected),
    ]
