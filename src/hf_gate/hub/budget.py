"""One budget of calls for each token and Hub, shared by every open client of this process; forgotten with the last."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from ..protocol.messages import Answer, HubCall, Reply
from ..protocol.pacing import Outlook, Pacer

_log = logging.getLogger("hf_gate")
_log.addHandler(logging.NullHandler())  # silent until somebody listens


LEAST_S = 1.0  # a single try may take so long, however little of `max_wait` is left


def seconds_left(limit: float | None, spent: float) -> float:
    """How long the present try of a call may take, of whose limit so many seconds are spent."""
    return math.inf if limit is None else max(limit - spent, LEAST_S)


class Listener(Protocol):
    """Somebody whose waiting calls cannot rest in a thread. `news` is called from any thread and returns at once."""

    def news(self) -> None: ...


class Budget:
    """A pacer behind a lock. Whoever wants to call asks, and comes back when told to wait."""

    def __init__(self, reserve: float) -> None:
        self._lock = threading.Condition()
        self._pacer = Pacer(reserve=reserve)
        self._chance = random.Random()
        self._listeners: WeakSet[Listener] = WeakSet()

    def tell(self, listener: Listener) -> None:
        """Have a listener told, from whichever thread, of each answer that may free a call; forgotten when it is."""
        with self._lock:
            self._listeners.add(listener)

    def join(self, send: HubCall) -> int:
        """A call begins to wait; writes are let pass. Whoever joins must `leave`."""
        with self._lock:
            return self._pacer.register(send)

    def leave(self, ticket: int) -> None:
        """It waits no longer."""
        with self._lock:
            self._pacer.unregister(ticket)

    def wait_of(self, now: float, send: HubCall, *, goes: bool = True) -> float:
        """0.0: go now, and report with `heard`. Else so many seconds until asking again is worth it.

        Without `goes` nothing is counted, and nothing may be sent on that.
        """
        with self._lock:
            return self._pacer.try_start(now, send) if goes else self._pacer.wait_time(now, send)

    def rest(self, seconds: float, unless: Callable[[], bool]) -> None:
        """Let real seconds pass, or fewer when an answer comes that may free the next call, or after `wake`."""
        with self._lock:
            if not unless():  # asked under the lock, so that no `wake` is missed
                self._lock.wait(seconds)

    def wake(self) -> None:
        """Let all who rest look again."""
        with self._lock:
            self._news()

    def heard(self, now: float, send: HubCall, answer: Answer) -> None:
        """What came back. The log tells the route and how it ended, never a path: paths hold names."""
        _log.debug(
            "%s %s: %s", send.method, send.endpoint, answer.status if isinstance(answer, Reply) else answer.reason
        )
        with self._lock:
            self._pacer.record_answer(now, send, answer, self._chance.random())
            self._news()

    def dropped(self, send: HubCall) -> None:
        """A call that was let go was never made, or its answer will never be known."""
        with self._lock:
            self._pacer.record_lost_call(send)
            self._news()

    def _news(self) -> None:
        self._lock.notify_all()
        for listener in self._listeners:
            listener.news()

    def outlook(self, now: float) -> Outlook:
        """What is left, for progress and ETA."""
        with self._lock:
            return self._pacer.outlook(now)

    def jitter(self) -> float:
        """A share between 0 and 1."""
        with self._lock:
            return self._chance.random()


_shared: WeakValueDictionary[tuple[str, str], Budget] = WeakValueDictionary()
_guard = threading.Lock()


def budget_for(origin: str, token_fingerprint: str, reserve: float) -> Budget:
    """The budget of a token at a Hub; made at its first use, with that use's reserve."""
    with _guard:
        budget = _shared.get((origin, token_fingerprint))
        if budget is None:
            budget = _shared[origin, token_fingerprint] = Budget(reserve)
        return budget
