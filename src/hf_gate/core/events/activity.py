"""What happened each week: how many asked, who answered, and how long people waited."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from hf_gate.base.timestamps import DAY_MS

WEEK: Final = 7 * DAY_MS  # ms
_FIRST_MONDAY: Final = 4 * DAY_MS  # 1970-01-05
_SHORTEST: Final = 60_000  # ms; shorter waits are in the first bucket
_RATIO: Final = 1.25
LAST_BUCKET: Final = 71  # starts at 14.5 years


class Activity(StrEnum):
    """What is counted by repo and week.

    Each comment gives the `name` stored with a count, and the week it belongs to.
    """

    ASKED = "asked"  # no name; the week of the request
    ANSWERED = "answered"  # an `Answerer` and the new status; the week of the answer
    WAIT = "wait"  # the bucket of the wait; the week of the request
    OPEN = "open"  # current pending requests: the day of the week, 0 to 6; the week of the request
    END = "end"  # grants with an end: no name; the week in which they end


class Answerer(StrEnum):
    """Who answered a request."""

    PERSON = "person"
    RULE = "rule"
    OUTSIDE = "outside"  # on the Hub's page, with another tool, or before the first sync


def week_of(at: int) -> int:
    """Return the number of the week (UTC, from Monday) of a time in ms."""
    return (at - _FIRST_MONDAY) // WEEK


def week_start(week: int) -> int:
    """Return when a week begins, in ms."""
    return week * WEEK + _FIRST_MONDAY


def weekday_of(at: int) -> int:
    """Return the day of the week of a time in ms; Monday is 0."""
    return (at - _FIRST_MONDAY) % WEEK // DAY_MS


def wait_bucket(wait: int) -> int:
    """Return the bucket of a wait in ms. Each bucket starts at 1.25 times the start of the previous one."""
    return 0 if wait < _SHORTEST else min(LAST_BUCKET, int(math.log(wait / _SHORTEST, _RATIO)) + 1)


def bucket_wait(bucket: int) -> int:
    """Return the wait in ms that stands for a bucket: its geometric middle, at most 12 % away from any wait in it."""
    return _SHORTEST // 2 if bucket == 0 else round(_SHORTEST * _RATIO ** (bucket - 0.5))


def wait_quantile(counts: Mapping[int, int], share: float) -> int | None:
    """Return the wait in ms that this share of all counted waits does not exceed; None without any waits."""
    rest = math.ceil(share * sum(counts.values()))
    for bucket in sorted(counts):
        rest -= counts[bucket]
        if rest <= 0 and counts[bucket]:
            return bucket_wait(bucket)
    return None
