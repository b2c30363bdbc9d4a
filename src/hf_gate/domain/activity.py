"""What happened each week: how many asked, who answered, and how long people waited."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

WEEK: Final = 7 * 86_400_000  # ms
DAY: Final = 86_400_000
_FIRST_MONDAY: Final = 4 * DAY  # 1970-01-05
_SHORTEST: Final = 60_000  # ms; shorter waits are in the first bucket
_RATIO: Final = 1.25
LAST_BUCKET: Final = 71  # begins at 14.5 years


class Activity(StrEnum):
    """What is counted by repo and week. The name that goes with a count is in the comment."""

    ASKED = "asked"  # empty; by the week of asking
    ANSWERED = "answered"  # an `Answerer` and the new status; by the week of the answer
    WAIT = "wait"  # the bucket of the wait; by the week of asking
    OPEN = "open"  # the day of the week, 0 to 6, of current pending requests; by the week of asking
    END = "end"  # empty; grants with an end, by the week in which they end
    RULE = "rule"  # policy/rule that decided; by the week of the answer
    REVERSED = "reversed"  # policy/rule whose decision a person changed; by the week of the change


class Answerer(StrEnum):
    """Who answered a request."""

    PERSON = "person"
    RULE = "rule"
    OUTSIDE = "outside"  # the Hub's page or another tool, or a time before the first sync


def week_of(at: int) -> int:
    """Return the number of the week (UTC, from Monday) of a time in ms."""
    return (at - _FIRST_MONDAY) // WEEK


def week_start(week: int) -> int:
    """Return when a week begins, in ms."""
    return week * WEEK + _FIRST_MONDAY


def weekday_of(at: int) -> int:
    """Return the day of the week of a time in ms, Monday is 0."""
    return (at - _FIRST_MONDAY) % WEEK // DAY


def wait_bucket(wait: int) -> int:
    """Return the bucket of a wait in ms. Each bucket begins at 1.25 times the beginning of the one before."""
    return 0 if wait < _SHORTEST else min(LAST_BUCKET, int(math.log(wait / _SHORTEST, _RATIO)) + 1)


def bucket_wait(bucket: int) -> int:
    """Return the wait in ms that stands for a bucket: its geometric middle, at most 12 % away from any wait in it."""
    return _SHORTEST // 2 if bucket == 0 else round(_SHORTEST * _RATIO ** (bucket - 0.5))


def wait_quantile(counts: Mapping[int, int], share: float) -> int | None:
    """Return the wait in ms that a share of all counted waits do not exceed; None without any."""
    rest = math.ceil(share * sum(counts.values()))
    for bucket in sorted(counts):
        rest -= counts[bucket]
        if rest <= 0 and counts[bucket]:
            return bucket_wait(bucket)
    return None
