"""Names the members to whom requests were assigned at an earlier moment, and who stood in for them, from the ledger."""

from __future__ import annotations

from functools import cached_property

from ..domain.request_state import RequestState
from ..store.absences import find_deputies, read_past_absences
from ..store.store import Store
from .approvals import read_member_names
from .records import GrantRecord
from .request_record_builders import RowDetails


class PastAssignees:
    """The assignees and deputies at a moment (ms). Members have the names of today; a member without one has the id."""

    def __init__(self, store: Store, at: int) -> None:
        self._store, self._at = store, at

    @cached_property
    def _names(self) -> dict[str, str]:
        return read_member_names(self._store)

    @cached_property
    def _deputies(self) -> dict[str, str]:
        return find_deputies(read_past_absences(self._store.reads, self._at))

    def build_details(self, state: RequestState, grant: GrantRecord | None) -> RowDetails:
        """Return the access and the assignment of a request."""
        if state.assigned is None:
            return RowDetails(grant)
        return RowDetails(grant, self._name(state.assigned), self._name(self._deputies.get(state.assigned)))

    def _name(self, member: str | None) -> str | None:
        return None if member is None else self._names.get(member, member)
