"""The lists of the local Hub: pages, times, search, what is hidden, and the same at any depth."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from hf_gate.localhub.wire import HttpResponse, ReadView
from tests.contract.local_hub_kit import ACCESS, Bench, error


@pytest.fixture
def bench() -> Bench:
    return Bench()


def _next(answered: HttpResponse) -> str | None:
    link = answered.headers.get("Link")
    return None if link is None else link.partition(">")[0].removeprefix("<http://hub.test")


def _pages(bench: Bench, path: str, view: ReadView) -> list[list[dict[str, Any]]]:
    pages, there = [], path
    while there:
        answered = bench.call("GET", there, view=view)
        pages.append(json.loads(answered.body))
        there = _next(answered) or ""
    return pages


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_pages_hold_everybody_once(bench: Bench, *, tied: bool, shuffled: bool) -> None:
    rows = bench.crowd(45, tied=tied)
    pages = _pages(bench, f"{ACCESS}/pending?limit=10", ReadView(is_shuffled=shuffled))
    assert [len(page) for page in pages] == [10, 10, 10, 10, 5]
    seen = [row["requestId"] for page in pages for row in page]
    assert sorted(seen) == sorted(row.id for row in rows)
    if not shuffled:
        times = [row["timestamp"] for page in pages for row in page]
        assert all(a >= b for a, b in pairwise(times))


def test_a_decision_between_two_pages_neither_skips_nor_repeats_the_others(bench: Bench) -> None:
    bench.crowd(30)
    first = bench.call("GET", f"{ACCESS}/pending?limit=10")
    for row in json.loads(first.body):
        bench.decide(row["user"]["user"], "accepted")
    second = json.loads(bench.call("GET", str(_next(first))).body)
    assert [row["user"]["user"] for row in second] == [f"person-{n:04}" for n in range(19, 9, -1)]


def test_times_are_exclusive_and_q_is_a_prefix_of_the_username(bench: Bench) -> None:
    bench.crowd(20)
    bench.now_ms += 60_000
    bench.ask("Cleo")
    names = [row["user"]["user"] for row in bench.listed("pending", "?before=2026-09-21T14:13:23.000Z")]
    assert names == ["person-0002", "person-0001", "person-0000"]
    names = [row["user"]["user"] for row in bench.listed("pending", "?after=2026-09-21T14:13:37.000Z&q=PERSON")]
    assert names == ["person-0019", "person-0018"]
    assert [row["user"]["user"] for row in bench.listed("pending", "?q=cL")] == ["Cleo"]
    assert bench.listed("pending", "?q=leo") == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=5", "✖ Too small: expected number to be >=10\n  → at limit"),
        ("limit=1001", "✖ Too big: expected number to be <=1000\n  → at limit"),
        ("limit=x", "✖ Invalid input: expected number, received NaN\n  → at limit"),
        ("before=yesterday", "✖ Invalid ISO datetime\n  → at before"),
        ("cursor=%21", "✖ Invalid cursor\n  → at cursor"),
        (f"q={'x' * 251}", "✖ Too big: expected string to have <=250 characters\n  → at q"),
    ],
)
def test_a_wrong_query_is_named(bench: Bench, query: str, message: str) -> None:
    assert error(bench.call("GET", f"{ACCESS}/pending?{query}")) == (400, message, None)


def test_a_repo_can_hide_who_asks(bench: Bench) -> None:
    bench.ask("bea")
    bench.gated.hide_emails = True
    assert "email" not in bench.listed("pending")[0]["user"]
    bench.gated.hide_usernames = True
    (row,) = bench.listed("pending")
    assert "user" not in row
    assert bench.call("POST", f"{ACCESS}/handle", {"requestId": row["requestId"], "status": "accepted"}).status == 200


def test_a_hub_of_august_knows_no_reset_no_request_id_and_no_q(bench: Bench) -> None:
    bench.world.protocol = "2026-08"
    bench.ask("bea")
    (row,) = bench.listed("pending", "?q=zzz")
    assert "requestId" not in row
    wanted = '✖ Invalid option: expected one of "accepted"|"rejected"|"pending"\n  → at status'
    assert error(bench.decide("bea", "reset")) == (400, wanted, None)
    assert bench.call("GET", f"{ACCESS}/reset").status == 400
    neither = "✖ Either userId or user must be provided, but not both"
    answered = bench.call("POST", f"{ACCESS}/handle", {"requestId": "a" * 24, "status": "accepted"})
    assert error(answered) == (400, neither, None)
