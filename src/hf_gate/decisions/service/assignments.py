"""Assignments: which member should decide a pending request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from hf_gate.approvals.service.approval_status import ApprovalsReader
from hf_gate.approvals.service.quorum_rules import BundleReader
from hf_gate.base.batches import split_into_batches
from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.records import RowDetails
from hf_gate.core.stored_rows import RequestRow
from hf_gate.decisions.records import AssignmentRecord
from hf_gate.errors import Stale, UsageError
from hf_gate.grants.service.grant_records import pair_with_grants
from hf_gate.members.rows.assignments import may_be_assigned, write_assignments
from hf_gate.members.rows.members import find_member
from hf_gate.members.service.members import read_deciders
from hf_gate.settings.service.workspace import Workspace

MAX_ASSIGNED: Final = 1000  # requests assigned at once
NOBODY: Final = "nobody"
_ME: Final = "me"
_CHUNK: Final = 500  # requests whose details are read together


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_assignees(workspace: Workspace) -> dict[str, str]:
    """Return the names of the members who may have requests assigned, by id."""
    return {member.id: member.name for member in read_deciders(workspace.store)}


def pair_with_details(
    workspace: Workspace, rows: Iterable[RequestRow], read_bundle: BundleReader | None = None
) -> Iterator[tuple[RequestRow, RowDetails]]:
    """Iterate over requests with the access that each gives now, the member who should decide it, and its approvals.

    `read_bundle` returns policies that are already compiled.
    """
    assignees = read_assignees(workspace)
    approvals = ApprovalsReader(workspace, read_bundle)
    for chunk in split_into_batches(rows, _CHUNK):
        approved = approvals.read_records(chunk)
        for row, grant in pair_with_grants(workspace.store, chunk):
            yield row, RowDetails(grant, assignees.get(row.state.assigned or ""), approved.get(row.id))


def list_assignable(workspace: Workspace, row: RequestRow | None = None) -> list[Member]:
    """Return the members who may decide, ordered by name; with a request, those who may decide it."""
    found = [decider for decider in read_deciders(workspace.store) if decider.role.covers(MemberRole.REVIEWER)]
    return sorted(
        (one for one in found if row is None or not _find_member_obstacle(one, row)), key=lambda one: one.name
    )


# ---- writing ---------------------------------------------------------------------------------------------------------


def find_assignee(workspace: Workspace, name: str, me: Member | None) -> Member | None:
    """Return the member of this name; None for `nobody`. `me` is the member who asks.

    Raises UsageError if there is no such member, or if they decide nothing.
    """
    name = name.strip().lower()
    if name == NOBODY:
        return None
    deciders = read_deciders(workspace.store)
    assignee = next((decider for decider in deciders if decider.name.lower() == name), None)
    if name == _ME and me is not None:
        assignee = next((decider for decider in deciders if decider.is_same_person(me)), None)
    if assignee is None and name == _ME:
        raise UsageError(
            "you are not a member of this desk under this account.", hint="Prove your account: hf-gate ui prove LINK"
        )
    if assignee is None:
        raise _unknown_member(workspace, name, deciders)
    if not assignee.role.covers(MemberRole.REVIEWER):
        raise UsageError(
            f"{assignee.name} is a viewer and cannot decide requests.", hint="Name a reviewer or an admin."
        )
    return assignee


def assign_requests(
    workspace: Workspace,
    rows: Sequence[RequestRow],
    member: Member | None,
    *,
    by: Member,
    now: datetime,
) -> AssignmentRecord:
    """Assign pending requests to a member, or to nobody. The last assignment wins; the ledger has them all.

    All are refused with UsageError if one cannot be assigned so. Raises Stale if the member was removed or changed
    meanwhile.
    """
    if len(rows) > MAX_ASSIGNED:
        raise UsageError(f"{len(rows):,} requests are too many.", hint=f"Assign at most {MAX_ASSIGNED:,} at once.")
    reasons = Counter(filter(None, (_find_obstacle(workspace, row, member, by) for row in rows)))
    if reasons:
        why, count = reasons.most_common(1)[0]
        which = "" if len(rows) == 1 else f" ({count:,} of {pluralize(len(rows), 'request')})"
        raise UsageError(f"{why}{which}. Nothing was assigned.", hint="Choose another member or other requests.")
    result = write_assignments(workspace.store, [row.id for row in rows], member, by=by.name, at=to_ms(now))
    if result is None:
        raise Stale("The member was removed or changed meanwhile. Nothing was assigned.", hint="Choose again.")
    name = None if member is None else member.name
    return AssignmentRecord(assigned_to=name, assigned=result.assigned, already=result.already)


def _find_obstacle(workspace: Workspace, row: RequestRow, member: Member | None, by: Member) -> str:
    """Return why a request cannot be assigned to a member by another one; "" if it can."""
    if row.state.status != Status.PENDING or not row.is_current:
        return f"Only pending requests can be assigned. This one at {row.repo} is not pending"
    if row.is_made_by(by):
        return "You cannot assign your own request"
    if workspace.location.folder is not None and not workspace.location.config.includes(row.repo):
        return f"{row.repo} does not belong to this workspace"
    return "" if member is None else _find_member_obstacle(member, row)


def _find_member_obstacle(member: Member, row: RequestRow) -> str:
    """Return why a member may not decide a request; "" if they may."""
    if not may_be_assigned(member, row.repo):
        return f"{member.name} cannot decide at {row.repo}"
    return f"{member.name} cannot decide their own request" if row.is_made_by(member) else ""


def _unknown_member(workspace: Workspace, name: str, deciders: Sequence[Member]) -> UsageError:
    able = sorted(decider.name for decider in deciders if decider.role.covers(MemberRole.REVIEWER))
    hint = f"Members who can decide: {', '.join(able[:20])}." if able else "Invite one: hf-gate ui invite NAME"
    former = find_member(workspace.store, name)
    if former is not None and not former.has_link:
        return UsageError(f"{former.name} was removed from this desk.", hint=hint)
    return UsageError(f"there is no member {name[:40]!r}.", hint=hint)
