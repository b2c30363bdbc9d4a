"""Reads the history of a request from the ledger: its entries as records, and the change that gave it its status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.timestamps import ms_to_iso
from hf_gate.core.events import events as e
from hf_gate.core.events.event_descriptions import ORIGIN_PHRASES, describe_event
from hf_gate.core.events.events import NoteWritten, decode_event
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.records import HistoryRecord
from hf_gate.core.stored_rows import RequestRow
from hf_gate.store.store import Store

_ENTRIES: Final = 200  # the latest of a request that are read


def history_records(
    store: Store,
    attempts: Sequence[RequestRow],
    *,
    quotes_notes: bool = True,
    format_time: Callable[[int], str] | None = None,
    zone: tzinfo,
) -> list[HistoryRecord]:
    """Return the records of the entries about these requests of one person, oldest first.

    A change and its outcome are one entry.
    """
    number = {attempt.id: attempt.state.attempt for attempt in attempts}
    rows = [row for ident in number for row in store.entries(request=ident, limit=_ENTRIES)]
    started: dict[tuple[int | None, str], int] = {}
    history: dict[int, HistoryRecord] = {}
    for row in sorted(rows, key=lambda row: row.id):
        event = decode_event(row.link.body)
        text = describe_event(event, row.private, format_time=format_time, zone=zone)
        if isinstance(event, NoteWritten) and not quotes_notes:
            text = str((row.private or {}).get("note", "a note"))
        elif isinstance(event, e.ChangeStarted):
            started[row.link.request, event.run] = row.id
        elif isinstance(event, e.ChangeSettled) and (first := started.pop((row.link.request, event.run), None)):
            text = _join_change(history.pop(first).text, event, text)
        history[row.id] = HistoryRecord(
            at=ms_to_iso(row.link.at),
            attempt=number[row.link.request or 0],
            kind=row.link.kind,
            actor=row.link.actor,
            text=text,
        )
    return list(history.values())


def _join_change(start: str, event: e.ChangeSettled, end: str) -> str:
    """Describe a change in one sentence: `pending to accepted, with the reason "..."`; an outcome other than done is
    added.
    """
    moved, _, more = start.partition(": started")
    outcome = "" if event.kind == OutcomeKind.DONE and event.how == "told" else f": {end.partition(': ')[2]}"
    return f"{moved}{outcome}{more}"


class LastTransition(Struct, frozen=True):
    """The change that gave a request its status.

    For a change on the Hub, `actor` is "outside" and `hub_user` is the account. `run_id`, `rule` and `before` (the
    status before; reset if there was no request) belong to our own change, and `reason` is what the person was sent.
    `is_first` means that the request had this status when first seen.
    """

    at: int  # ms
    actor: str
    hub_user: str | None = None
    run_id: str | None = None
    rule: str | None = None
    before: str | None = None
    reason: str | None = None
    is_first: bool = False

    @property
    def decided_by(self) -> tuple[str, str]:
        """Who decided, and the rule or the way."""
        if self.is_first:
            return "", "before the first sync"
        if self.run_id is None:
            return self.hub_user or "somebody", "outside the desk"
        return self.actor, f"rule {self.rule}" if self.rule not in ORIGIN_PHRASES else ""


def last_transition(store: Store, row: RequestRow) -> LastTransition | None:
    """Return the last transition from the latest 200 ledger entries; None if they do not contain it."""
    settled: LastTransition | None = None
    for entry in store.entries(request=row.id, limit=_ENTRIES) if row.id > 0 else ():
        event = e.decode_event(entry.link.body)
        link = entry.link
        match event:
            case e.ChangeStarted() if settled is not None and event.run == settled.run_id:
                reason = (entry.private or {}).get("reason")
                return replace(
                    settled,
                    rule=event.rule,
                    before=event.before or Status.RESET,
                    reason=reason if isinstance(reason, str) else None,
                )
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
