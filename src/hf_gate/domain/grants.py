"""Parses the durations and dates of rules, and computes when a grant ends."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

_SPAN: Final = re.compile(r"([1-9]\d{0,4})(d|w|mo|y)\Z", re.ASCII)
_FAR: Final = datetime(9999, 12, 31, tzinfo=UTC)


class TimeSpan(NamedTuple):
    """A span of time; months are calendar months."""

    days: int = 0
    months: int = 0


def parse_grant_end(written: str, accepted_at: datetime, zone: tzinfo) -> datetime:
    """Return the end that `30d`, `12w`, `6mo`, `1y` or `2027-06-30` means; of several joined by commas, the earliest.

    A date is the end of that day in `zone`. A span counts days or calendar months from the acceptance. A timestamp
    (`2027-06-30T09:30:00.000Z`, used when an undo restores an end) is used as it is. Raises ValueError for anything else.
    """
    return min(_parse_end(part.strip(), accepted_at, zone) for part in written.split(","))


def _parse_end(written: str, accepted_at: datetime, zone: tzinfo) -> datetime:
    if (length := parse_time_span(written)) is not None:
        return add_time_span(accepted_at, *length)
    if "T" in written:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is None:
            raise ValueError(f"{written!r} has no time zone")
        return moment
    return end_of_day(date.fromisoformat(written), zone)


def parse_time_span(written: str) -> TimeSpan | None:
    """Parse `30d`, `12w`, `6mo` or `1y`; return None for anything else."""
    match = _SPAN.match(written)
    if match is None:
        return None
    number, unit = int(match[1]), match[2]
    if unit in ("d", "w"):
        return TimeSpan(days=number * (7 if unit == "w" else 1))
    return TimeSpan(months=number * (12 if unit == "y" else 1))


def add_time_span(moment: datetime, days: int, months: int) -> datetime:
    """Return the moment this long after another. The 31st becomes the last day of a shorter month.

    A result beyond the calendar becomes the end of the year 9999.
    """
    month = moment.month - 1 + months
    year, month = moment.year + month // 12, month % 12 + 1
    try:
        following = date(year + month // 12, month % 12 + 1, 1)
        there = moment.replace(year=year, month=month, day=min(moment.day, (following - timedelta(days=1)).day))
        return there + timedelta(days=days)
    except (OverflowError, ValueError):
        return _FAR


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the start of the next day in this zone. Raises ValueError for the last day of the calendar."""
    try:
        return datetime.combine(day + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{day} is the last day of the calendar") from None
