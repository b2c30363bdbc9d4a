"""Assignments: which member should decide a pending request, and who stands in while that member is away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from ..domain.batches import split_into_batches
from ..domain.display_text import pluralize
from ..domain.lifecycle import Status
from ..domain.members import Member, MemberRole
from ..domain.rows import RequestRow
from ..domain.timestamps import from_ms, to_ms
from ..errors import Stale, UsageError
from ..store.absences import find_deputies, read_absences
from ..store.assignments import AssignmentResult, may_be_assigned, write_assignments
from .approval_needs import BundleReader
from .approval_status import ApprovalsReader
from .approvals import read_deciders
from .grant_records import pair_with_grants
from .request_record_builders import RowDetails
from .workspace import Workspace

MAX_ASSIGNED: Final = 1000  # requests assigned at once
NOBODY: Final = "nobody"
_ME: Final = "me"
_CHUNK: Final = 500  # requests whose details are read together


class Assignee(NamedTuple):
    """The member who should decide a request. The deputy stands in through the last day."""

    id: str
    name: str
    deputy: str | None = None
    deputy_id: str | None = None
    last_day: str | None = None


# ---- reading -----------------------------------------------------------------------------------------------------------


def read_assignees(workspace: Workspace, now: datetime) -> dict[str, Assignee]:
    """Return the members who may have requests assigned, by id."""
    members = {one.id: one for one in read_deciders(workspace.store)}
    absences = read_absences(workspace.store.reads, to_ms(now))
    deputies, ends = find_deputies(absences), {one.member: one.until for one in absences}
    found = {}
    for ident, member in members.items():
        deputy = members.get(deputies.get(ident, ""))
        if deputy is None:
            found[ident] = Assignee(ident, member.name)
        else:
            day = f"{from_ms(ends[ident] - 1).astimezone(workspace.zone):%Y-%m-%d}"
            found[ident] = Assignee(ident, member.name, deputy.name, deputy.id, day)
    return found


def pair_with_details(
    workspace: Workspace, rows: Iterable[RequestRow], now: datetime, read_bundle: BundleReader | None = None
) -> Iterator[tuple[RequestRow, RowDetails]]:
    """Iterate over requests with the access that each gives now, the member who should decide it, and its approvals.

    `read_bundle` returns policies that are already compiled.
    """
    assignees, approvals = read_assignees(workspace, now), ApprovalsReader(workspace, read_bundle)
    for chunk in split_into_batches(rows, _CHUNK):
        approved = approvals.read_records(chunk)
        for row, grant in pair_with_grants(workspace.store, chunk):
            one = assignees.get(row.state.assigned or "")
            name, deputy = (None, None) if one is None else (one.name, one.deputy)
            yield row, RowDetails(grant, name, deputy, approved.get(row.id))


def list_assignable(workspace: Workspace, row: RequestRow | None = None) -> list[Member]:
    """Return the members who may decide, ordered by name; with a request, those who may decide it."""
    found = [one for one in read_deciders(workspace.store) if one.role.covers(MemberRole.REVIEWER)]
    return sorted(
        (one for one in found if row is None or not _find_member_obstacle(one, row)), key=lambda one: one.name
    )


# ---- writing -----------------------------------------------------------------------------------------------------------


def find_assignee(workspace: Workspace, name: str, me: Member | None) -> Member | None:
    """Return the member of this name; None for `nobody`. `me` is the member who asks.

    Raises UsageError if there is no such member, or if they decide nothing.
    """
    name = name.strip().lower()
    if name == NOBODY:
        return None
    deciders = read_deciders(workspace.store)
    found = next((one for one in deciders if one.name.lower() == name), None)
    if name == _ME and me is not None:
        found = next((one for one in deciders if is_same_member(one, me)), None)
    if found is None and name == _ME:
        raise UsageError(
            "you are not a member of this desk under this account.", hint="Prove your account: hf-gate ui prove LINK"
        )
    if found is None:
        raise _unknown_member(workspace, name, deciders)
    if not found.role.covers(MemberRole.REVIEWER):
        raise UsageError(f"{found.name} is a viewer and cannot decide requests.", hint="Name a reviewer or an admin.")
    return found


def is_same_member(one: Member, other: Member) -> bool:
    """Tell whether a stored member is this person: by member id, or by proven Hub account."""
    account = other.proven_account
    return one.id == other.id or (account is not None and account == one.proven_account)


def assign_requests(
    workspace: Workspace,
    rows: Sequence[RequestRow],
    seen: Mapping[int, str | None],
    member: Member | None,
    *,
    by: Member,
    now: datetime,
) -> AssignmentResult:
    """Assign pending requests to a member, or to nobody. `seen`: to whom each was assigned when it was looked at, by id.

    All are refused with UsageError if one cannot be assigned so. Requests that somebody else assigned meanwhile stay as
    they are. Raises Stale if the member was removed or changed meanwhile.
    """
    if len(rows) > MAX_ASSIGNED:
        raise UsageError(f"{len(rows):,} requests are too many.", hint=f"Assign at most {MAX_ASSIGNED:,} at once.")
    reasons = Counter(filter(None, (_find_obstacle(workspace, row, member, by) for row in rows)))
    if reasons:
        why, count = reasons.most_common(1)[0]
        which = "" if len(rows) == 1 else f" ({count:,} of {pluralize(len(rows), 'request')})"
        raise UsageError(f"{why}{which}. Nothing was assigned.", hint="Choose another member or other requests.")
    wanted = {row.id: seen.get(row.id) for row in rows}
    result = write_assignments(workspace.store, wanted, member, by=by.name, at=to_ms(now))
    if result is None:
        raise Stale("The member was removed or changed meanwhile. Nothing was assigned.", hint="Choose again.")
    return result


def _find_obstacle(workspace: Workspace, row: RequestRow, member: Member | None, by: Member) -> str:
    """Return why a request cannot be assigned to a member by another one; "" if it can."""
    who = row.person.identity
    if row.state.status != Status.PENDING or not row.is_current:
        return f"Only pending requests can be assigned. This one at {row.repo} is not pending"
    if by.is_own(who.username, who.user_id):
        return "You cannot assign your own request"
    if workspace.location.folder is not None and not workspace.location.config.includes(row.repo):
        return f"{row.repo} does not belong to this workspace"
    return "" if member is None else _find_member_obstacle(member, row)


def _find_member_obstacle(member: Member, row: RequestRow) -> str:
    """Return why a member may not decide a request; "" if they may."""
    who = row.person.identity
    if not may_be_assigned(member, row.repo):
        return f"{member.name} cannot decide at {row.repo}"
    return f"{member.name} cannot decide their own request" if member.is_own(who.username, who.user_id) else ""


def _unknown_member(workspace: Workspace, name: str, deciders: Sequence[Member]) -> UsageError:
    able = sorted(one.name for one in deciders if one.role.covers(MemberRole.REVIEWER))
    hint = f"Members who can decide: {', '.join(able[:20])}." if able else "Invite one: hf-gate ui invite NAME"
    former = workspace.members.find_by_name(name)
    if former is not None and not former.has_link:
        return UsageError(f"{former.name} was removed from this desk.", hint=hint)
    return UsageError(f"there is no member {name[:40]!r}.", hint=hint)
