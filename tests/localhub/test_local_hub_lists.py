"""The lists of the local Hub: pages, times, search, hidden fields, and the cost of any page."""

from __future__ import annotations

import pytest

from tests.kits.local_hubs import ACCESS, LocalHubKit, read_error


@pytest.fixture
def kit() -> LocalHubKit:
    return LocalHubKit()


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
