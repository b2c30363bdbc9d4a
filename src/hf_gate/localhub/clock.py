"""The local Hub's clock: real time, optionally faster; it can be advanced on request."""

from __future__ import annotations

import re
import time

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(text: str) -> float:
    """Parse `48h`, `90s`, `50ms`, `30d` or a number of seconds; raise ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 90s, 5m, 48h or 30d")
    return float(match[1]) * _UNITS[match[2] or "s"]


class LocalHubClock:
    """A clock by spec: `real`, or `x60` for one that runs sixty times as fast. The clock never goes back."""

    def __init__(self, spec: str = "real") -> None:
        match = re.fullmatch(r"real|x(\d+(?:\.\d+)?)", spec)
        if match is None or match[1] == "0":
            raise ValueError(f"{spec!r} is not a clock: write real, or x60 for one that runs sixty times as fast")
        self.rate = float(match[1] or 1)
        self._started, self._from = time.monotonic(), time.time()  # noqa: TID251 - the only use of the real time
        self._ahead = 0.0

    def now(self) -> float:
        """Return seconds since 1970 by this clock."""
        return self._from + (time.monotonic() - self._started) * self.rate + self._ahead

    def now_ms(self) -> int:
        return int(self.now() * 1000)

    def advance(self, seconds: float) -> None:
        self._ahead += max(0.0, seconds)

    @property
    def header(self) -> str:
        """The clock header of each answer, so that a client can follow: `1764073800.123456;rate=60`."""
        return f"{self.now():.6f};rate={self.rate:g}"
