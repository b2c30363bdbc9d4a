"""How much the shipped examples decide without a person, on the generator's worlds."""

from __future__ import annotations

from collections.abc import Iterator

from .automation_rate import AIMS, measure
from .results import Row
from .sizes import Sizes


def touch(sizes: Sizes) -> Iterator[Row]:
    """A row for each kind of world."""
    for preset, aim in AIMS.items():
        found = measure(preset, sizes.touched)
        enough = sizes.touched >= 10_000
        yield Row(
            f"touch-{preset}", f"decided without a person by the example `{preset}`, of {found.total:,} pending",
            f"{found.rate:.2%}, {found.bad_accepts} accepts that the oracle calls bad",
            aim=f">= {aim:.0%}, 0", reached=(found.rate >= aim and not found.bad_accepts) if enough else None,
        )  # fmt: skip
