"""A clock for tests: it stands still until the test moves it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from hf_gate.base.timestamps import from_ms, to_ms


@dataclass
class ManualClock:
    """A clock of the application that only `advance` and waits by it move."""

    at: datetime

    @classmethod
    def at_ms(cls, moment: int) -> Self:
        """Return a clock that stands at a moment in milliseconds, as stores have it."""
        return cls(from_ms(moment))

    @property
    def ms(self) -> int:
        return to_ms(self.at)

    @ms.setter
    def ms(self, moment: int) -> None:
        self.at = from_ms(moment)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
