"""Converts times: milliseconds since 1970 in the store, ISO 8601 with `Z` in output."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, overload

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@overload
def to_ms(moment: datetime) -> int: ...
@overload
def to_ms(moment: None) -> None: ...
@overload
def to_ms(moment: datetime | None) -> int | None: ...
def to_ms(moment: datetime | None) -> int | None:
    """Return a time as milliseconds since 1970."""
    return None if moment is None else round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """Return milliseconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@overload
def to_iso(moment: datetime) -> str: ...
@overload
def to_iso(moment: None) -> None: ...
@overload
def to_iso(moment: datetime | None) -> str | None: ...
def to_iso(moment: datetime | None) -> str | None:
    """Return a time in UTC with milliseconds and `Z`."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@overload
def ms_to_iso(milliseconds: int) -> str: ...
@overload
def ms_to_iso(milliseconds: None) -> None: ...
@overload
def ms_to_iso(milliseconds: int | None) -> str | None: ...
def ms_to_iso(milliseconds: int | None) -> str | None:
    """Return milliseconds since 1970 as ISO 8601 in UTC."""
    return None if milliseconds is None else to_iso(from_ms(milliseconds))


def format_day(day: date) -> str:
    """Format a day in the same way in every locale: `26 Nov 2027`."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def format_span(length: timedelta) -> str:
    """Format a duration in one unit: `40 s`, `12 min`, `5 h`, `9 d`."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size, above in (("d", 86_400, 2 * 86_400), ("h", 3600, 2 * 3600), ("min", 60, 120)):
        if seconds >= above:
            return f"{seconds // size:,} {unit}"
    return f"{seconds} s"
