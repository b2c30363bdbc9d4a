"""The shipped examples on generated worlds: how much they decide without a person, and whom they must not let in."""

from __future__ import annotations

import pytest

from bench.automation_rate import TARGETS, measure


@pytest.mark.parametrize("preset", TARGETS)
def test_a_shipped_example_decides_most_requests_and_lets_in_nobody_whom_the_oracle_calls_bad(preset: str) -> None:
    touch = measure(preset, requests=3_000, seed=11)
    assert touch.total > 1_500
    assert touch.bad_accepts == 0
    assert touch.rate >= TARGETS[preset]
