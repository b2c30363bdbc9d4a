"""Converts times: milliseconds since 1970 in the store, ISO 8601 with `Z` in output."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
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


def format_day(day: date, current_year: int | None = None) -> str:
    """Format a day in the same way in every locale: `26 Nov 2027`; the current year is omitted."""
    return f"{day.day} {MONTHS[day.month - 1]}{'' if day.year == current_year else f' {day.year}'}"


def format_minute(moment: datetime, zone: tzinfo | None = UTC) -> str:
    """Format a time to the minute with its zone: `2027-11-26 09:30 UTC`."""
    return f"{moment.astimezone(zone or UTC):%Y-%m-%d %H:%M %Z}"


def format_seconds(time: str) -> str:
    """Shorten a stored time for a table: `2027-11-26T09:30:05.123Z` becomes `2027-11-26 09:30:05`."""
    return time[:19].replace("T", " ")


_DAY: Final = 86_400
_UNITS: Final = (  # unit, its seconds, and from how many seconds on it is used
    ("y", 365.25 * _DAY, 730 * _DAY),
    ("mo", 30.4375 * _DAY, 90 * _DAY),
    ("d", _DAY, 2 * _DAY),
    ("h", 3600, 2 * 3600),
    ("min", 60, 120),
)


def format_span(length: timedelta | float, count: Callable[[float], int] = int) -> str:
    """Format a duration, also given in seconds, in one unit: `40 s`, `12 min`, `5 h`, `9 d`, `5 mo`, `3 y`.

    `count` makes a whole number of units; by default only those that are over count.
    """
    seconds = max(0, int(length.total_seconds() if isinstance(length, timedelta) else length))
    for unit, size, least in _UNITS:
        if seconds >= least:
            return f"{count(seconds / size):,} {unit}"
    return f"{seconds} s"


def format_age(since: datetime, now: datetime) -> str:
    """Format the time since a moment."""
    return format_span(now - since)


def format_distance(moment: datetime, now: datetime) -> str:
    """Format how far away a moment is: `in 5 d`, to the nearest unit, or `5 d ago`."""
    return f"in {format_span(moment - now, round)}" if moment > now else f"{format_age(moment, now)} ago"


def describe_clock_skew(skew: float) -> str:
    """Return how far this machine's clock is off: `clock is 3 h behind the Hub's`.

    `skew`: seconds that the Hub is ahead.
    """
    return f"clock is {format_span(abs(skew))} {'behind' if skew > 0 else 'ahead of'} the Hub's"
