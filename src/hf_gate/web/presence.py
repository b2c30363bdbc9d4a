"""Shows reviewers who else has a request open. It is kept in memory for minutes, and blocks no decision."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

BEAT: Final = 60.0  # seconds without a signal from the page, after which the member counts as gone
LEASE: Final = 300.0  # seconds after opening, when a page that stays open no longer counts
_MOST: Final = 2_000


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that a member has open. Times are of the monotonic clock."""

    member: str
    since: float
    seen_at: float

    def is_current(self, now: float) -> bool:
        return now - self.seen_at <= BEAT and now - self.since <= LEASE


@dataclass
class Presence:
    """The open requests of all members. `clock`: monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    _open: OrderedDict[tuple[int, str], OpenRequest] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, request: int, member: str, *, is_new: bool) -> None:
        """Record that a member has a request open. `is_new`: they opened it just now."""
        now, key = self.clock(), (request, member)
        with self._lock:
            before = None if is_new else self._open.get(key)
            self._open[key] = OpenRequest(member, now if before is None else before.since, now)
            self._open.move_to_end(key)
            while len(self._open) > _MOST:
                self._open.popitem(last=False)

    def remove(self, request: int, member: str) -> None:
        """Record that a member decided a request or closed its page."""
        with self._lock:
            self._open.pop((request, member), None)

    def other_viewers(self, requests: Iterable[int], member: str) -> dict[int, list[tuple[str, int]]]:
        """Return by request the other members who have it open and for how many seconds, the longest first."""
        now, wanted = self.clock(), set(requests)
        with self._lock:
            on = [
                (request, look)
                for (request, who), look in self._open.items()
                if request in wanted and who != member and look.is_current(now)
            ]
        found: dict[int, list[tuple[str, int]]] = {}
        for request, look in sorted(on, key=lambda one: one[1].since):
            found.setdefault(request, []).append((look.member, int(now - look.since)))
        return found
