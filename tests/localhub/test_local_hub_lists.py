"""The lists of the local Hub: pages, times, search, hidden fields, and the cost of any page."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from hf_gate.localhub.http_messages import HttpResponse, ReadView
from tests.kits.local_hubs import ACCESS, LocalHubKit, read_error


@pytest.fixture
def kit() -> LocalHubKit:
    return LocalHubKit()


def _next(answered: HttpResponse) -> str | None:
    link = answered.headers.get("Link")
    return None if link is None else link.partition(">")[0].removeprefix("<http://hub.test")


def _pages(kit: LocalHubKit, path: str, view: ReadView) -> list[list[dict[str, Any]]]:
    pages, there = [], path
    while there:
        answered = kit.call("GET", there, view=view)
        pages.append(json.loads(answered.body))
        there = _next(answered) or ""
    return pages


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_pages_hold_everybody_once(kit: LocalHubKit, *, tied: bool, shuffled: bool) -> None:
    rows = kit.add_pending(45, tied=tied)
    pages = _pages(kit, f"{ACCESS}/pending?limit=10", ReadView(is_shuffled=shuffled))
    assert [len(page) for page in pages] == [10, 10, 10, 10, 5]
    seen = [row["requestId"] for page in pages for row in page]
    assert sorted(seen) == sorted(row.id for row in rows)
    if not shuffled:
        times = [row["timestamp"] for page in pages for row in page]
        assert all(a >= b for a, b in pairwise(times))


def test_times_are_exclusive_and_q_is_a_prefix_of_the_username(kit: LocalHubKit) -> None:
    kit.add_pending(20)
    kit.now_ms += 60_000
    kit.ask("Cleo")
    names = [row["user"]["user"] for row in kit.list_rows("pending", "?before=2026-09-21T14:13:23.000Z")]
    assert names == ["person-0002", "person-0001", "person-0000"]
    names = [row["user"]["user"] for row in kit.list_rows("pending", "?after=2026-09-21T14:13:37.000Z&q=PERSON")]
    assert names == ["person-0019", "person-0018"]
    assert [row["user"]["user"] for row in kit.list_rows("pending", "?q=cL")] == ["Cleo"]
    assert kit.list_rows("pending", "?q=leo") == []


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
def test_an_invalid_query_lists_its_problems(kit: LocalHubKit, query: str, message: str) -> None:
    assert read_error(kit.call("GET", f"{ACCESS}/pending?{query}")) == (400, message, None)
