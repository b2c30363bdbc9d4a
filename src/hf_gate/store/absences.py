"""Stores which members are away, and who stands in for them."""

from __future__ import annotations

from typing import NamedTuple

from ..domain import events as e
from ..domain.events import LedgerEntry
from .store import Store


class Absence(NamedTuple):
    """A member who is away until a time (ms), and the deputy; both by id."""

    member: str
    deputy: str
    until: int


def read_absences(store: Store, at: int) -> list[Absence]:
    """Return the absences that have not ended."""
    rows = store.reads.rows("SELECT member, deputy, until FROM absences WHERE until >= ? ORDER BY member", (at,))
    return [Absence(*row) for row in rows]


def write_absence(store: Store, member: str, deputy: str | None, until: int | None, *, by: str, at: int) -> None:
    """Store an absence with its ledger entry; without a deputy, the member is back."""
    with store.writing() as write:
        write.db.run("DELETE FROM absences WHERE member = ? OR until < ?", (member, at))
        if deputy is not None and until is not None:
            write.db.run("INSERT INTO absences (member, deputy, until) VALUES (?, ?, ?)", (member, deputy, until))
        event = e.DeputyNamed(member=member, deputy=deputy, until=until)
        write.append(None, [LedgerEntry(event=event, at=at, actor=by)])
