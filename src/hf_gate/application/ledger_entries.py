"""Reads single entries of the ledger, groups similar ones, and builds their records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ..domain import events as e
from ..domain.display_text import pluralize
from ..domain.event_descriptions import describe_event
from ..domain.events import NoteWritten, decode_event, kind_of
from ..domain.ledger import WORKSPACE_CHAIN, LedgerLink, SealedEntry, repo_of_chain
from ..domain.lifecycle import Status
from ..domain.outcomes import OutcomeKind
from ..domain.rows import RequestRow
from ..domain.timestamps import ms_to_iso
from ..store.store import Store
from .records import AuditRecord, HistoryRecord

_ENTRIES: Final = 200  # the latest of a request that are read
_SENTENCES: Final = 3  # sentences shown for one group
_MIN_GROUP: Final = 4  # fewer similar entries in a row are not grouped
_MAX_GROUP: Final = 1000  # the most entries in one group
_MODELS: Final = "models/"
T = TypeVar("T")


def read_entry(store: Store, chain: str, seq: int) -> SealedEntry | None:
    """Return one entry with its private part; None if the chain has no entry with that number."""
    found = next(store.links_with_private_parts(chain, seq), None) if seq > 0 else None
    return found if found is not None and found.link.seq == seq else None


def name_of_entry(link: LedgerLink) -> str:
    """Return the name of an entry as used in commands: `datasets/ns/name#12`, or `ns/name#12` for a model."""
    return f"{link.chain.removeprefix(_MODELS)}#{link.seq}"


def parse_entry_name(text: str) -> tuple[str, int] | None:
    """Return the chain and the number in the name of an entry; None if the text is not such a name."""
    chain, hash_sign, seq = text.strip().rpartition("#")
    if not hash_sign or not seq.isdecimal() or len(seq) > 15:
        return None
    plain = chain == WORKSPACE_CHAIN or chain.startswith((_MODELS, "datasets/"))
    return (chain if plain else f"{_MODELS}{chain}", int(seq)) if chain else None


# ---- groups ----------------------------------------------------------------------------------------------------------


def group_similar(items: Iterable[T], key: Callable[[T], object]) -> Iterator[list[T]]:
    """Yield consecutive items with the same key as one group, and each item alone if fewer than four have the key."""
    for _, some in groupby(items, key):
        while part := list(islice(some, _MAX_GROUP)):
            if len(part) < _MIN_GROUP:
                yield from ([one] for one in part)
            else:
                yield part


def group_key(link: LedgerLink) -> tuple[object, ...]:
    """Return the key that similar entries share: the same chain, kind, actor and run.

    Notes, and entries that are not about a request, have unique keys.
    """
    if link.request is None or link.kind == kind_of(NoteWritten):
        return link.chain, link.seq
    return link.chain, link.kind, link.actor, body_of_entry(link).get("run")


def summarize_group(links: Sequence[LedgerLink]) -> str:
    """Return the most common sentences of a group with their counts: `218 times: to pending: done`."""
    counts = Counter(text_of_entry(link, None) for link in links)
    first = counts.most_common(_SENTENCES)
    rest = len(links) - sum(count for _, count in first)
    lines = [f"{pluralize(count, 'time')}: {text}" for text, count in first]
    return "; ".join(lines) + (f"; {rest:,} others" if rest else "")


# ---- records ---------------------------------------------------------------------------------------------------------


def audit_record(link: LedgerLink, private: Mapping[str, object] | None = None) -> AuditRecord:
    """Return the record of an entry. Private data appears only in `text`."""
    repo = repo_of_chain(link.chain)
    return AuditRecord(
        id=name_of_entry(link),
        at=ms_to_iso(link.at),
        kind=link.kind,
        actor=link.actor,
        repo=None if repo is None else repo.id,
        repo_type=None if repo is None else repo.type,
        request=link.request,
        text=text_of_entry(link, private),
        body=body_of_entry(link),
    )


def history_records(
    store: Store,
    attempts: Sequence[RequestRow],
    members: Mapping[str, str],
    *,
    is_masked: bool = False,
    quotes_notes: bool = True,
    format_time: Callable[[int], str] | None = None,
) -> list[HistoryRecord]:
    """Return the records of the entries about these requests of one person, oldest first.

    A change and its outcome are one entry. `members` are the names of members by id; the ledger holds only ids.
    """
    number = {attempt.id: attempt.state.attempt for attempt in attempts}
    rows = [row for ident in number for row in store.entries(request=ident, limit=_ENTRIES)]
    started: dict[tuple[int | None, str], int] = {}
    history: dict[int, HistoryRecord] = {}
    for row in sorted(rows, key=lambda row: row.id):
        event = decode_event(row.link.body)
        private = None if is_masked else row.private
        text = describe_event(event, private, format_time=format_time, members=members)
        if isinstance(event, NoteWritten) and not quotes_notes:
            text = str((private or {}).get("note", "a note"))
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


def text_of_entry(link: LedgerLink, private: Mapping[str, object] | None) -> str:
    """Return the sentence that describes an entry."""
    try:
        return describe_event(decode_event(link.body), private)
    except ValueError:
        return "this version cannot read it"


def body_of_entry(link: LedgerLink) -> Mapping[str, object]:
    """Return the public part of an entry without its kind."""
    try:
        body = json.loads(link.body)
    except ValueError:
        return {"unreadable": link.body.decode("utf-8", "replace")}
    if not isinstance(body, dict):
        return {"unreadable": body}
    return {key: value for key, value in body.items() if key != "type"}


# ---- last transition -------------------------------------------------------------------------------------------------


class LastTransition(Struct, frozen=True):
    """The change that gave a request its status.

    For a change on the Hub, `actor` is "outside" and `hub_user` is the account. `run_id`, `rule` and `before` (the
    status before; reset if there was no request) belong to our own change. `is_first` means that the request had this
    status when first seen.
    """

    at: int  # ms
    actor: str
    hub_user: str | None = None
    run_id: str | None = None
    rule: str | None = None
    before: str | None = None
    is_first: bool = False


def last_transition(store: Store, row: RequestRow) -> LastTransition | None:
    """Return the last transition from the latest 200 ledger entries; None if they do not contain it."""
    settled: LastTransition | None = None
    for entry in store.entries(request=row.id, limit=_ENTRIES) if row.id > 0 else ():
        event = e.decode_event(entry.link.body)
        link = entry.link
        match event:
            case e.ChangeStarted() if settled is not None and event.run == settled.run_id:
                return replace(settled, rule=event.rule, before=event.before or Status.RESET)
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
