"""Stores which members are away, and who stands in for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..domain import events as e
from ..domain.events import LedgerEntry
from .sql import Database
from .writer import Writer


class Absence(NamedTuple):
    """A member who is away until a time (ms), and the deputy; both by id."""

    member: str
    deputy: str
    until: int


def read_absences(db: Database, at: int) -> list[Absence]:
    """Return the absences that have not ended."""
    rows = db.rows("SELECT member, deputy, until FROM absences WHERE until >= ? ORDER BY member", (at,))
    return [Absence(*row) for row in rows]


def find_deputies(absences: Iterable[Absence]) -> dict[str, str]:
    """Return who stands in for each member who is away, by id. If a deputy is away too, their deputy stands in for both.

    In a circle of deputies, nobody stands in.
    """
    by_member = {one.member: one.deputy for one in absences}
    found = {}
    for member, first in by_member.items():
        deputy, seen = first, {member}
        while deputy in by_member and deputy not in seen:
            seen.add(deputy)
            deputy = by_member[deputy]
        if deputy not in seen:
            found[member] = deputy
    return found


def write_absence(write: Writer, member: str, deputy: str | None, until: int | None, *, by: str, at: int) -> None:
    """Store an absence with its ledger entry; without a deputy, the member is back."""
    write.db.run("DELETE FROM absences WHERE member = ? OR until < ?", (member, at))
    if deputy is not None and until is not None:
        write.db.run("INSERT INTO absences (member, deputy, until) VALUES (?, ?, ?)", (member, deputy, until))
    event = e.DeputyNamed(member=member, deputy=deputy, until=until)
    write.append(None, [LedgerEntry(event=event, at=at, actor=by)])
