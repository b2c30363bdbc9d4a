"""Describes, for pages and commands, which approvals a request has, which it lacks, and whether a
person's would count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.approvals.rows.approvals import find_approved
from hf_gate.base.batches import split_into_batches
from hf_gate.base.ids import Repo, group_by_repo
from hf_gate.base.timestamps import from_ms, ms_to_iso
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.query import Query
from hf_gate.core.people.access_end import EarlierEnd
from hf_gate.core.people.approvals import Approval, ApprovedEnd, Approver, Quorum, is_current
from hf_gate.core.records import ApprovalRecord, ApprovalsRecord
from hf_gate.core.stored_rows import RequestRow
from hf_gate.settings.service.workspace import Workspace

from .approvals import ApprovalBook
from .quorum_rules import BundleReader, QuorumRules, read_quorum_rules

_FEW: Final = 20  # requests whose approvals are looked at together until one is found
_CHANGED: Final = "the request or the rule changed"
_NOT_ABLE: Final = "the account is no member who may decide here"


class ApprovalLine(Struct, frozen=True):
    """One approval as shown: who, when (ms), the note, and the end of access that it is for."""

    actor: str
    at: int
    note: str | None = None
    end: ApprovedEnd = ApprovedEnd()
    is_mine: bool = False
    membership: str = ""  # the age of a new membership, and who added the member
    why: str = ""  # why it does not count

    @property
    def name(self) -> str:
        """The approver, with the age of a new membership."""
        return f"{self.actor} ({self.membership})" if self.membership else self.actor

    @property
    def moment(self) -> datetime:
        """When the approval was given."""
        return from_ms(self.at)


class ApprovalStatus(Struct, frozen=True):
    """The approvals of a request that count now. `problem`: why the person's own approval would not count."""

    needed: int
    given: Sequence[ApprovalLine]
    lapsed: Sequence[ApprovalLine] = ()
    problem: str = ""

    @property
    def is_mine(self) -> bool:
        """Whether the person has approved already."""
        return any(one.is_mine for one in self.given)

    @property
    def is_complete(self) -> bool:
        """Whether enough people have approved."""
        return len(self.given) >= self.needed

    @property
    def next_number(self) -> int:
        """The number of the next approval: 1 for the first."""
        return min(len(self.given) + 1, self.needed)

    @property
    def why_not(self) -> str:
        """Why the person cannot add an approval; "" if they can."""
        if self.is_mine and not self.is_complete:
            return "You approved this. Another person must approve it too."
        return f"Your approval would not count: {self.problem}." if self.problem else ""


def read_approval_status(
    workspace: Workspace, rows: Iterable[RequestRow], me: Approver, read_bundle: BundleReader | None = None
) -> dict[int, ApprovalStatus]:
    """Return the status of each request that needs two people, from the point of view of one person."""
    book = ApprovalBook(workspace)
    return {
        row.id: _status_of(book, row, quorum, stored, me)
        for row, quorum, stored in _iterate_doubles(workspace, book, rows, read_quorum_rules(workspace, read_bundle))
    }


def find_earlier_ends(
    workspace: Workspace,
    rows: Sequence[RequestRow],
    given: Mapping[int, ApprovedEnd],
    now: datetime,
    read_bundle: BundleReader | None = None,
) -> dict[int, list[EarlierEnd]]:
    """Return which ends that others approved come before those that an acceptance would give, by row id.

    Policies are read only if one of these requests was approved.
    """
    book = ApprovalBook(workspace)
    approved = book.list_stored([row.id for row in rows if row.state.status != Status.ACCEPTED])
    found = dict[int, list[EarlierEnd]]()
    if not approved:
        return found
    rules = read_quorum_rules(workspace, read_bundle)
    for row, quorum, stored in _iterate_doubles(workspace, book, [row for row in rows if row.id in approved], rules):
        ends = book.read_approved_ends(row.id)
        for one in book.select_counted(row, quorum, stored):
            end = ends.get(one.account)
            if end is not None and end.shortens(given[row.id], now, workspace.zone):
                found.setdefault(row.id, []).append(EarlierEnd(end.until, one.actor))
    return found


def read_approvals_record(workspace: Workspace, row: RequestRow) -> ApprovalsRecord | None:
    """Return the approvals of a pending request; None if one person can accept it."""
    if row.state.status != Status.PENDING:
        return None
    status = read_approval_status(workspace, [row], Approver("", None, None)).get(row.id)
    if status is None:
        return None
    return _record_of(status.needed, status.given, workspace.zone)


