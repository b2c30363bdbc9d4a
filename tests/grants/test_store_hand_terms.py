"""The terms of acceptances by hand are stored with the verdict, in SQLite and PostgreSQL, and counted for a selection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.events.events import (
    LedgerEntry,
    VerdictReached,
    decode_event,
    encode_event,
)
from hf_gate.core.people.grants import GrantTerms
from hf_gate.core.people.hand_terms import HandTerms, TermsKind
from hf_gate.core.stored_rows import SelectionScope
from hf_gate.requests.rows.selections import count_selection_buckets, select_requests
from hf_gate.store.store import Store
from hf_gate.store.writing.state_columns import decode_hand_terms, encode_hand_terms
from tests.kits.stores import EEG, record, store, store_records
from tests.kits.stores import sqlite_place as place

__all__ = ["place", "store"]
YEAR = HandTerms(TermsKind.END, "1y", "reject", "eeg/signed", digest="d" * 64)
UNKNOWN = HandTerms(TermsKind.UNKNOWN, missing=("person.models", "tables.dua.expires"))


def _reach(store: Store, ident: int, terms: HandTerms | None) -> None:
    event = VerdictReached(action="human", rule="rest", policy="eeg", digest="e" * 64, hand_terms=terms)
    with store.writing() as write:
        write.append(EEG, [LedgerEntry(event=event, at=3, actor="policy:eeg", request=ident)])


def test_terms_come_back_with_the_verdict_and_are_counted_for_a_selection(store: Store) -> None:
    idents = store_records(store, EEG, [record(n) for n in range(5)])
    for ident, terms in zip(idents, (YEAR, YEAR, UNKNOWN, None), strict=False):
        _reach(store, ident, terms)
    rows = store.requests(idents)
    assert [rows[ident].state.hand_terms for ident in idents] == [YEAR, YEAR, UNKNOWN, None, None]
    select_requests(store, "b_one", "m", idents, 5)
    repo = store.repo(EEG)
    assert repo is not None
    buckets = count_selection_buckets(store, SelectionScope("b_one", ("pending",), (repo.id,), ()))
    assert {(one.n, one.action, one.terms) for one in buckets} == {
        (2, "human", YEAR), (1, "human", UNKNOWN), (1, "human", None), (1, None, None),
    }  # fmt: skip
    _reach(store, idents[0], None)
    assert store.requests(idents[:1])[idents[0]].state.hand_terms is None


@given(
    st.builds(
        HandTerms,
        st.sampled_from(TermsKind),
        st.none() | st.text(max_size=20),
        st.sampled_from((None, "reset", "reject", "human")),
        st.none() | st.text(max_size=20),
        st.lists(st.text(max_size=10), max_size=3).map(tuple),
        st.none() | st.just("d" * 64),
        st.none() | st.just(GrantTerms(until=("tables.dua.expires",))),
    )
)
def test_terms_survive_the_store_and_the_ledger_without_their_document(terms: HandTerms) -> None:
    kept = terms.without_document
    assert kept.token == terms.token
    assert kept.document is None
    assert decode_hand_terms(encode_hand_terms(kept)) == kept
    event = VerdictReached(action="human", rule="rest", hand_terms=kept)
    assert decode_event(encode_event(event)) == event
