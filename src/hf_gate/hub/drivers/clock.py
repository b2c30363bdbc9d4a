"""Clocks for waits and limits: this machine's clock, or a local Hub's clock, which can run faster."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from hf_gate.errors import HubUnavailable
from hf_gate.hub.credentials import is_loopback
from hf_gate.hub.protocol.clock_skew import measure_skew

from .local_hub_headers import fetch_local_headers


class Clock(Protocol):
    """A clock in epoch seconds."""

    @property
    def skew(self) -> float | None:
        """Seconds that the Hub's clock is ahead, as proved by its last answer; None before the first proof."""

    def now(self) -> float:
        """Return epoch seconds."""

    def to_real_seconds(self, seconds: float) -> float:
        """Return how many real seconds to wait for `seconds` of this clock, or for part of them."""

    def follow(self, header: str | None) -> None:
        """Set the clock by a local Hub's clock header, `<epoch seconds>;rate=<n>`; anything else is ignored."""

    def record_skew(self, headers: Mapping[str, str], sent: float) -> None:
        """Measure the skew from the headers (in lower case) of an answer to a call sent at `sent`."""


class RealClock:
    """This machine's monotonic clock, set to the system time once. It ignores a local Hub's clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()  # noqa: TID251 - the only use of the real time
        self.skew: float | None = None

    def now(self) -> float:
        return self._offset + time.monotonic()

    def to_real_seconds(self, seconds: float) -> float:
        return seconds

    def follow(self, header: str | None) -> None:
        """Do nothing."""

    def record_skew(self, headers: Mapping[str, str], sent: float) -> None:
        skew = measure_skew(headers, sent, self.now())
        self.skew = self.skew if skew is None else skew


class FollowingClock:
    """A copy of a local Hub's clock, set by the header of each answer."""

    _SLICE_S = 0.25  # waits are split into slices, so that advancing the clock ends them early
    skew: float | None = 0.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base = time.time()  # noqa: TID251 - as above
        self._at = time.monotonic()
        self._rate = 1.0

    def now(self) -> float:
        with self._lock:
            return self._base + (time.monotonic() - self._at) * self._rate

    def to_real_seconds(self, seconds: float) -> float:
        with self._lock:
            return min(seconds / self._rate, self._SLICE_S)

    def follow(self, header: str | None) -> None:
        if not header:
            return
        seconds, _, rest = header.partition(";")
        try:
            base = float(seconds)
            rate = float(rest.partition("=")[2] or 1)
        except ValueError:
            return
        with self._lock:
            self._base = base
            self._at = time.monotonic()
            self._rate = max(rate, 1e-3)

    def record_skew(self, headers: Mapping[str, str], sent: float) -> None:
        """Do nothing: a clock that follows has no skew."""


def clock_for(endpoint: str) -> Clock:
    """Return the Hub's clock if HF_GATE_CLOCK=hub and the Hub is on this machine, else the real clock."""
    if os.environ.get("HF_GATE_CLOCK", "").strip().lower() == "hub" and is_loopback(endpoint):
        return FollowingClock()
    return RealClock()


class ClockOwner(Protocol):
    """A client that follows the Hub's clock."""

    _clock: Clock


class HubClock:
    """The clock of a workspace: this machine's clock, or with HF_GATE_CLOCK=hub the local Hub's clock."""

    def __init__(self, endpoint: str, open_hub: Callable[[], ClockOwner]) -> None:
        own = clock_for(endpoint)
        self._endpoint = endpoint
        self._follows = not isinstance(own, RealClock)
        self._clock = open_hub()._clock if self._follows else own  # noqa: SLF001 - both follow one clock
        self._follow()

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds` seconds of this clock; wake early if a local Hub's clock is advanced."""
        end = self._clock.now() + seconds
        while (left := end - self._clock.now()) > 0:
            time.sleep(max(0.001, self._clock.to_real_seconds(left)))
            with suppress(HubUnavailable):
                self._follow()

    def _follow(self) -> None:
        """Ask a local Hub for its time if its clock is followed, because the Hub does not announce changes."""
        if self._follows:
            self._clock.follow(fetch_local_headers(self._endpoint).get("x-hf-gate-clock"))
