"""Writes ends of access that a person changed: longer access waits for the approvals that the acceptance needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from hf_gate.approvals.rows.approvals import delete_approvals
from hf_gate.approvals.service.approvals import ApprovalBook, ApprovalCheck, ProposedApproval, approve
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.access_end import AccessEnd
from hf_gate.core.people.approvals import Approver, Quorum, approved_end_of
from hf_gate.grants.rows import read_terms
from hf_gate.store.writing.writer import Writer

from .end_changes import EndChange, write_end_changes

KEEPS_ACCESS: Final = "the person has access for longer already, and a key never shortens access"


class HeldChange(NamedTuple):
    """A change that lacks approvals: the outcome, and why."""

    change: EndChange
    kind: OutcomeKind
    why: str


class EndChanger(Struct, frozen=True):
    """Writes new ends for one person. Those that give more access wait for the approvals that an acceptance needs."""

    approvals: ApprovalCheck
    approver: Approver

    def read_quorums(self, changes: Sequence[EndChange]) -> Mapping[int, Quorum]:
        """Return how many people must approve these changes, by row, where it is more than one. Reads files."""
        old = read_terms(
            self.approvals.workspace.store, {change.row.state.terms for change in changes if change.row.state.terms}
        )
        more = [change.row for change in changes if change.gives_more(old.get(change.row.state.terms or ""))]
        return self.approvals.read_end_quorums(more)

    def write(
        self, write: Writer, changes: Sequence[EndChange], quorums: Mapping[int, Quorum], at: int
    ) -> list[HeldChange]:
        """Write the changes, in a transaction, or the approval of the person; return those that lack approvals."""
        held = self._approve(write, changes, quorums, at)
        left = {one.change.row.id for one in held}
        ready = [change for change in changes if change.row.id not in left and not change.is_known]
        for change in ready:
            delete_approvals(write, change.row.id)  # used, or given for a longer end than the one that is set now
        write_end_changes(write, ready, self.approver.actor, at)
        return held

    def _approve(
        self, write: Writer | None, changes: Sequence[EndChange], quorums: Mapping[int, Quorum], at: int
    ) -> list[HeldChange]:
        """Record the approval of the person where one is needed (not without `write`); return what lacks approvals."""
        workspace = self.approvals.workspace
        held = list[HeldChange]()
        book = ApprovalBook(workspace, write)
        for change in changes:
            if self.approver.is_key and change.takes_access:
                held.append(HeldChange(change, OutcomeKind.REFUSED, KEEPS_ACCESS))
                continue
            quorum = quorums.get(change.row.id)
            if quorum is None:
                continue
            end = approved_end_of(AccessEnd(change.format_day(workspace.zone), terms=change.terms))
            asked = ProposedApproval(change.row, change.row.version, quorum, end, self.approver)
            if quorum.problem:
                held.append(HeldChange(change, OutcomeKind.REFUSED, quorum.problem))
                continue
            kind, why, _ = approve(write, book, asked, at, workspace.zone)
            if kind is not None:
                held.append(HeldChange(change, kind, why))
        return held

    def preview(self, changes: Sequence[EndChange], at: int) -> list[HeldChange]:
        """Return the changes that would lack approvals. Nothing is written."""
        return self._approve(None, changes, self.read_quorums(changes), at)

    def record(self, changes: Sequence[EndChange], at: int) -> list[HeldChange]:
        """Write the changes in a transaction of their own; return those that lack approvals."""
        quorums = self.read_quorums(changes)
        with self.approvals.workspace.store.writing() as write:
            return self.write(write, changes, quorums, at)
