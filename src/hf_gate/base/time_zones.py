"""The names of time zones on this machine. To look one up reads one file; only to list them reads all of about 600."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from zoneinfo import ZoneInfo, available_timezones

_NOT_LISTED = ("posix/", "right/", "posixrules")


class TimeZones(Collection[str]):
    """The known time zones, as `zoneinfo.available_timezones()` lists them."""

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a time zone of this name."""
        if not isinstance(name, str) or name.startswith(_NOT_LISTED):
            return False
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown; not a relative path; a folder
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        """Iterate over all names."""
        return iter(available_timezones())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(available_timezones())
