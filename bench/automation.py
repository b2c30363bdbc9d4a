"""Measures how many requests the shipped example policies decide without a person, in generated worlds."""

from __future__ import annotations

from collections.abc import Iterator

from .automation_rate import TARGETS, measure
from .results import Row
from .sizes import Sizes


def measure_automation(sizes: Sizes) -> Iterator[Row]:
    """Return a row for each preset."""
    for preset, aim in TARGETS.items():
        found = measure(preset, sizes.touched)
        enough = sizes.touched >= 10_000
        yield Row(
            f"touch-{preset}", f"decided without a person by the example `{preset}`, of {found.total:,} pending",
            f"{found.rate:.2%}, {found.bad_accepts} accepts that the oracle would reject",
            target=f">= {aim:.0%}, 0", is_met=(found.rate >= aim and not found.bad_accepts) if enough else None,
        )  # fmt: skip
