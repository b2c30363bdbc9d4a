"""Parses the durations and dates of rules, and computes when a grant ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

_DURATION: Final = re.compile(r"([1-9]\d{0,4})(d|w|mo|y)\Z", re.ASCII)
_FAR: Final = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: `30d`, `12w`, `6mo` or `1y`. Months and years are calendar months."""

    days: int = 0
    months: int = 0

    def after(self, moment: datetime) -> datetime:
        """Return the moment that is this long after another. The 31st becomes the last day of a shorter month.

        A result beyond the calendar becomes the end of the year 9999.
        """
        month = moment.month - 1 + self.months
        year, month = moment.year + month // 12, month % 12 + 1
        try:
            following = date(year + month // 12, month % 12 + 1, 1)
            there = moment.replace(year=year, month=month, day=min(moment.day, (following - timedelta(days=1)).day))
            return there + timedelta(days=self.days)
        except (OverflowError, ValueError):
            return _FAR

    def __str__(self) -> str:
        if self.months and self.months % 12 == 0:
            return f"{self.months // 12}y"
        return f"{self.months}mo" if self.months else f"{self.days}d"


def parse_grant_end(written: str, accepted_at: datetime, zone: tzinfo) -> datetime:
    """Return the end that `30d`, `12w`, `6mo`, `1y` or `2027-06-30` means; of several separated by commas, the earliest.

    A date is the end of that day in `zone`. A duration counts days or calendar months from the acceptance. A timestamp
    (`2027-06-30T09:30:00.000Z`, used when an undo restores an end) is used as it is. Raises ValueError for anything else.
    """
    return min(_parse_end(part.strip(), accepted_at, zone) for part in written.split(","))


def _parse_end(written: str, accepted_at: datetime, zone: tzinfo) -> datetime:
    if (length := read_duration(written)) is not None:
        return length.after(accepted_at)
    if "T" in written:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is None:
            raise ValueError(f"{written!r} has no time zone")
        return moment
    return end_of_day(date.fromisoformat(written), zone)


def read_duration(written: str) -> Duration | None:
    """Read `30d`, `12w`, `6mo` or `1y`; return None for anything else."""
    match = _DURATION.match(written)
    if match is None:
        return None
    number, unit = int(match[1]), match[2]
    if unit in ("d", "w"):
        return Duration(days=number * (7 if unit == "w" else 1))
    return Duration(months=number * (12 if unit == "y" else 1))


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the start of the next day in this zone. Raises ValueError for the last day of the calendar."""
    try:
        return datetime.combine(day + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{day} is the last day of the calendar") from None
