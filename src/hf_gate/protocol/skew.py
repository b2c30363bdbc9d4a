"""How far a clock is from the Hub's, as the Date of an answer proves it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

WARN_ABOVE_S: Final = 60.0
"""Seconds by which clocks may differ before people are told."""

MAX_TRUSTED_S: Final = 300.0
"""Seconds by which clocks may differ before nothing is ended any more because its time is over."""


def is_clock_off(skew: float | None) -> bool:
    """Whether a clock is too far from the Hub's to end a grant by it."""
    return skew is not None and abs(skew) > MAX_TRUSTED_S


def measure_skew(headers: Mapping[str, str], sent: float, heard: float) -> float | None:
    """Seconds that the Hub's clock is ahead of ours (behind: negative), no more than is certain; None: not told.

    `sent` and `heard`: our clock before the call, and when the headers of its answer were there.
    """
    if "age" in headers:  # a cache on the way kept it, with the date of that time
        return None
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
        told = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    if told > heard:
        return told - heard
    return min(0.0, told + 1 - sent)  # a Date is cut to the second
