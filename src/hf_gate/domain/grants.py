"""When a grant ends: spans and dates as rules write them, counted from the acceptance."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

_SPAN: Final = re.compile(r"([1-9]\d{0,4})(d|w|mo|y)\Z")
_FAR: Final = datetime(9999, 12, 31, tzinfo=UTC)


def end_of(written: str, accepted_at: datetime, zone: tzinfo) -> datetime:
    """The end that `30d`, `12w`, `6mo`, `1y` or `2027-06-30` means; of several joined by a comma, the earliest.

    A date is the end of that day in `zone`; a span counts in days, or in calendar months (the 31st becomes the last
    day of a shorter month). A moment (`2027-06-30T09:30:00.000Z`, as what was taken back gets its end again) is itself.
    Raises ValueError for anything else.
    """
    return min(_end(part.strip(), accepted_at, zone) for part in written.split(","))


def _end(written: str, accepted_at: datetime, zone: tzinfo) -> datetime:
    if match := _SPAN.match(written):
        number, unit = int(match[1]), match[2]
        try:
            if unit in ("d", "w"):
                return accepted_at + timedelta(days=number * (7 if unit == "w" else 1))
            return _months_later(accepted_at, number * (12 if unit == "y" else 1))
        except (OverflowError, ValueError):
            return _FAR
    if "T" in written:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is None:
            raise ValueError(f"{written!r} names no zone")
        return moment
    following = date.fromisoformat(written) + timedelta(days=1)
    return datetime.combine(following, time(), tzinfo=zone).astimezone(UTC)


def _months_later(moment: datetime, months: int) -> datetime:
    month = moment.month - 1 + months
    year, month = moment.year + month // 12, month % 12 + 1
    following = date(year + month // 12, month % 12 + 1, 1)
    return moment.replace(year=year, month=month, day=min(moment.day, (following - timedelta(days=1)).day))
