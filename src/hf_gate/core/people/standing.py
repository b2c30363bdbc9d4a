"""Which members count as two people: who began a membership, how long ago, and who confirmed it.

A second account of the same person is no second person. For `SETTLING_TIME`, a member counts as one person with whoever
added them, directly or through other new members. A third person can confirm a new member earlier. A member who came by
a role in an organisation counts as nobody during this time, until somebody confirms them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.timestamps import DAY_MS, format_day, format_span, from_ms

from .members import Member, MemberRole

SETTLING_TIME: Final = 7 * DAY_MS
"""Milliseconds after which a member counts as a person of their own."""

SINGLE_ADMIN: Final = (
    "There is one admin only: this workspace has no protection against a second account of this admin, which counts "
    "after 7 days."
)
"""What a workspace with one admin is told where members are listed."""


class Beginning(Struct, frozen=True, kw_only=True):
    """How a new membership began: when (ms), and the names of those who added and confirmed the member."""

    at: int
    by: str | None = None  # None: a role in an organisation
    confirmed_by: str | None = None

    def describe(self, now: int) -> str:
        """Return the age of the membership and who added the member: `member since 3 min, added by amy`."""
        age = format_span((now - self.at) / 1000)
        origin = f"added by {self.by}" if self.by else "by an organisation"
        confirmed = f", confirmed by {self.confirmed_by}" if self.confirmed_by else ""
        return f"member since {age}, {origin}{confirmed}"


def continue_membership(member: Member, before: Member | None) -> Member:
    """Return a changed member with the beginning of the membership before.

    Rights that the member did not have begin a membership: to decide at all, or at more repos.
    """
    if before is None:
        return member
    could_decide = before.role.covers(MemberRole.REVIEWER) or not member.role.covers(MemberRole.REVIEWER)
    is_wider = before.repos is not None and (member.repos is None or not set(member.repos) <= set(before.repos))
    if is_wider or not could_decide:
        return member
    return replace(member, begun_at=before.begun_at, begun_by=before.begun_by, confirmed_by=before.confirmed_by)


class MemberStanding:
    """Tells which accounts count as different people at a moment (ms).

    `members` are all members, also removed ones. An account without a membership, such as that of the owner, is its own
    person.
    """

    def __init__(self, members: Iterable[Member], owner: Member | None, now: int) -> None:
        self._now = now
        self._names = {} if owner is None else {owner.account_id: owner.name}
        self._members: dict[str | None, Member] = {}
        for member in sorted(members, key=lambda one: (one.is_active, one.begun_at)):
            self._members[member.account_id] = member
            self._names.setdefault(member.account_id, member.name)

    def find_beginning(self, account: str | None) -> Beginning | None:
        """Return how the membership of an account began; None after `SETTLING_TIME`, and without a membership."""
        member = self._members.get(account)
        if member is None or self._now - member.begun_at >= SETTLING_TIME:
            return None
        by = None if member.begun_by is None else self._names.get(member.begun_by, member.begun_by)
        confirmed_by = None if member.confirmed_by is None else self._names.get(member.confirmed_by)
        return Beginning(at=member.begun_at, by=by, confirmed_by=confirmed_by)

    def describe(self, account: str | None) -> str:
        """Return the age of a new membership and who added the member; "" for the others."""
        beginning = self.find_beginning(account)
        return "" if beginning is None else beginning.describe(self._now)

    def needs_confirmation(self, account: str | None) -> bool:
        """Tell whether a confirmation would let an account count as a person of its own."""
        return self.find_beginning(account) is not None and self._members[account].confirmed_by is None

    def can_confirm(self, account: str | None, member: Member) -> bool:
        """Tell whether an account is a third person, who can confirm a new member."""
        person = self.find_person(account)
        is_third = person is not None and person != self.find_person(member.account_id)
        return is_third and self.needs_confirmation(member.account_id)

    def find_person(self, account: str | None) -> str | None:
        """Return the account that stands for the person behind an account; None if nobody has confirmed a new member
        of an organisation.
        """
        seen = list[str | None]()
        while self.needs_confirmation(account):
            if account in seen:  # they added each other
                return min(str(one) for one in seen[seen.index(account) :])
            seen.append(account)
            account = self._members[account].begun_by
            if account is None:
                return None
        return account

    def explain(self, account: str, others: Iterable[str]) -> str:
        """Return why an account does not count together with others that count; "" if it does."""
        person = self.find_person(account)
        if person is None:
            return f"{self._describe_named(account)} counts {self._describe_change(account)}"
        for other in others:
            if other != account and self.find_person(other) == person:
                new = account if self.needs_confirmation(account) else other
                pair = f"{self._describe_named(account)} and {self._describe_named(other)}"
                return f"{pair} count as two people {self._describe_change(new)}"
        return ""

    def select_people(self, accounts: Iterable[str]) -> list[str]:
        """Return the accounts that count together, each person once, by the first of their accounts."""
        chosen = list[str]()
        for account in accounts:
            if account not in chosen and not self.explain(account, chosen):
                chosen.append(account)
        return chosen

    def _describe_named(self, account: str) -> str:
        words = self.describe(account)
        name = self._names.get(account, account)
        return f"{name} ({words})" if words else name

    def _describe_change(self, account: str) -> str:
        day = format_day(from_ms(self._members[account].begun_at + SETTLING_TIME).date())
        return f"only after {day}, or when a third person runs `hf-gate members confirm {self._names[account]}`"
