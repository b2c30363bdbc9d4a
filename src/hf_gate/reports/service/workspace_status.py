"""Reads the status of the workspace: waiting requests, last syncs, used budgets and unfinished runs.

The status contains only counts and times and names no person, so it can be shown to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import MONTHS, from_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import Policy
from hf_gate.core.records import RepoStatusRecord, extend_record
from hf_gate.core.stored_rows import RepoRow
from hf_gate.decisions.records import repo_record
from hf_gate.errors import HfGateError
from hf_gate.grants.hold_reasons import count_holds
from hf_gate.policies.drivers.workspace_folder import read_folder
from hf_gate.requests.rows.queue import read_counters
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store

WAIT_ACTION: Final = "wait"
"""The verdict on an incomplete request, which waits for its requester or for something outside hf-gate."""

_MAX_READ: Final = 20_000  # the most requests read to find the oldest complete one


class RepoStatus(Struct, frozen=True):
    """The status of one repo. All complete requests made before `answered_before` have an answer; None if unknown."""

    row: RepoRow
    waiting: int = 0
    oldest: datetime | None = None
    median: timedelta | None = None  # of the pending requests
    answered_before: datetime | None = None
    on_hold: Mapping[str, int] = field(default_factory=dict)  # requests on hold by what they lack

    @property
    def repo(self) -> Repo:
        return self.row.repo


def read_workspace_status(workspace: Workspace) -> list[RepoStatus]:
    """Return the status of each repo from the store, with what the people on hold lack.

    Rules of policies that cannot be read are named by their id.
    """
    policies: list[Policy] = []
    if workspace.location.folder is not None:
        with suppress(HfGateError):  # reported elsewhere
            policies = read_folder(workspace.location.folder).policies
    store = workspace.store
    needs = count_holds(read_counters(store).cells, policies)
    return [
        replace(read_repo_status(store, row, workspace.now()), on_hold=needs.get(str(row.repo), {}))
        for row in store.repos()
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


def format_answered_line(answered_before: datetime | None, oldest: datetime | None, now: datetime, zone: tzinfo) -> str:
    """Return the sentence for a repo card, which is true for the whole day that it names; empty if nothing is known.

    `oldest` is the time of the oldest pending request. If it is earlier, that request is on hold.
    """
    if answered_before is None:
        return ""
    day = answered_before.astimezone(zone)
    today = now.astimezone(zone)
    year = "" if day.year == today.year else f" {day.year}"
    rest = ", except those on hold" if oldest is not None and oldest < answered_before else ""
    return f"Every request made before {day.day} {MONTHS[day.month - 1]}{year} is answered{rest}"


def repo_status_record(status: RepoStatus, answered: str) -> RepoStatusRecord:
    """Return the record of a stored repo with its waiting times."""
    median = status.median
    return extend_record(
        repo_record(status.row, status.oldest),
        RepoStatusRecord,
        waiting=status.waiting,
        median_wait_s=None if median is None else round(median.total_seconds()),
        on_hold=dict(status.on_hold),
        answered=answered or None,
    )
