"""Selections and their weighing are the same in both databases: everybody once, each left out by the first reason that holds."""

from __future__ import annotations

from datetime import UTC

from hf_gate.core.stored_rows import GONE, OWN, PROTECTED, SelectionScope
from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.rows.selections import (
    count_left_out,
    count_selected_by_quality,
    count_selection_buckets,
    find_selection_owner,
    iterate_ready_requests,
    leave_out_by_quality,
    leave_out_requests,
    put_back_left_out,
    select_matching_requests,
)
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, place, read_selected, record, store_records

__all__ = ["place"]
AT = 1_900_000_000_000


def test_what_is_selected_by_a_query_is_weighed_where_it_lies(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        store_records(store, EEG, [record(n) for n in range(30)])
        repo = store.repo(EEG)
        assert repo is not None
        select_matching_requests(store, "b_x", "lena", parse_query("status:pending"), AT, UTC)
        everybody = set(read_selected(store, "b_x"))
        assert everybody == {row.id for row in store.iterate_requests(EEG, "pending")}
        one = store.request(min(everybody))
        assert one is not None
        own = one.person.identity.username or ""
        aim = SelectionScope("b_x", {"pending"}, [repo.id], {own.lower()})
        found = {heap.why: heap.n for heap in count_selection_buckets(store, aim)}
        assert found == {"": len(everybody) - 1, OWN: 1}
        parts = list(iterate_ready_requests(store, aim, 7))
        assert [len(part) for part in parts[:-1]] == [7] * (len(parts) - 1)
        assert sorted(everybody - {one.id}) == [ident for part in parts for ident in part]
        leave_out_requests(store, "b_x", [min(everybody - {one.id}), 10**9])
        assert count_left_out(store, "b_x") == 1
        assert find_selection_owner(store, "b_x-out") == "lena"
        put_back_left_out(store, "b_x")
        assert (count_left_out(store, "b_x"), set(read_selected(store, "b_x"))) == (0, everybody)
        with store.writing() as write:
            write.db.run("UPDATE requests SET quality = CASE WHEN id % 3 = 0 THEN 'good' ELSE 'junk' END")
        good = {ident for ident in everybody - {one.id} if ident % 3 == 0}
        assert count_selected_by_quality(store, aim, ["good"]) == len(good)
        assert count_selected_by_quality(store, aim, ["good", "junk"]) == len(everybody) - 1
        leave_out_by_quality(store, aim, ["good"])
        assert set(read_selected(store, "b_x")) == everybody - good
        put_back_left_out(store, "b_x")
        assert {
            h.why for h in count_selection_buckets(store, SelectionScope("b_x", {"accepted"}, [repo.id], {""}))
        } == {"status pending"}
        assert {h.why for h in count_selection_buckets(store, SelectionScope("b_x", {"pending"}, [], {""}))} == {GONE}
        protected = count_selection_buckets(store, SelectionScope("b_x", {"pending"}, [repo.id], {""}, [own]))
        assert sum(h.n for h in protected if h.why == PROTECTED) == 1
