"""Builds the conditions of queries about times: ages, days, and ends of access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time, tzinfo
from typing import Final, TypeAlias

from ..domain.lifecycle import Status
from ..domain.query import Age, Day, Term

Condition: TypeAlias = tuple[str, Sequence[object]]
"""A condition in SQL, with its values."""

_EARLIER: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">="}  # a greater age is an earlier time
_ENDLESS: Final = f"r.status = '{Status.ACCEPTED}' AND r.ends_at IS NULL AND r.terms IS NULL"


def age_conditions(term: Term, now: int) -> Iterator[Condition]:
    """Yield the conditions on the time since the request."""
    for value in term.values:
        if isinstance(value, Age):
            yield f"r.asked_at {_EARLIER[value.sign]} ?", (now - value.seconds * 1000,)


def day_condition(column: str, value: Day, zone: tzinfo) -> Condition:
    """Return the condition that a time (ms) lies on, before or after a day."""
    bounds = [(sign, day) for sign, day in zip((">=", "<"), value.bounds, strict=True) if day is not None]
    starts = [round(datetime.combine(day, time(), zone).timestamp() * 1000) for _, day in bounds]
    return " AND ".join(f"{column} {sign} ?" for sign, _ in bounds), starts


def end_conditions(term: Term, now: int, zone: tzinfo) -> Iterator[Condition]:
    """Yield the conditions on the end of access. Access with neither a date nor a condition has no end."""
    for value in term.values:
        if isinstance(value, Age):
            yield f"r.ends_at {value.sign} ?", (now + value.seconds * 1000,)
        elif isinstance(value, Day):
            yield day_condition("r.ends_at", value, zone)
        else:
            yield ("r.ends_at IS NOT NULL" if value.is_any else _ENDLESS), ()
