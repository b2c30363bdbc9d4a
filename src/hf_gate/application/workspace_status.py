"""How the workspace stands: who waits and how long, when each repo was read, which budgets are used up, which runs did not end.

Counts and times alone: nothing here names a person, so that all of it may be shown to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Final

from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.rows import RepoRow, RunRow
from ..domain.runs import UNSETTLED, RunKind, RunState
from ..domain.timestamps import from_ms, to_ms
from ..policy.literals import Rate
from ..store.store import Store
from .halts_and_promotions import read_held_counts

WAIT_ACTION: Final = "wait"
"""The verdict on a request that waits for its requester, or for something outside: it is not complete."""

_WALKED: Final = 20_000  # requests looked at, at most, for the oldest whose answer is due
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class RepoStatus:
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
class BudgetUse:
    """How much of what `run` may do in a stretch of time was done in the last one."""

    name: str
    rate: Rate
    used: int

    @property
    def is_used_up(self) -> bool:
        """Nothing more of this is done until some of it is longer ago."""
        return self.used >= self.rate.limit


@dataclass(frozen=True, slots=True)
class WorkspaceStatus:
    """The whole workspace at one moment."""

    at: datetime
    repos: Sequence[RepoStatus] = ()
    budgets: Sequence[BudgetUse] = ()
    runs: Sequence[RunRow] = field(default_factory=tuple)
    held: Mapping[str, int] = field(default_factory=dict)  # changes that wait until their policy is let act


def read_workspace_status(store: Store, rates: Mapping[str, Rate], now: datetime) -> WorkspaceStatus:
    """What the store tells; asks the Hub nothing."""
    at = to_ms(now)
    budgets = [BudgetUse(name, rate, store.count_done(name, at - rate.seconds * 1000)) for name, rate in rates.items()]
    runs = [run for run in store.runs() if _needs_attention(run)]
    repos = [read_repo_status(store, row, now) for row in store.repos()]
    return WorkspaceStatus(now, repos, budgets, runs, read_held_counts(store))


def read_repo_status(store: Store, row: RepoRow, now: datetime) -> RepoStatus:
    """The same for one repo."""
    count = row.counts.get(Status.PENDING, 0)
    middle = store.split_points(row.repo, Status.PENDING, count // 2 + 1)[:1] if count else ()
    oldest, unanswered = find_oldest_waiting(store, row.repo, _WALKED)
    read = max((at for at in (row.quick_at, row.full_at) if at is not None), default=None)
    known = row.full_at is not None and read is not None
    return RepoStatus(
        row,
        count,
        oldest,
        max(now - from_ms(middle[0][0]), timedelta()) if middle else None,
        (unanswered or from_ms(read)) if known and read is not None else None,
    )


def find_oldest_waiting(store: Store, repo: Repo, limit: int) -> tuple[datetime | None, datetime | None]:
    """When the oldest asked, and the oldest whose answer is due; None when there is none.

    Where the first `most` are all incomplete, the last of them stands for it: what is said of the time before stays true.
    """
    oldest = None
    for place, request in enumerate(store.iterate_requests(repo, Status.PENDING, with_record=False), start=1):
        asked = from_ms(request.state.asked_at)
        oldest = oldest or asked
        verdict = request.state.verdict
        if verdict is None or verdict[0] != WAIT_ACTION or place >= limit:
            return oldest, asked
    return oldest, None


def format_answered_line(answered_before: datetime | None, now: datetime, zone: tzinfo) -> str:
    """The sentence for a card; true of the whole day that it names, and empty when nothing is known."""
    if answered_before is None:
        return ""
    day, today = answered_before.astimezone(zone), now.astimezone(zone)
    year = "" if day.year == today.year else f" {day.year}"
    return f"Answered: every complete request made before {day.day} {_MONTHS[day.month - 1]}{year}"


def _needs_attention(run: RunRow) -> bool:
    """Whether a run did not end. Decisions by hand that were stopped before they were sent cannot go on: they are over."""
    if run.state is RunState.ENDED:
        return False
    has_unknown = any(run.counts.get(state) for state in UNSETTLED)
    return run.kind is not RunKind.DIRECT or run.state is not RunState.STOPPED or has_unknown
