"""The time that waits and limits are measured in: this machine's, or a local Hub's that can be sped up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from ..protocol.skew import measure_skew
from .credentials import is_loopback


class Clock(Protocol):
    """Epoch seconds, and how many real seconds a wait of so many takes from now.

    `skew`: seconds that the Hub's clock is ahead, as its last answer proved it; None before one told.
    """

    @property
    def skew(self) -> float | None: ...

    def now(self) -> float: ...

    def real(self, seconds: float) -> float: ...

    def heard(self, header: str | None) -> None: ...

    def met(self, headers: Mapping[str, str], sent: float) -> None: ...


class RealClock:
    """This machine's clock: monotone, laid on the epoch once."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()  # noqa: TID251 - this is the clock that is handed out
        self.skew: float | None = None

    def now(self) -> float:
        """Epoch seconds."""
        return self._offset + time.monotonic()

    def real(self, seconds: float) -> float:
        """A second is a second."""
        return seconds

    def heard(self, header: str | None) -> None:
        """The clock of a local Hub does not matter here."""

    def met(self, headers: Mapping[str, str], sent: float) -> None:
        """The headers of an answer are there, in lower case; its call was sent at a moment of this clock."""
        told = measure_skew(headers, sent, self.now())
        self.skew = self.skew if told is None else told


class FollowedClock:
    """A local Hub's clock, learnt from the header it puts on each answer; waits end early when it is advanced."""

    # A wait is cut into naps of at most so many real seconds, so that an advanced clock is noticed.
    _NAP = 0.25
    skew: float | None = 0.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base, self._at, self._rate = time.time(), time.monotonic(), 1.0  # noqa: TID251 - as above

    def now(self) -> float:
        """Epoch seconds on the Hub's clock, as last heard and carried on."""
        with self._lock:
            return self._base + (time.monotonic() - self._at) * self._rate

    def real(self, seconds: float) -> float:
        """So many Hub seconds in real ones, a nap at most."""
        with self._lock:
            return min(seconds / self._rate, self._NAP)

    def heard(self, header: str | None) -> None:
        """`<epoch seconds>;rate=<n>`; anything else is ignored."""
        if not header:
            return
        seconds, _, rest = header.partition(";")
        try:
            base, rate = float(seconds), float(rest.partition("=")[2] or 1)
        except ValueError:
            return
        with self._lock:
            self._base, self._at, self._rate = base, time.monotonic(), max(rate, 1e-3)

    def met(self, headers: Mapping[str, str], sent: float) -> None:
        """A clock that follows is never behind."""


def clock_for(endpoint: str) -> Clock:
    """The Hub's clock when HF_GATE_CLOCK=hub and the Hub is on this machine, else the real one."""
    if os.environ.get("HF_GATE_CLOCK", "").strip().lower() == "hub" and is_loopback(endpoint):
        return FollowedClock()
    return RealClock()
