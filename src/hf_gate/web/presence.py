"""Tells reviewers who else has a request open now; kept in memory for minutes, and blocks nobody."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

BEAT: Final = 60.0  # seconds after which somebody who said nothing more is not looking any more
LEASE: Final = 300.0  # seconds: a page that is left open says nothing of anybody
_MOST: Final = 2_000


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """Somebody's look at a request. Times by the clock of this process."""

    member: str
    since: float
    seen_at: float

    def is_current(self, now: float) -> bool:
        return now - self.seen_at <= BEAT and now - self.since <= LEASE


@dataclass
class Presence:
    """All of a desk. `clock`: seconds that only grow."""

    clock: Callable[[], float] = time.monotonic
    _open: OrderedDict[tuple[int, str], OpenRequest] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, request: int, member: str, *, is_new: bool) -> None:
        """Somebody looks; `anew`: they have just opened it, else the page is still open."""
        now, key = self.clock(), (request, member)
        with self._lock:
            before = None if is_new else self._open.get(key)
            self._open[key] = OpenRequest(member, now if before is None else before.since, now)
            self._open.move_to_end(key)
            while len(self._open) > _MOST:
                self._open.popitem(last=False)

    def remove(self, request: int, member: str) -> None:
        """They have decided, or closed it."""
        with self._lock:
            self._open.pop((request, member), None)

    def other_viewers(self, requests: Iterable[int], member: str) -> dict[int, list[tuple[str, int]]]:
        """By request, who else looks at it and for how many seconds, the first first."""
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
