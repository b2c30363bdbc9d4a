"""Measures how far the local clock is from the Hub's, by the Date header of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

WARN_ABOVE_S: Final = 60.0
"""Above this many seconds of skew, users are warned."""

MAX_TRUSTED_S: Final = 300.0
"""Above this many seconds of skew, no grant is ended by the local clock."""


def is_clock_off(skew: float | None) -> bool:
    """Return whether the clock is too far from the Hub's to end grants by it."""
    return skew is not None and abs(skew) > MAX_TRUSTED_S


def measure_skew(headers: Mapping[str, str], sent: float, received: float) -> float | None:
    """Return the smallest skew that an answer proves, in seconds; None without a usable Date header.

    A positive skew means that the Hub's clock is ahead. `sent` and `received` are local times: before the call, and
    when the headers of the answer arrived.
    """
    if "age" in headers:  # from a cache: the Date is the time when the answer was stored
        return None
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
        hub_time = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    if hub_time > received:
        return hub_time - received
    return min(0.0, hub_time + 1 - sent)  # a Date is truncated to the second
