"""Computes when a repo is synced next, and whether quickly or fully."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from hf_gate.base.timestamps import DAY_MS, HOUR_MS
from hf_gate.core.lifecycle import STATUSES
from hf_gate.core.stored_rows import RepoRow

FULL_SYNC_INTERVAL: Final = DAY_MS  # ms
FULL_SYNC_RETRY: Final = HOUR_MS  # ms to wait after a full sync that was not proved complete
# seconds between two quick syncs
MIN_PAUSE = 60.0
MAX_PAUSE = 1800.0
QUOTA_SHARE: Final = 0.05  # the largest share of the token's calls that quick syncs may use


class SyncKind(StrEnum):
    """A quick sync reads the first page of each list; a full sync reads all lists to their end."""

    QUICK = "quick"
    FULL = "full"


class DueSync(NamedTuple):
    """The kind of the next sync, and why."""

    kind: SyncKind
    why: str


def choose_sync(row: RepoRow | None, now: int, report: Mapping[str, int] | None = None) -> DueSync:
    """Return a full sync if none has been proved complete, after a day, or if the Hub's counts differ; else a quick
    sync.

    A full sync that cannot be proved complete is not repeated every few minutes.
    """
    if row is None:
        return DueSync(SyncKind.FULL, "never fully synced")
    tried = row.tried_at is not None and 0 <= now - row.tried_at < FULL_SYNC_RETRY
    if row.full_at is None:
        if tried:
            return DueSync(SyncKind.QUICK, "the last full sync was not proved complete")
        return DueSync(SyncKind.FULL, "never fully synced")
    difference = next(list_differences(row.counts, report), None) if report is not None and not tried else None
    if difference is not None:
        status, theirs, ours = difference
        return DueSync(SyncKind.FULL, f"the Hub counts {theirs:,} {status}, the store {ours:,}")
    if now - row.full_at >= FULL_SYNC_INTERVAL and not tried:
        return DueSync(SyncKind.FULL, "the last full sync is a day old")
    return DueSync(SyncKind.QUICK, "fully synced less than a day ago")


def list_differences(ours: Mapping[str, int], report: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    """Yield each status that the Hub's report counts differently, with its number and ours."""
    for name in (*STATUSES, *(name for name in report if name not in STATUSES)):
        if ours.get(name, 0) != report.get(name, 0):
            yield name, report.get(name, 0), ours.get(name, 0)


def next_pause(
    previous: float,
    *,
    has_news: bool,
    calls: int,
    quota: float | None,
    window: float | None,
    shortest: float = MIN_PAUSE,
    longest: float = MAX_PAUSE,
) -> float:
    """Return the seconds until the next quick sync: half the previous pause after changes, otherwise 1.5 times the
    previous pause.

    The pause lies between `shortest` and `longest`. It is longer, at most a day, if the `calls` of one sync of all
    repos would use more than `QUOTA_SHARE` of the `quota` calls in `window` seconds.
    """
    sliding = previous / 2 if has_news else previous * 1.5
    return max(minimum_pause(calls, quota, window), min(longest, max(shortest, sliding)))


def minimum_pause(calls: int, quota: float | None, window: float | None) -> float:
    """Return the least number of seconds between two syncs that respects `QUOTA_SHARE`; 0 while the token's limits are
    unknown.
    """
    return min(FULL_SYNC_INTERVAL / 1000, calls * window / (QUOTA_SHARE * quota)) if quota and window else 0.0
