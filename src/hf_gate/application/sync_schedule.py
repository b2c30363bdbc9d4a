"""When a repo is to be read again, and how much of it: pure answers for the loop that asks."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from ..domain.ids import Repo
from ..domain.lifecycle import STATUSES
from ..domain.rows import RepoRow
from ..store.store import Store

FULL_SYNC_INTERVAL: Final = 24 * 3_600_000  # ms between two full readings
FULL_SYNC_RETRY: Final = 3_600_000  # ms before a full reading that could not prove itself is tried again
MIN_PAUSE, MAX_PAUSE = 60.0, 1800.0  # seconds between two quick readings
QUOTA_SHARE: Final = 0.05  # of the token's calls, at most, for looking whether there is anything new


class SyncKind(StrEnum):
    """The two kinds of reading; every output names which one it was."""

    QUICK = "quick"
    FULL = "full"


class DueSync(NamedTuple):
    """What kind of reading is due now, and why."""

    kind: SyncKind
    why: str


class LastFullSync(msgspec.Struct, frozen=True):
    """How the last full reading ended, proved or not."""

    at: int
    complete: bool
    counts: Mapping[str, int]


def read_last_full_sync(store: Store, repo: Repo) -> LastFullSync | None:
    """What the last full reading of a repo left behind."""
    row = store.repo(repo)
    return (
        None
        if row is None or row.tried_at is None
        else LastFullSync(row.tried_at, row.tried_complete, row.tried_counts)
    )


def choose_sync(
    row: RepoRow | None, now: int, last: LastFullSync | None = None, report: Mapping[str, int] | None = None
) -> DueSync:
    """Full where no full reading is proved, after a day, or when the Hub's report counts otherwise; else quick.

    `note` keeps a reading that cannot prove itself from being repeated every few minutes.
    """
    tried = last is not None and 0 <= now - last.at < FULL_SYNC_RETRY
    if row is None or row.full_at is None:
        return (
            DueSync(SyncKind.QUICK, "the last full reading was not proved whole")
            if tried
            else DueSync(SyncKind.FULL, "never read whole")
        )
    if report is not None and not tried and (status := _differing(row.counts, report)) is not None:
        return DueSync(
            SyncKind.FULL, f"the Hub counts {report.get(status, 0):,} {status}, the store {row.counts.get(status, 0):,}"
        )
    if now - row.full_at >= FULL_SYNC_INTERVAL and not tried:
        return DueSync(SyncKind.FULL, "the last full reading is a day old")
    return DueSync(SyncKind.QUICK, "read whole less than a day ago")


def _differing(ours: Mapping[str, int], report: Mapping[str, int]) -> str | None:
    names = (*STATUSES, *(name for name in report if name not in STATUSES))
    return next((name for name in names if ours.get(name, 0) != report.get(name, 0)), None)


def next_pause(previous: float, *, has_news: bool, calls: int, quota: float | None, window: float | None) -> float:
    """Seconds until the next quick reading: shorter while there is news, longer while there is none, half an hour at most.

    Where `calls`, those of one reading of all repos, would be more than `SHARE` of `quota` calls in `window` seconds, it is
    longer; never than a day.
    """
    sliding = previous / 2 if has_news else previous * 1.5
    return max(minimum_pause(calls, quota, window), min(MAX_PAUSE, max(MIN_PAUSE, sliding)))


def minimum_pause(calls: int, quota: float | None, window: float | None) -> float:
    """Seconds between two readings that keep to their share of the token's calls; 0 while its limits are not known."""
    return min(FULL_SYNC_INTERVAL / 1000, calls * window / (QUOTA_SHARE * quota)) if quota and window else 0.0
