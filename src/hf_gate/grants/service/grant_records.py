"""Reads the terms of grants for output records: ends and conditions of `keep_while`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Final

from hf_gate.base.batches import split_into_batches
from hf_gate.base.timestamps import format_distance, from_ms, ms_to_iso
from hf_gate.core.events.event_descriptions import ORIGIN_PHRASES
from hf_gate.core.events.request_state import RequestState
from hf_gate.core.lifecycle import AT_END, Status
from hf_gate.core.people.grants import GrantTerms, format_last_day
from hf_gate.core.records import GrantRecord
from hf_gate.core.stored_rows import RequestRow
from hf_gate.grants.rows import read_terms
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
    return f"{words}, then {AT_END[state.at_end or 'reset']}{rule}"
