"""The terms of acceptances by hand are stored with the verdict, in SQLite and PostgreSQL, and counted for a selection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.events.events import (
    VerdictReached,
    decode_event,
    encode_event,
)
from hf_gate.core.people.access_end import AccessEnd, HandTerms, TermsKind
from hf_gate.core.people.grants import GrantTerms
from hf_gate.store.writing.state_columns import decode_hand_terms, encode_hand_terms
from tests.kits.stores import sqlite_place as place
from tests.kits.stores import store

__all__ = ["place", "store"]


@given(
    st.builds(
        HandTerms,
        st.sampled_from(TermsKind),
        st.builds(
            AccessEnd,
            st.none() | st.text(max_size=20),
            st.sampled_from(("reset", "reject")),
            st.text(max_size=20),
            st.none() | st.just(GrantTerms(until=("tables.dua.expires",))),
        ),
        st.lists(st.text(max_size=10), max_size=3).map(tuple),
        st.none() | st.just("d" * 64),
    )
)
def test_terms_survive_the_store_and_the_ledger_without_their_document(terms: HandTerms) -> None:
    kept = terms.without_document
    assert kept.token == terms.token
    assert kept.end.terms is None
    assert decode_hand_terms(encode_hand_terms(kept)) == kept
    event = VerdictReached(action="human", rule="rest", hand_terms=kept)
    assert decode_event(encode_event(event)) == event
