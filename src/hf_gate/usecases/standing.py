"""How the desk stands: who waits and how long, when each repo was read, which budgets are used up, which runs did not end.

Counts and times alone: nothing here names a person, so that all of it may be shown to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Final

from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.moments import moment_of, ms
from ..domain.rows import RepoRow, RunRow
from ..policy.spelling import Rate
from .ports import StorePort

WAIT: Final = "wait"
"""The verdict on a request that waits for its requester, or for something outside: it is not complete."""

_LOUD: Final = frozenset({"ready", "running", "paused", "stopped"})
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class RepoStanding:
    """One repo. `answered_before`: every complete request from before then has its answer; None when that is not known."""

    row: RepoRow
    waiting: int = 0
    oldest: datetime | None = None
    median: timedelta | None = None  # of those who wait now
    answered_before: datetime | None = None

    @property
    def repo(self) -> Repo:
        return self.row.repo


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of what `run` may do in a stretch of time was done in the last one."""

    name: str
    rate: Rate
    used: int

    @property
    def is_stuck(self) -> bool:
        """Nothing more of this is done until some of it is longer ago."""
        return self.used >= self.rate.limit


@dataclass(frozen=True, slots=True)
class Standing:
    """The whole desk at one moment."""

    at: datetime
    repos: Sequence[RepoStanding] = ()
    budgets: Sequence[Budget] = ()
    runs: Sequence[RunRow] = field(default_factory=tuple)


def standing(store: StorePort, rates: Mapping[str, Rate], now: datetime) -> Standing:
    """What the store tells; asks the Hub nothing."""
    at = ms(now)
    budgets = [Budget(name, rate, store.done_since(name, at - rate.seconds * 1000)) for name, rate in rates.items()]
    runs = [run for run in store.runs() if run.state in _LOUD]
    return Standing(now, [_repo(store, row, now) for row in store.repos()], budgets, runs)


def _repo(store: StorePort, row: RepoRow, now: datetime) -> RepoStanding:
    """The line of those who wait, the oldest first, is walked to its middle."""
    count = row.counts.get(Status.PENDING, 0)
    oldest = middle = unanswered = None
    for place, request in enumerate(store.walk(row.repo, Status.PENDING, with_record=False)):
        asked = moment_of(request.state.asked_at)
        oldest = oldest or asked
        verdict = request.state.verdict
        if unanswered is None and (verdict is None or verdict[0] != WAIT):
            unanswered = asked
        if place == count // 2:
            middle = asked
        if middle is not None and unanswered is not None:
            break
    read = max((at for at in (row.quick_at, row.full_at) if at is not None), default=None)
    known = row.full_at is not None and read is not None
    return RepoStanding(
        row,
        count,
        oldest,
        None if middle is None else max(now - middle, timedelta()),
        (unanswered or moment_of(read)) if known and read is not None else None,
    )


def serving_line(answered_before: datetime | None, now: datetime, zone: tzinfo) -> str:
    """The sentence for a card; true of the whole day that it names, and empty when nothing is known."""
    if answered_before is None:
        return ""
    day, today = answered_before.astimezone(zone), now.astimezone(zone)
    year = "" if day.year == today.year else f" {day.year}"
    return f"Answered: every complete request made before {day.day} {_MONTHS[day.month - 1]}{year}"
