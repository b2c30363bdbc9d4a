"""Reads the terms of grants for output records: ends and conditions of `keep_while`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Final

from hf_gate.base.batches import split_into_batches
from hf_gate.base.timestamps import HOUR_MS, format_distance, from_ms, ms_to_iso, to_ms
from hf_gate.core.events.event_descriptions import ORIGIN_PHRASES
from hf_gate.core.events.request_state import RequestState
from hf_gate.core.lifecycle import AT_END, Status
from hf_gate.core.people.grants import GrantTerms, format_last_day
from hf_gate.core.records import GrantEndRecord, GrantRecord
from hf_gate.core.stored_rows import RequestRow
from hf_gate.grants.rows import read_set_ends, read_terms
from hf_gate.store.store import Store

_CHUNK: Final = 500  # requests whose terms are read together


def pair_with_grants(store: Store, rows: Iterable[RequestRow]) -> Iterator[tuple[RequestRow, GrantRecord | None]]:
    """Iterate over requests with the record of the access that each gives now; None if it gives none."""
    for chunk in split_into_batches(rows, _CHUNK):
        accepted = [row for row in chunk if row.state.status == Status.ACCEPTED]
        terms = read_terms(store, {row.state.terms for row in accepted if row.state.terms is not None})
        for row in chunk:
            yield row, build_grant_record(row.state, terms)


def build_grant_record(state: RequestState, terms: Mapping[str, GrantTerms]) -> GrantRecord | None:
    """Return the record of an access from the state of its request. `terms` are known terms by their digest."""
    if state.status != Status.ACCEPTED:
        return None
    own = terms.get(state.terms or "")
    return GrantRecord(
        ends_at=ms_to_iso(state.ends_at),
        until=ms_to_iso(state.until),
        lapses_at=ms_to_iso(state.lapses_at),
        keep_while=() if own is None else tuple(condition.expr for condition in own.keep_while),
        at_end=state.at_end,
        rule=state.until_rule,
    )


def iterate_ends(store: Store, rows: Iterable[RequestRow], now: datetime) -> Iterator[GrantEndRecord]:
    """Iterate over the records of the ends of these requests, each with the person who chose it."""
    for chunk in split_into_batches(rows, _CHUNK):
        chosen = read_set_ends(store, [row.id for row in chunk if row.state.has_end_by_person])
        for row in chunk:
            yield grant_end_record(row, now, chosen[row.id].by if row.id in chosen else None)


def grant_end_record(row: RequestRow, now: datetime, by: str | None = None) -> GrantEndRecord:
    """Return the record of the end of a stored request's access. `by` is the person who chose it."""
    known = row.person.identity
    state = row.state
    late = 0 if state.ends_at is None else max(0, to_ms(now) - state.ends_at)
    return GrantEndRecord(
        ends_at=ms_to_iso(state.ends_at),
        until=ms_to_iso(state.until),
        lapses_at=ms_to_iso(state.lapses_at),
        late_hours=late // HOUR_MS,
        user=known.username,
        user_id=known.user_id,
        request_id=state.hub_request,
        repo=row.repo.id,
        repo_type=row.repo.type,
        at_end=state.at_end,
        rule=state.until_rule,
        is_chosen=state.has_end_by_person,
        by=by,
        is_undecided=row.evaluation.is_undecided,
    )


def describe_access_end(row: RequestRow, now: datetime, zone: tzinfo) -> str:
    """Describe the end of an access: `access until 26 Nov 2027 (in 12 mo), then sent back, by rule eeg/signed`."""
    state = row.state
    if state.ends_at is None:
        return "access lasts while its conditions hold" if state.terms else "access has no end"
    end = from_ms(state.ends_at)
    words = f"access until {format_last_day(end, zone)} ({format_distance(end, now)})"
    if row.evaluation.is_undecided:
        words = f"access stays while a condition is unknown; if it is false, {words}"
    elif state.ends_at == state.lapses_at:
        words += ", because a condition is false"
    rule = "" if state.until_rule in ORIGIN_PHRASES else f", by rule {state.until_rule}"
    rule = ", chosen by a person" if state.has_end_by_person else rule
    return f"{words}, then {AT_END[state.end_action]}{rule}"
