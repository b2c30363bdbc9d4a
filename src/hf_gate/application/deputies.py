"""Deputies: a member who is away names another one, who sees the queues of both until a date."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct

from ..domain.grants import end_of_day
from ..domain.members import Member, MemberRole
from ..domain.timestamps import from_ms, to_ms
from ..errors import UsageError
from ..store.absences import find_deputies, read_absences, write_absence
from .members import Membership

MAX_ABSENCE: Final = timedelta(days=366)


NOBODY: Final = "nobody"


class AbsenceLine(Struct, frozen=True):
    """A member who is away through a day. `deputy` was named; `stands_in` does so: somebody else if the deputy is away."""

    name: str
    until: str
    deputy: str
    stands_in: str

    @property
    def sentence(self) -> str:
        """Who stands in."""
        others = "" if self.deputy == self.stands_in else f"{self.deputy} is away too, so "
        return f"{others}{self.stands_in} stands in."


def set_deputy(
    membership: Membership, member: Member, deputy: str, until: str, *, by: str, now: datetime
) -> AbsenceLine:
    """Store that a member is away, and return the absence. Raises UsageError for a wrong deputy or day."""
    found = membership.find(deputy.strip().lower())
    if found is None or found.id == member.id:
        raise UsageError(f"{deputy.strip()[:40]!r} cannot stand in.", hint="Name another member of this desk.")
    if not found.role.covers(MemberRole.REVIEWER):
        raise UsageError(f"{found.name} is a viewer and cannot decide requests.", hint="Name a reviewer or an admin.")
    zone = membership.workspace.zone
    try:
        day = date.fromisoformat(until.strip())
        end = end_of_day(day, zone)
    except (ValueError, OverflowError):
        raise UsageError("That is not a date.", hint="Write a date like 2027-01-31.") from None
    if not now <= end <= now + MAX_ABSENCE:
        raise UsageError("The date must be today or later, and within a year.", hint="Write a date like 2027-01-31.")
    with membership.workspace.store.writing() as write:
        write_absence(write, member.id, found.id, to_ms(end), by=by, at=to_ms(now))
    absence = describe_absence(membership, member, now)
    return absence or AbsenceLine(member.name, day.isoformat(), found.name, found.name)


def end_absence(membership: Membership, member: Member, *, by: str, now: datetime) -> None:
    """Store that a member is back; nothing happens if they are not away."""
    if any(one.member == member.id for one in read_absences(membership.workspace.store.reads, to_ms(now))):
        with membership.workspace.store.writing() as write:
            write_absence(write, member.id, None, None, by=by, at=to_ms(now))


def list_stood_in_for(membership: Membership, member: Member, now: datetime) -> Mapping[str, str]:
    """Return the members for whom this one stands in, by name, each with the last day.

    If a deputy is away too, their deputy stands in for both.
    """
    absences = read_absences(membership.workspace.store.reads, to_ms(now))
    deputies, found = find_deputies(absences), {}
    for one in absences:
        away = membership.find_by_id(one.member)
        if deputies.get(one.member) == member.id and away is not None:
            found[away.name] = _last_day(one.until, membership)
    return found


def describe_absence(membership: Membership, member: Member, now: datetime) -> AbsenceLine | None:
    """Return the absence of a member; None if the member is there."""
    return next((line for ident, line in _iterate_absences(membership, now) if ident == member.id), None)


def list_absences(membership: Membership, now: datetime) -> list[AbsenceLine]:
    """Return who is away now, who stands in, and the last day; by name."""
    return sorted((line for _, line in _iterate_absences(membership, now)), key=lambda line: line.name)


def _iterate_absences(membership: Membership, now: datetime) -> Iterator[tuple[str, AbsenceLine]]:
    absences = read_absences(membership.workspace.store.reads, to_ms(now))
    deputies = find_deputies(absences)
    for one in absences:
        away = membership.find_by_id(one.member)
        if away is None:
            continue
        named, present = (membership.find_by_id(ident) for ident in (one.deputy, deputies.get(one.member, "")))
        names = [NOBODY if each is None else each.name for each in (named, present)]
        yield one.member, AbsenceLine(away.name, _last_day(one.until, membership), *names)


def list_deputies(membership: Membership, member: Member) -> Collection[str]:
    """Return the names of the members who could stand in."""
    every = [membership.owner_member, *membership.workspace.members.list_all()]
    return [one.name for one in every if one.has_link and one.id != member.id and one.role.covers(MemberRole.REVIEWER)]


def _last_day(until: int, membership: Membership) -> str:
    return f"{from_ms(until - 1).astimezone(membership.workspace.zone):%Y-%m-%d}"
