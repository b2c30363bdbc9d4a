"""One budget of calls for each token and Hub, shared by every open client of this process; forgotten with the last."""

from __future__ import annotations

import random
import threading
from weakref import WeakValueDictionary

from ..protocol.messages import Answer, Lane, Send
from ..protocol.pacing import Outlook, Pacer

_shared: WeakValueDictionary[tuple[str, str], Budget] = WeakValueDictionary()
_guard = threading.Lock()
_WRITES = frozenset({Lane.WRITE, Lane.BULK_WRITE})


class Budget:
    """A pacer behind a lock. Whoever wants to call asks, and comes back when told to wait."""

    def __init__(self, reserve: float) -> None:
        self._lock = threading.Lock()
        self._pacer = Pacer(reserve=reserve)
        self._chance = random.Random()  # jitter, no secret
        self._writers: dict[str, int] = {}

    def wait_of(self, now: float, send: Send) -> float:
        """0.0: go now, and report with `heard`. Else so many seconds until asking again is worth it."""
        with self._lock:
            return self._pacer.ask(now, send, writers_waiting=self._writers.get(send.bucket, 0))

    def queue(self, send: Send, change: int) -> None:
        """A write begins (1) or ends (-1) to wait: reads let it pass."""
        if send.lane in _WRITES:
            with self._lock:
                self._writers[send.bucket] = self._writers.get(send.bucket, 0) + change

    def heard(self, now: float, send: Send, answer: Answer) -> None:
        """What came back."""
        with self._lock:
            self._pacer.heard(now, send, answer, self._chance.random())

    def dropped(self, send: Send) -> None:
        """A call that was let go was never made, or its answer will never be known."""
        with self._lock:
            self._pacer.dropped(send)

    def outlook(self, now: float) -> Outlook:
        """What is left, for progress and ETA."""
        with self._lock:
            return self._pacer.outlook(now)

    def jitter(self) -> float:
        """A share between 0 and 1."""
        with self._lock:
            return self._chance.random()


def budget_for(origin: str, token_fingerprint: str, reserve: float) -> Budget:
    """The budget of a token at a Hub; made at its first use, with that use's reserve."""
    with _guard:
        budget = _shared.get((origin, token_fingerprint))
        if budget is None:
            budget = _shared[origin, token_fingerprint] = Budget(reserve)
        return budget
