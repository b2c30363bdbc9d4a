"""When a repo is to be read again, and how much of it: pure answers for the loop that asks."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from ..domain.ids import Repo
from ..domain.lifecycle import STATUSES
from ..domain.rows import RepoRow
from ..store.reading import Store

DAY: Final = 24 * 3_600_000  # ms between two full readings
RETRY: Final = 3_600_000  # ms before a full reading that could not prove itself is tried again
SHORTEST, LONGEST = 60.0, 1800.0  # seconds between two quick readings
SHARE: Final = 0.05  # of the token's calls, at most, for looking whether there is anything new


class SyncKind(StrEnum):
    """The two kinds of reading; every output names which one it was."""

    QUICK = "quick"
    FULL = "full"


class Due(NamedTuple):
    """What kind of reading is due now, and why."""

    kind: SyncKind
    why: str


class Note(msgspec.Struct, frozen=True):
    """How the last full reading ended, proved or not."""

    at: int
    complete: bool
    counts: Mapping[str, int]


def note_of(store: Store, repo: Repo) -> Note | None:
    """What the last full reading of a repo left behind."""
    row = store.repo(repo)
    return None if row is None or row.tried_at is None else Note(row.tried_at, row.tried_complete, row.tried_counts)


def due_kind(row: RepoRow | None, now: int, note: Note | None = None, report: Mapping[str, int] | None = None) -> Due:
    """Full where no full reading is proved, after a day, or when the Hub's report counts otherwise; else quick.

    `note` keeps a reading that cannot prove itself from being repeated every few minutes.
    """
    tried = note is not None and 0 <= now - note.at < RETRY
    if row is None or row.full_at is None:
        return (
            Due(SyncKind.QUICK, "the last full reading was not proved whole")
            if tried
            else Due(SyncKind.FULL, "never read whole")
        )
    if report is not None and not tried and (status := _differing(row.counts, report)) is not None:
        return Due(
            SyncKind.FULL, f"the Hub counts {report.get(status, 0):,} {status}, the store {row.counts.get(status, 0):,}"
        )
    if now - row.full_at >= DAY and not tried:
        return Due(SyncKind.FULL, "the last full reading is a day old")
    return Due(SyncKind.QUICK, "read whole less than a day ago")


def _differing(ours: Mapping[str, int], report: Mapping[str, int]) -> str | None:
    names = (*STATUSES, *(name for name in report if name not in STATUSES))
    return next((name for name in names if ours.get(name, 0) != report.get(name, 0)), None)


def next_pause(before: float, *, found: bool, calls: int, quota: float | None, window: float | None) -> float:
    """Seconds until the next quick reading: shorter while there is news, longer while there is none, half an hour at most.

    Where `calls`, those of one reading of all repos, would be more than `SHARE` of `quota` calls in `window` seconds, it is
    longer; never than a day.
    """
    sliding = before / 2 if found else before * 1.5
    return max(least_pause(calls, quota, window), min(LONGEST, max(SHORTEST, sliding)))


def least_pause(calls: int, quota: float | None, window: float | None) -> float:
    """Seconds between two readings that keep to their share of the token's calls; 0 while its limits are not known."""
    return min(DAY / 1000, calls * window / (SHARE * quota)) if quota and window else 0.0
