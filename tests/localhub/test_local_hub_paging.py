"""A page of a list and a change of a status cost the same at any length of the list."""

from __future__ import annotations

from itertools import islice
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hf_gate.core.lifecycle import Status
from hf_gate.localhub.handlers import lists as handlers_lists
from hf_gate.localhub.handlers.lists import ListQuery, read_list_page
from hf_gate.localhub.records import HubAccount, StoredRequest, newest_first, sort_key, sort_requests
from hf_gate.localhub.world import World
from tests.kits.local_hubs import PENDING, LocalHubKit

WHO = HubAccount("a" * 24, "who")
TIMES = st.integers(0, 12)


def _row(asked_ms: int, number: int) -> StoredRequest:
    return StoredRequest(f"{number:024x}", WHO, PENDING, asked_ms)


class SortedLists(RuleBasedStateMachine):
    """The model is a plain list that is sorted for each comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = [_row(n % 5, n) for n in range(7)]
        self.rows = sort_requests(self.plain)
        self.made = len(self.plain)

    @rule(asked_ms=TIMES)
    def enter(self, asked_ms: int) -> None:
        self.made += 1
        row = _row(asked_ms, self.made * 7919 % 1000 * 1000 + self.made)  # unordered ids
        self.plain.append(row)
        self.rows.add(row)

    @rule(which=st.integers(0, 10_000))
    def leave(self, which: int) -> None:
        if self.plain:
            self.rows.remove(self.plain.pop(which % len(self.plain)))

    @rule(asked_ms=TIMES, of_a_row=st.booleans(), which=st.integers(0, 10_000))
    def look_down(self, asked_ms: int, which: int, *, of_a_row: bool) -> None:
        below = sort_key(self.plain[which % len(self.plain)]) if of_a_row and self.plain else (asked_ms, "")
        wanted = sorted((row for row in self.plain if sort_key(row) < below), key=sort_key, reverse=True)
        assert list(newest_first(self.rows, below)) == wanted

    @invariant()
    def is_the_plain_list(self) -> None:
        wanted = sorted(self.plain, key=sort_key)
        assert list(self.rows) == wanted
        assert list(newest_first(self.rows)) == wanted[::-1]
        assert len(self.rows) == len(wanted)


TestSortedLists = SortedLists.TestCase


# ---- cost ---------------------------------------------------------------------------------------------------------------


class _Watched:
    """Counts how often a row is read: its time, which every sort reads, or its account."""

    looked_at = 0


class _WatchedRow(StoredRequest):
    def __getattribute__(self, name: str) -> object:
        if name in {"asked_ms", "account"}:
            _Watched.looked_at += 1
        return super().__getattribute__(name)


def _large(count: int) -> tuple[World, LocalHubKit]:
    kit = LocalHubKit()
    rows = []
    for n in range(count):
        account = kit.world.add_account(HubAccount(f"{n:024x}", f"{'abcdefghij'[n % 10]}{n:06}"))
        rows.append(_WatchedRow(f"{n + count:024x}", account, PENDING, 1000 + n))
    kit.world.load_requests(kit.gated, rows)
    kit.world.find_accounts_by_prefix("")
    return kit.world, kit


# ---- search by name -----------------------------------------------------------------------------------------------------


def test_a_search_finds_the_same_by_name_and_by_looking_at_everybody() -> None:
    """`q` has two implementations; the second serves lists that a fault shows with a lag."""
    world, kit = _large(500)
    rng = Random(7)
    for row in rng.sample(list(kit.gated.requests.values()), 200):
        kit.decide(row.account.username, rng.choice(["accepted", "rejected", "pending"]))
    for prefix in ("a", "a0", "b00011", "zz", "j000"):
        for status in (PENDING, Status.ACCEPTED):
            for wanted in (ListQuery(1000, prefix=prefix), ListQuery(7, (1400, ""), prefix=prefix, after_ms=1100)):
                every = (row for row in handlers_lists.read_all_rows(world, kit.gated) if row.status is status)
                fit = [
                    r
                    for r in every
                    if handlers_lists._is_match(r, wanted) and sort_key(r) < (wanted.after_row or (9e9, ""))
                ]
                assert read_list_page(world, kit.gated, status, wanted).rows == fit[: wanted.limit]


def test_new_and_renamed_people_are_found_by_their_current_name() -> None:
    world, kit = _large(300)
    mia = world.add_account(HubAccount("f" * 24, "Mia"))
    assert world.find_accounts_by_prefix("mi") == [mia]
    world.rename_account(mia, "nora")
    assert (world.find_accounts_by_prefix("mi"), world.find_accounts_by_prefix("nora")) == ([], [mia])
    assert (world.find_user("mia"), world.find_user("NORA")) == (None, mia)
    for n in range(250):
        world.add_account(HubAccount(f"{n + 9000:024x}", f"Mia-{n}"))
    assert len(world.find_accounts_by_prefix("mia-")) == 250
    assert list(islice(kit.gated.lists[PENDING], 2)) == list(kit.gated.people.values())[:2]
