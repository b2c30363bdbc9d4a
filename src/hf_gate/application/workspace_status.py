"""Reads the status of the workspace: waiting requests, last syncs, used budgets and unfinished runs.

The status contains only counts and times and names no person, so it can be shown to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final

from msgspec import Struct, field

from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.rows import RepoRow, RunRow
from ..domain.runs import UNSETTLED, RunKind, RunState
from ..domain.timestamps import MONTHS, from_ms, to_ms
from ..policy.literals import Rate
from ..store.approvals import count_overdue
from ..store.ledger import count_unattended_changes
from ..store.store import Store
from .turn_permissions import read_held_counts

WAIT_ACTION: Final = "wait"
"""The verdict on an incomplete request, which waits for its requester or for something outside hf-gate."""

MAX_OVERDUE: Final = 10_000
_MAX_READ: Final = 20_000  # the most requests read to find the oldest complete one


class RepoStatus(Struct, frozen=True):
    """The status of one repo. All complete requests made before `answered_before` have an answer; None if unknown."""

    row: RepoRow
    waiting: int = 0
    oldest: datetime | None = None
    median: timedelta | None = None  # of the pending requests
    answered_before: datetime | None = None
    on_hold: Mapping[str, int] = field(default_factory=dict)  # requests on hold by what they lack
    overdue: int = 0  # requests that a person should have decided, counted up to `MAX_OVERDUE`

    @property
    def repo(self) -> Repo:
        return self.row.repo


class BudgetUse(Struct, frozen=True):
    """A rate limit of unattended runs, with the changes made in the last period."""

    name: str
    rate: Rate
    used: int

    @property
    def is_used_up(self) -> bool:
        """Whether no more changes are made until earlier changes are older than the period."""
        return self.used >= self.rate.limit


class WorkspaceStatus(Struct, frozen=True):
    """The status of the workspace at one moment."""

    at: datetime
    repos: Sequence[RepoStatus] = ()
    budgets: Sequence[BudgetUse] = ()
    runs: Sequence[RunRow] = field(default_factory=tuple)
    held_counts: Mapping[str, int] = field(default_factory=dict)  # changes that wait for a promotion, by policy


def read_workspace_status(store: Store, rates: Mapping[str, Rate], now: datetime) -> WorkspaceStatus:
    """Return the status from the store, without a call to the Hub."""
    runs = [run for run in store.runs() if _needs_attention(run)]
    repos = [read_repo_status(store, row, now) for row in store.repos()]
    return WorkspaceStatus(now, repos, read_budgets(store, rates, now), runs, read_held_counts(store))


def read_budgets(store: Store, rates: Mapping[str, Rate], now: datetime) -> list[BudgetUse]:
    """Return the rate limits with the changes that were made unattended in their last period."""
    at = to_ms(now)
    return [
        BudgetUse(name, rate, count_unattended_changes(store, name, at - rate.seconds * 1000))
        for name, rate in rates.items()
    ]


def read_repo_status(store: Store, row: RepoRow, now: datetime) -> RepoStatus:
    """Return the status of one repo from the store."""
    count = row.counts.get(Status.PENDING, 0)
    middle = store.split_points(row.repo, Status.PENDING, count // 2 + 1)[:1] if count else ()
    oldest, unanswered = find_oldest_waiting(store, row.repo, _MAX_READ)
    read = max((at for at in (row.quick_at, row.full_at) if at is not None), default=None)
    known = row.full_at is not None and read is not None
    return RepoStatus(
        row,
        count,
        oldest,
        max(now - from_ms(middle[0][0]), timedelta()) if middle else None,
        (unanswered or from_ms(read)) if known and read is not None else None,
        overdue=count_overdue(store, row.repo, to_ms(now), MAX_OVERDUE),
    )


def find_oldest_waiting(store: Store, repo: Repo, limit: int) -> tuple[datetime | None, datetime | None]:
    """Return when the oldest pending request was made, and when the oldest complete request was made; None if there is
    none.

    If the first `limit` requests are all incomplete, the time of the last of them is returned as the second value. The
    statement about requests before that time remains true.
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
    """Return the sentence for a repo card, which is true for the whole day that it names; empty if nothing is known."""
    if answered_before is None:
        return ""
    day = answered_before.astimezone(zone)
    today = now.astimezone(zone)
    year = "" if day.year == today.year else f" {day.year}"
    return f"Answered: every complete request made before {day.day} {MONTHS[day.month - 1]}{year}"


def _needs_attention(run: RunRow) -> bool:
    """Tell whether a run has not ended.

    Abandoned runs, and direct decisions that were stopped, cannot be resumed: they are over unless an outcome is
    unknown.
    """
    if run.state is RunState.ABANDONED or (run.kind is RunKind.DIRECT and run.state is RunState.STOPPED):
        return any(run.counts.get(state) for state in UNSETTLED)
    return run.state is not RunState.ENDED
