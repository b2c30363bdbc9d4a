"""Parses the durations and dates of rules, computes when a grant ends, and defines the terms stored with a grant.

A grant is access that can end. Its terms are those of the rules when access was given. Each turn reads the facts of the
terms and moves the end (`grants/service/ends/grant_ends.py`). The first plan after the end takes the access away. A
person can set another end; the numbers 3 and 5 are about ends that facts move.

1. A changed policy changes no grant by itself.
2. What is unknown moves no end and ends no access.
3. A date that moves counts at once, in both directions.
4. Access that ends by a false condition, or by a date that moved earlier in the last 7 days, counts against the guard
   `end`. What the guard holds back ends by a plan that a person applies.
5. No end moves to an earlier time while this machine's clock is wrong or cannot be compared with the Hub's. No access
   ends while it is wrong.
6. A condition that is false ends access after its grace. If it is true again before, access stays.
7. Access never ends early: a late plan ends it late, and an end that moved since the plan is not sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

import msgspec
from msgspec import Struct

from hf_gate.base.timestamps import format_day, ms_to_iso, to_ms

_DURATION: Final = re.compile(r"([1-9]\d{0,4})(d|w|mo|y)\Z", re.ASCII)
FAR_END: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""The latest end: no practical end. It is a day before the end of the calendar, so it exists in every time zone."""


class GrantCondition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A condition on which access depends: the `keep_while` of a rule, with the `let` names that it uses.

    `grace` is how long access lasts after the condition turns false, as written: `14d`; None means until the next turn.
    """

    policy: str
    rule: str
    expr: str
    lets: Mapping[str, str] = {}
    grace: str | None = None

    @property
    def digest(self) -> str:
        """16 hex digits that differ for another condition."""
        return hashlib.sha256(_TERMS_ENCODER.encode(self)).hexdigest()[:16]


class GrantTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can move the end of a grant later, as the rules said when access was given. Equal terms are stored once.

    `until` has the names of facts and, beside them, fixed ends as written. `notice` has the times before the end at
    which the person is notified: `30d`. A changed policy changes no terms.
    """

    until: tuple[str, ...] = ()
    keep_while: tuple[GrantCondition, ...] = ()
    notice: tuple[str, ...] = ()

    @property
    def shape(self) -> GrantTerms:
        """The same terms without the fixed ends beside facts. Many grants with different ends share it."""
        return msgspec.structs.replace(self, until=tuple(filter(is_fact_name, self.until)))

    @property
    def digest(self) -> str:
        """The SHA-256 of the terms, in hex."""
        return hashlib.sha256(_TERMS_ENCODER.encode(self)).hexdigest()


_TERMS_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def first_lapse(lapses: Iterable[int | None]) -> int | None:
    """Return when access ends first because a condition is false; None if no condition is."""
    return min((at for at in lapses if at is not None), default=None)


def is_fact_name(written: str) -> bool:
    """Tell whether an end is the name of a fact, such as `tables.dua.expires`, and not a date or a duration."""
    return written[:1].isalpha()


def fix_terms(terms: GrantTerms, accepted_at: datetime, zone: tzinfo) -> GrantTerms:
    """Return the terms of a grant that begins at `accepted_at`: fixed ends beside facts become one moment."""
    fixed = [each for each in terms.until if not is_fact_name(each)]
    if not fixed:
        return terms
    facts = tuple(each for each in terms.until if is_fact_name(each))
    moment = to_ms(parse_grant_end(",".join(fixed), accepted_at, zone))  # as the end is stored
    until = (*facts, ms_to_iso(moment)) if facts else ()
    return msgspec.structs.replace(terms, until=until)


def with_chosen_end(terms: GrantTerms | None, written: str, *, is_within: bool) -> GrantTerms | None:
    """Return the terms of a grant whose end a person chose: its conditions and notices stay.

    An end within the one that the rules set still follows their facts. None if nothing can move the end.
    """
    if terms is None:
        return None
    facts = tuple(filter(is_fact_name, terms.until)) if is_within else ()
    chosen = msgspec.structs.replace(terms, until=(*facts, written) if facts else ())
    return chosen if chosen.until or chosen.keep_while or chosen.notice else None


class Duration(Struct, frozen=True):
    """A length of time: `30d`, `12w`, `6mo` or `1y`. Months and years are calendar months."""

    days: int = 0
    months: int = 0

    def after(self, moment: datetime) -> datetime:
        """Return the moment that is this long after another. The 31st becomes the last day of a shorter month.

        A result beyond the calendar becomes the end of the year 9999.
        """
        month = moment.month - 1 + self.months
        year = moment.year + month // 12
        month = month % 12 + 1
        try:
            following = date(year + month // 12, month % 12 + 1, 1)
            there = moment.replace(year=year, month=month, day=min(moment.day, (following - timedelta(days=1)).day))
            return there + timedelta(days=self.days)
        except (OverflowError, ValueError):
            return FAR_END

    def first_before(self, end: datetime) -> datetime:
        """Return the first moment from which this length reaches `end` (in UTC) or a later time."""
        try:
            target = end - timedelta(days=self.days)
            month = target.month - 1 - self.months
            first = date(target.year + month // 12, month % 12 + 1, 1)
            following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        except (OverflowError, ValueError):
            return datetime.min.replace(tzinfo=UTC)
        if target.day <= (following - first).days:
            return target.replace(year=first.year, month=first.month)
        return datetime.combine(following, time(), tzinfo=UTC)

    def __str__(self) -> str:
        if self.months and self.months % 12 == 0:
            return f"{self.months // 12}y"
        return f"{self.months}mo" if self.months else f"{self.days}d"


def parse_grant_end(written: str, accepted_at: datetime, zone: tzinfo) -> datetime:
    """Return the end that `30d`, `12w`, `6mo`, `1y` or `2027-06-30` means; of several separated by commas, the
    earliest.

    A date is the end of that day in `zone`. A duration counts days or calendar months from the acceptance. A timestamp
    (`2027-06-30T09:30:00.000Z`, used when an undo restores an end) is used as it is. Raises ValueError for anything
    else.
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
    number = int(match[1])
    unit = match[2]
    if unit in ("d", "w"):
        return Duration(days=number * (7 if unit == "w" else 1))
    return Duration(months=number * (12 if unit == "y" else 1))


def last_day(end: datetime, zone: tzinfo) -> date:
    """Return the last day, at least in part, before an end."""
    return (end.astimezone(zone) - timedelta(microseconds=1)).date()


def format_last_day(end: datetime | str, zone: tzinfo) -> str:
    """Format an end as every surface shows it: the last day with access, `30 Jun 2027`. `end` may be in ISO form."""
    return format_day(last_day(datetime.fromisoformat(end) if isinstance(end, str) else end, zone))


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the start of the next day in this zone. Raises ValueError for the last day of the calendar."""
    try:
        return datetime.combine(day + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{day} is the last day of the calendar") from None
