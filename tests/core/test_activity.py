"""Weeks begin on Monday, and a histogram of waits answers within 12 percent."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.timestamps import from_ms
from hf_gate.core.events.activity import (
    LAST_BUCKET,
    bucket_wait,
    wait_bucket,
    wait_quantile,
    weekday_of,
)


@given(st.integers(0, 4_000_000_000_000))
def test_the_day_of_the_week_is_that_of_the_calendar(at: int) -> None:
    assert weekday_of(at) == from_ms(at).weekday()


@given(st.integers(60_000, 400_000_000_000))
def test_the_wait_of_a_bucket_is_within_12_percent_of_every_wait_in_it(wait: int) -> None:
    assert abs(bucket_wait(wait_bucket(wait)) / wait - 1) < 0.121


@given(st.integers(-1000, 10**15))
def test_every_wait_has_a_bucket(wait: int) -> None:
    assert 0 <= wait_bucket(wait) <= LAST_BUCKET


@given(st.lists(st.integers(60_000, 10**10), min_size=1), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_near_that_of_the_single_waits(waits: list[int], share: float) -> None:
    exact = sorted(waits)[-(-len(waits) * round(share * 100) // 100) - 1]
    found = wait_quantile(Counter(map(wait_bucket, waits)), share)
    assert found is not None
    assert abs(found / exact - 1) < 0.121


def test_without_waits_there_is_no_quantile() -> None:
    assert wait_quantile({}, 0.5) is None