class ApprovalsReader:
    """Reads the approvals of requests in a list. Only those that somebody approved are looked at: the others are many.

    Policies are read at most once, and only if a listed request was approved.
    """

    def __init__(self, workspace: Workspace, read_bundle: BundleReader | None = None) -> None:
        self._workspace = workspace
        self._read_bundle = read_bundle
        self._approved = frozenset(find_approved(workspace.store))

    @cached_property
    def _rules(self) -> QuorumRules:
        return read_quorum_rules(self._workspace, self._read_bundle)

    def read_records(self, rows: Iterable[RequestRow]) -> dict[int, ApprovalsRecord]:
        """Return the approvals that count now, of pending requests with at least one."""
        found = [row for row in rows if row.id in self._approved and row.state.status == Status.PENDING]
        if not found:
            return {}
        book = ApprovalBook(self._workspace)
        records = dict[int, ApprovalsRecord]()
        for row, quorum, stored in _iterate_doubles(self._workspace, book, found, self._rules):
            given = _status_of(book, row, quorum, stored, Approver("", None, None)).given
            if given:
                records[row.id] = _record_of(quorum.count, given, self._workspace.zone)
        return records


def _record_of(needed: int, given: Iterable[ApprovalLine], zone: tzinfo) -> ApprovalsRecord:
    records = [
        ApprovalRecord(
            by=one.actor, at=ms_to_iso(one.at), membership=one.membership or None, approved=one.end.describe(zone)
        )
        for one in given
    ]
    return ApprovalsRecord(needed=needed, given=records)


def resolve_approvals(workspace: Workspace, query: Query, read_bundle: BundleReader | None = None) -> Query:
    """Return a query with the requests that `approval:second` matches, under the policies and members
    as they are now.
    """
    if not any(term.key == "approval" for term in query.terms):
        return query
    rows = workspace.store.requests(find_approved(workspace.store)).values()
    return dataclasses.replace(query, half_approved=frozenset(_find_half_approved(workspace, rows, read_bundle)))


def has_half_approved(
    workspace: Workspace, is_visible: Callable[[Repo], bool], read_bundle: BundleReader | None = None
) -> bool:
    """Tell whether `approval:second` matches a pending request of a visible repo; stops at the first."""
    approved = find_approved(workspace.store)
    for batch in split_into_batches(approved, _FEW):
        rows = workspace.store.requests(batch).values()
        pending = [row for row in rows if row.state.status == Status.PENDING and is_visible(row.repo)]
        if next(_find_half_approved(workspace, pending, read_bundle), None) is not None:
            return True
    return False


def _find_half_approved(
    workspace: Workspace, rows: Collection[RequestRow], read_bundle: BundleReader | None
) -> Iterator[int]:
    if not rows:
        return
    book = ApprovalBook(workspace)
    rules = read_quorum_rules(workspace, read_bundle)
    for row, quorum, stored in _iterate_doubles(workspace, book, rows, rules):
        if 0 < len(book.select_counted(row, quorum, stored)) < quorum.count:
            yield row.id


def _iterate_doubles(
    workspace: Workspace, book: ApprovalBook, rows: Iterable[RequestRow], rules: QuorumRules
) -> Iterator[tuple[RequestRow, Quorum, Sequence[Approval]]]:
    """Yield the requests that need two people, each with its quorum and its stored approvals."""
    now = workspace.now()
    for repo, here in group_by_repo(rows).items():
        wanted = rules.compute(repo, here, now)
        stored = book.list_stored(wanted)
        yield from ((row, wanted[row.id], stored.get(row.id, ())) for row in here if row.id in wanted)


def _status_of(
    book: ApprovalBook, row: RequestRow, quorum: Quorum, stored: Sequence[Approval], me: Approver
) -> ApprovalStatus:
    if quorum.problem:
        return ApprovalStatus(quorum.count, (), problem=quorum.problem)
    counted = book.select_counted(row, quorum, stored)
    notes = book.read_notes(row.id) if any(one.has_note for one in stored) else {}
    ends = book.read_approved_ends(row.id) if stored else {}
    lines = {
        one.account: ApprovalLine(
            one.actor,
            one.at,
            notes.get(one.account),
            ends.get(one.account, ApprovedEnd()),
            is_mine=one.account == me.account,
            membership=book.standing.describe(one.account),
        )
        for one in stored
    }
    given = [lines[one.account] for one in counted]
    lapsed = [
        replace(lines[one.account], why=_explain_lapsed(book, row, quorum, one, counted))
        for one in stored
        if one not in counted
    ]
    problem = "" if any(one.is_mine for one in given) else book.explain(row, quorum, me, counted)
    return ApprovalStatus(quorum.count, given, lapsed, problem)


def _explain_lapsed(
    book: ApprovalBook, row: RequestRow, quorum: Quorum, approval: Approval, counted: Sequence[Approval]
) -> str:
    if not is_current(approval, row.version, quorum):
        return _CHANGED
    return book.standing.explain(approval.account, [one.account for one in counted]) or _NOT_ABLE
