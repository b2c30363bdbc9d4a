"""Times as the house writes them: whole milliseconds since 1970 where they are kept, ISO 8601 with Z where they are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def to_ms(moment: datetime) -> int: ...
@overload
def to_ms(moment: None) -> None: ...
@overload
def to_ms(moment: datetime | None) -> int | None: ...
def to_ms(moment: datetime | None) -> int | None:
    """Whole milliseconds since 1970, UTC."""
    return None if moment is None else round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The way back."""
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
    """Return a stored time in the same form."""
    return None if milliseconds is None else to_iso(from_ms(milliseconds))
