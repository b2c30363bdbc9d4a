"""Plays a year of each shipped example policy, a turn a day, and counts accesses that ended early or late."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.kits.example_years import DAY, ExampleYear, approve, open_example_year, two_people

from .results import Row
from .sizes import Sizes

EXAMPLES: Final = ("consumer", "class", "medical")
KEYS: Final = tuple(f"year-{example}" for example in EXAMPLES)
_GRACE: Final = timedelta(days=3)  # of both examples whose access depends on a table
_LEEWAY: Final = timedelta(hours=1)  # what the calls of the turns take on the Hub's clock
_TERM: Final = date(2027, 2, 28)
_ASK_EVERY: Final = 9  # days between two people who ask
_LEAVE_EVERY: Final = 40  # days between two people who are removed from the table
_LISTED: Final = 12  # other rows, because a table that loses much at once is refused


@dataclass
class _Life:
    """A year of one example, and when the access of each person must end by the table, the rule and the grace."""

    year: ExampleYear
    ends: dict[str, datetime] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)
    ended: int = 0
    early: int = 0
    late: int = 0

    def live(self, days: int) -> None:
        people = two_people(self.year) if self.year.example == "medical" else None
        for n in range(_LISTED):
            self._enter(f"listed-{n:02}")
        for day in range(days):
            if day % _ASK_EVERY == 0:
                self._ask(f"person-{day:03}")
            if day % _LEAVE_EVERY == _LEAVE_EVERY - 1:
                self._leave()
            self.year.wait(DAY)
            for name in self.year.names if people else ():
                if self.year.status_on_hub(name) == "pending":
                    for one in people or ():
                        approve(self.year, name, one)
            self._check()

    def _ask(self, name: str) -> None:
        self.year.people(name)
        self._enter(name)
        self.year.apply(name)

    def _enter(self, name: str) -> None:
        """Enter a person into the table, and note when the access ends."""
        if self.year.example == "consumer":
            return
        last = _TERM if self.year.example == "class" else self.year.today.date() + timedelta(days=100)
        is_dated = self.year.example == "medical"
        self.year.rows[name] = f"{name}@uio.no,{last}" if is_dated else f"{name}@uio.no"
        self.year.list("email,expires" if is_dated else "email")
        self.ends[name] = datetime.combine(last + timedelta(days=1), datetime.min.time(), UTC)

    def _leave(self) -> None:
        """Remove the person from the table who has been in for the shortest time."""
        name = max(self.inside, default=None)
        if name is None or self.year.example == "consumer":
            return
        del self.year.rows[name]
        self.year.list("email,expires" if self.year.example == "medical" else "email")
        self.ends[name] = min(self.ends[name], self.year.today + DAY + _GRACE)  # the next turn reads the table

    def _check(self) -> None:
        now, have = self.year.today, self.year.have_access()
        left = self.inside - have
        self.ended += len(left)
        self.early += sum(name not in self.ends or self.ends[name] > now for name in left)
        self.late += sum(name in self.ends and self.ends[name] + DAY + _LEEWAY <= now for name in have)
        self.inside = have


def measure_years(sizes: Sizes) -> Iterator[Row]:
    """Return a row for each example."""
    for key, example in zip(KEYS, EXAMPLES, strict=True):
        with tempfile.TemporaryDirectory() as folder, open_example_year(Path(folder), example) as year:
            life, start = _Life(year), time.process_time()
            life.live(sizes.year_days)
            spent = time.process_time() - start
        is_right = not life.early and not life.late
        yield Row(
            key, f"{sizes.year_days} days of the example `{example}`, a turn a day, {len(life.year.names)} people",
            f"{spent:.1f} s CPU; {life.ended} ended, {life.early} early, {life.late} late",
            target="0 early, 0 late", is_met=is_right if sizes.year_days >= 365 else None,
            why="" if is_right else "Access ended at another time than the table and the rule say.",
        )  # fmt: skip
