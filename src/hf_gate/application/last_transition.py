"""Finds the change that gave a request its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..domain import events as e
from ..domain.outcomes import OutcomeKind
from ..domain.rows import RequestRow
from ..store.store import Store

_ENTRIES: Final = 200


class LastTransition(Struct, frozen=True):
    """The change that gave a request its status.

    For a change on the Hub, `actor` is "outside" and `hub_user` is the account. `run_id` and `rule` belong to our own
    change. `is_first` means that the request had this status when first seen.
    """

    at: int  # ms
    actor: str
    hub_user: str | None = None
    run_id: str | None = None
    rule: str | None = None
    is_first: bool = False


def last_transition(store: Store, row: RequestRow) -> LastTransition | None:
    """Return the last transition from the latest 200 ledger entries; None if they do not contain it."""
    settled: LastTransition | None = None
    for entry in store.entries(request=row.id, limit=_ENTRIES) if row.id > 0 else ():
        event, link = e.decode_event(entry.link.body), entry.link
        match event:
            case e.ChangeStarted() if settled is not None and event.run == settled.run_id:
                return replace(settled, rule=event.rule)
            case e.ChangeSettled(kind=OutcomeKind.DONE | OutcomeKind.ALREADY) if (
                settled is None and event.after == row.state.status
            ):
                settled = LastTransition(link.at, link.actor, run_id=event.run)
            case e.StatusMoved() if settled is None and event.after == row.state.status:
                granter = (entry.private or {}).get("granted_by")
                by = granter.get("user") if isinstance(granter, Mapping) else None
                return LastTransition(link.at, link.actor, hub_user=by if isinstance(by, str) else None)
            case e.RequestSeen() if settled is None and event.status == row.state.status:
                return LastTransition(link.at, link.actor, is_first=True)
    return settled
