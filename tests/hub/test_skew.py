"""The skew of the clocks is measured by the Date of an answer, and never exceeds what the answer proves."""

from __future__ import annotations

import pytest

from hf_gate.hub.protocol.clock_skew import measure_skew

TOLD = {"date": "Wed, 25 Nov 2026 12:00:00 GMT"}
NOON = 1_795_608_000.0


@pytest.mark.parametrize(
    ("sent", "heard", "skew"),
    [
        (NOON, NOON + 0.2, 0.0),
        (NOON - 45, NOON + 45, 0.0),  # a slow answer: the Date can be any moment of it
        (NOON + 0.9, NOON + 1.1, 0.0),  # the Date is truncated to the second
        (NOON - 3700, NOON - 3600, 3600.0),
        (NOON + 3601, NOON + 3700, -3600.0),
    ],
)
def test_the_skew_is_the_least_that_an_answer_proves(sent: float, heard: float, skew: float) -> None:
    assert measure_skew(TOLD, sent, heard) == pytest.approx(skew)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"date": ""},
        {"date": "today"},
        {"date": "Wed, 99 Nov 2026 12:00:00 GMT"},
        {"date": "Wed, 25 Nov 99999999999 12:00:00 GMT"},
        {**TOLD, "age": "3600"},
    ],
)
def test_an_answer_without_its_own_date_gives_no_skew(headers: dict[str, str]) -> None:
    assert measure_skew(headers, NOON, NOON) is None
