"""What happened to a request, entry by entry, the latest first: what the desk did, what was done outside, notes apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..domain.events import ChangeSettled, ChangeStarted, EventKind, StatusMoved, event_of
from ..domain.moments import from_ms, iso
from ..domain.outcomes import OutcomeKind
from ..domain.rows import LedgerRow, RequestRow
from ..domain.story import sentence
from . import words
from .request_context import RequestContext

_ENTRIES = 200  # of one attempt


@dataclass(frozen=True, slots=True)
class Happened:
    """One entry of the history. `is_outside`: not by this desk."""

    at: str
    at_iso: str
    text: str
    actor: str
    kind: str
    is_outside: bool
    attempt: int


def history_of(context: RequestContext, attempts: Sequence[RequestRow]) -> list[Happened]:
    """Every entry about these attempts, the latest first."""
    number = {one.id: one.state.attempt for one in attempts}
    found = [row for attempt in attempts for row in context.workspace.store.entries(request=attempt.id, limit=_ENTRIES)]
    began = {key: row for row in found if (key := _begun(row)) is not None}
    told = []
    for row in sorted(found, key=lambda row: row.id, reverse=True):
        event, at = event_of(row.link.body), from_ms(row.link.at)
        private = None if context.masks else row.private
        if row.link.kind == EventKind.NOTE_WRITTEN:
            text = str((private or {}).get("note", "a note"))
        elif isinstance(event, ChangeSettled) and (first := began.pop((row.link.request, event.run), None)):
            text = _whole(sentence(event_of(first.link.body), None if context.masks else first.private), event, private)
        elif isinstance(event, ChangeStarted) and (row.link.request, event.run) not in began:
            continue  # told with what became of it
        else:
            text = sentence(event, private)
        told.append(
            Happened(
                words.when(at, context.workspace.zone, context.now),
                iso(at),
                text,
                row.link.actor,
                row.link.kind,
                isinstance(event, StatusMoved),
                number.get(row.link.request or 0, 1),
            )
        )
    return told


def _begun(row: LedgerRow) -> tuple[int | None, str] | None:
    """Which change of a request an entry begins."""
    event = event_of(row.link.body)
    return (row.link.request, event.run) if isinstance(event, ChangeStarted) else None


def _whole(begun: str, event: ChangeSettled, private: Mapping[str, object] | None) -> str:
    """A change in one sentence: `pending to accepted, with the reason "..."`, and what became of it unless it was done."""
    moved, _, more = begun.partition(": begun")
    came = (
        ""
        if event.kind == OutcomeKind.DONE and event.how == "told"
        else f": {sentence(event, private).partition(': ')[2]}"
    )
    return f"{moved}{came}{more}"
