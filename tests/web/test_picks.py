"""Selections and their weighing are the same in both databases: everybody once, each left out by the first reason that holds."""

from __future__ import annotations

from datetime import UTC

from hf_gate.domain.query_parser import parse_query
from hf_gate.domain.rows import GONE, OWN, PROTECTED, SelectionScope
from hf_gate.store.opening import open_store
from hf_gate.store.plans import Plans
from hf_gate.store.runs import read_repos
from hf_gate.store.selections import Selections
from tests.kits.stores import EEG, ENDPOINT, place, read_selected, record, take

__all__ = ["place"]
AT = 1_900_000_000_000


def test_what_is_selected_by_a_query_is_weighed_where_it_lies(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        take(store, EEG, [record(n) for n in range(30)])
        picks, repo = Selections(store), store.repo(EEG)
        assert repo is not None
        picks.fill("b_x", "lena", parse_query("status:pending"), AT, UTC)
        everybody = set(read_selected(store, "b_x"))
        assert everybody == {row.id for row in store.iterate_requests(EEG, "pending")}
        one = store.request(min(everybody))
        assert one is not None
        own = one.person.identity.username or ""
        aim = SelectionScope("b_x", {"pending"}, [repo.id], {own.lower()})
        found = {heap.why: heap.n for heap in Selections(store).count_buckets(aim)}
        assert found == {"": len(everybody) - 1, OWN: 1}
        parts = list(Selections(store).iterate_ready(aim, 7))
        assert [len(part) for part in parts[:-1]] == [7] * (len(parts) - 1)
        assert sorted(everybody - {one.id}) == [ident for part in parts for ident in part]
        picks.leave_out("b_x", [min(everybody - {one.id}), 10**9])
        assert picks.count_left_out("b_x") == 1
        assert picks.find_owner("b_x-out") == "lena"
        picks.put_back("b_x")
        assert (picks.count_left_out("b_x"), set(read_selected(store, "b_x"))) == (0, everybody)
        with store.writing() as write:
            write.db.run("UPDATE requests SET quality = CASE WHEN id % 3 = 0 THEN 'good' ELSE 'junk' END")
        good = {ident for ident in everybody - {one.id} if ident % 3 == 0}
        assert picks.count_by_quality(aim, ["good"]) == len(good)
        assert picks.count_by_quality(aim, ["good", "junk"]) == len(everybody) - 1
        picks.leave_out_by_quality(aim, ["good"])
        assert set(read_selected(store, "b_x")) == everybody - good
        picks.put_back("b_x")
        assert {
            h.why for h in Selections(store).count_buckets(SelectionScope("b_x", {"accepted"}, [repo.id], {""}))
        } == {"status pending"}
        assert {h.why for h in Selections(store).count_buckets(SelectionScope("b_x", {"pending"}, [], {""}))} == {GONE}
        protected = Selections(store).count_buckets(SelectionScope("b_x", {"pending"}, [repo.id], {""}, [own]))
        assert sum(h.n for h in protected if h.why == PROTECTED) == 1


def test_what_is_kept_of_plans_is_found_and_goes_with_them(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        carried = Plans(store)
        for n in range(3):
            carried.store_plan(f"{n}" * 64, b"{}", AT + n, {"by": "lena", "changes": n})
        assert [row.about["changes"] for row in carried.list_plans()] == [2, 1, 0]
        assert carried.delete_plans(["1" * 64]) == 1
        assert carried.find_plan("1" * 64) is None
        assert len(carried.list_plans()) == 2
        assert store.count_changes("r_none") == {}
        assert store.changes("r_none", states=["done"], repos=[EEG]) == []
        assert read_repos(store, "r_none", ["planned"]) == []


def test_pages_of_many_are_full_also_when_few_of_them_can_be_decided(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        take(store, EEG, [record(n, "pending" if n % 40 == 0 else "accepted") for n in range(1200)])
        picks, repo = Selections(store), store.repo(EEG)
        assert repo is not None
        picks.fill("b_x", "lena", parse_query(""), AT, UTC)
        for status, count in (("accepted", 1170), ("pending", 30)):
            aim = SelectionScope("b_x", {status}, [repo.id], {"nobody"})
            found, after = list[int](), None
            while page := picks.list_by_age(aim, after, 400):
                found, after = [*found, *(ident for _, ident in page)], page[-1]
            rows = store.requests(found)
            assert len(found) == len(rows) == count
            assert {row.state.status for row in rows.values()} == {status}
            assert found == sorted(found, key=lambda ident: (rows[ident].state.asked_at, ident))


def test_what_another_selection_has_is_let_go_and_nothing_else(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        idents = take(store, EEG, [record(n) for n in range(6)])
        picks = Selections(store)
        picks.add("s_lena", "lena", idents[:4], AT)
        picks.add("b_x", "lena", idents[2:], AT)
        picks.remove_selected_in("s_lena", "b_x")
        assert list(read_selected(store, "s_lena")) == sorted(idents[:2])
        assert list(read_selected(store, "b_x")) == sorted(idents[2:])
