"""Stores which member should decide a pending request, and frees the requests of members who may not decide them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hf_gate.base.ids import Repo
from hf_gate.core.events import events as e
from hf_gate.core.events.events import LedgerEntry
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.store.rows import member_rows
from hf_gate.store.sql import Database
from hf_gate.store.store import Store
from hf_gate.store.writing.state_columns import repo_of
from hf_gate.store.writing.writer import Writer


class AssignedRow(NamedTuple):
    """A request that is assigned, or is to be: its number, person and repo, and the id of the member."""

    request: int
    person: int
    repo: Repo
    member: str | None


class AssignmentResult(NamedTuple):
    """The numbers of requests that were assigned, and of those that already had this assignment."""

    assigned: int
    already: int


def write_assignments(
    store: Store, requests: Sequence[int], member: Member | None, *, by: str, at: int
) -> AssignmentResult | None:
    """Assign requests to a member, or to nobody, as far as they are still pending. The last assignment wins.

    Return None, and change nothing, if the member was removed or changed meanwhile.
    """
    ident = None if member is None else member.id
    with store.writing(is_short=True) as write:
        if member is not None and not _is_current(write.db, member):
            return None
        among, value = write.db.in_clause(list(requests))
        where = f"r.id {among} AND r.is_current AND r.status = '{Status.PENDING.value}'"
        rows = _read_rows(write.db, where, (value,))
        new = [row._replace(member=ident) for row in rows if row.member != ident]
        write.append_to_chains((row.repo, _make_entry(row, by, at)) for row in new)
    return AssignmentResult(len(new), len(rows) - len(new))


def free_assignments(write: Writer, ident: str, *, by: str, at: int, keeps: Callable[[Repo], bool]) -> None:
    """Assign the requests of a member to nobody, except at the repos where `keeps` holds."""
    rows = _read_rows(write.db, "r.assigned = ? AND r.is_current", (ident,))
    free = (row._replace(member=None) for row in rows if not keeps(row.repo))
    write.append_to_chains((row.repo, _make_entry(row, by, at)) for row in free)


def may_be_assigned(member: Member, repo: Repo) -> bool:
    """Tell whether a member may decide at a repo."""
    is_able = member.has_link and member.role.covers(MemberRole.REVIEWER)
    return is_able and matches_any(member.repos, repo)


def _is_current(db: Database, member: Member) -> bool:
    """Tell whether a member is stored as it was read; the owner of the token is not in the table."""
    return member.is_owner or member in member_rows.read_members(db)


def _read_rows(db: Database, where: str, values: tuple[object, ...]) -> list[AssignedRow]:
    rows = db.rows(
        "SELECT r.id, r.person_id, o.type, o.namespace, o.name, r.assigned FROM requests r JOIN repos o"
        " ON o.id = r.repo_id"
        f" WHERE {where} ORDER BY r.repo_id, r.id",
        values,
    )
    return [AssignedRow(row[0], row[1], repo_of(*row[2:5]), row[5]) for row in rows]


def _make_entry(row: AssignedRow, by: str, at: int) -> LedgerEntry:
    event = e.RequestAssigned(member=row.member)
    return LedgerEntry(event=event, at=at, actor=by, request=row.request, person=row.person)
