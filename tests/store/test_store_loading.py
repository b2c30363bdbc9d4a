"""A large load: every text of it is found, and nothing of one that fails."""

from __future__ import annotations

from hf_gate.requests.query_parser import parse_query
from hf_gate.store.store import Store
from tests.kits.stores import EEG, place, record, store, store_records

__all__ = ["place", "store"]


_LARGE = 4_300  # requests in one transaction: four parts that are written early, and a rest


def _found(store: Store, text: str) -> list[str | None]:
    rows = store.query(parse_query(text), now=0, limit=10).rows
    return [row.person.identity.username for row in rows]


def test_every_text_of_a_large_load_is_found_also_when_it_changed_within_the_load(store: Store) -> None:
    again = record(7, day=2, email="new@address.example", answers={"Use": "robot-7"})
    records = [record(n, day=2, answers={"Use": f"robot-{n}"}) for n in range(_LARGE)]
    store_records(store, EEG, [*records, again])
    for number in (0, 1_999, 2_000, _LARGE - 1):
        assert _found(store, f"user{number}@example.org") == [f"user{number}"]
        assert _found(store, f'form."Use":robot-{number}') == [f"user{number}"]
    assert (_found(store, "new@address"), _found(store, "user7@example.org")) == (["user7"], [])
    if store.reads.is_sqlite:
        assert store.reads.row("SELECT count(*) FROM grams WHERE grams MATCH '\"7@e\"'") == (429,)  # not the old one
