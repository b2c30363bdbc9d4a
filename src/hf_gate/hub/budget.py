"""Shares one rate-limit budget per token and Hub between all open clients of this process."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from ..protocol.messages import Answer, FailureReason, HubCall, NoReply, Reply
from ..protocol.pacing import Outlook, Pacer, WaitReason

_log = logging.getLogger("hf_gate")
_log.addHandler(logging.NullHandler())  # logs nothing unless the application configures logging


MIN_TRY_S = 1.0  # a single attempt may always take this long, even if less of `max_wait` is left


def seconds_left(limit: float | None, spent: float) -> float:
    """Return how long an attempt may take when `spent` seconds of the call's limit are used up."""
    return math.inf if limit is None else max(limit - spent, MIN_TRY_S)


class AnswerListener(Protocol):
    """A listener for answers. `notify` is called from any thread and must not block."""

    def notify(self) -> None: ...


class CallBudget:
    """A thread-safe `Pacer` that wakes waiting calls after each answer."""

    def __init__(self, reserve: float) -> None:
        self._lock = threading.Condition()
        self._pacer = Pacer(reserve=reserve)
        self._chance = random.Random()
        self._listeners: WeakSet[AnswerListener] = WeakSet()

    def add_listener(self, listener: AnswerListener) -> None:
        """Notify a listener of each answer that may free a call.

        The budget keeps only a weak reference to the listener.
        """
        with self._lock:
            self._listeners.add(listener)

    def register(self, send: HubCall) -> int:
        """Register a waiting call. The caller must `unregister` it."""
        with self._lock:
            return self._pacer.register(send)

    def unregister(self, ticket: int) -> None:
        """Remove a call that no longer waits."""
        with self._lock:
            self._pacer.unregister(ticket)

    def wait_time(self, now: float, send: HubCall, *, should_start: bool = True) -> float:
        """Return 0.0 if the call can go now, else the seconds until asking again is worthwhile.

        With `should_start`, a call that can go is counted, and the caller must report its end with `record_answer` or
        `record_lost_call`. Otherwise the caller must not send the call.
        """
        with self._lock:
            return self._pacer.try_start(now, send) if should_start else self._pacer.wait_time(now, send)

    def wait_for_answer(self, seconds: float, unless: Callable[[], bool]) -> None:
        """Wait for an answer that may free the next call, for `wake`, or for `seconds` real seconds."""
        with self._lock:
            if not unless():  # under the lock, so that no `wake` is missed
                self._lock.wait(seconds)

    def wake(self) -> None:
        """Make all waiting calls check again."""
        with self._lock:
            self._notify_all()

    def record_answer(self, now: float, send: HubCall, answer: Answer) -> None:
        """Record an answer. The log names the endpoint, never the path, because paths contain names."""
        _log.debug(
            "%s %s: %s", send.method, send.endpoint, answer.status if isinstance(answer, Reply) else answer.reason
        )
        with self._lock:
            self._pacer.record_answer(now, send, answer, self._chance.random())
            self._notify_all()

    def record_lost_call(self, send: HubCall) -> None:
        """Record that a started call was not sent, or that its answer was lost."""
        with self._lock:
            self._pacer.record_lost_call(send)
            self._notify_all()

    def _notify_all(self) -> None:
        self._lock.notify_all()
        for listener in self._listeners:
            listener.notify()

    def outlook(self, now: float) -> Outlook:
        """Return the state of the rate limits for progress displays."""
        with self._lock:
            return self._pacer.outlook(now)

    def refuse_wait(self, now: float, send: HubCall, seconds: float) -> NoReply:
        """Return the answer to a call that is not sent because it would wait too long; it says why."""
        with self._lock:
            reason = self._pacer.outlook(now, send.bucket).waiting_why
        is_down = reason is WaitReason.UNAVAILABLE
        why = f"{reason}; the next attempt would be in" if is_down else "the rate limit would delay this by"
        return NoReply(FailureReason.WAIT_TOO_LONG, False, f"{why} {seconds:.0f} s")

    def jitter(self) -> float:
        """Return a random share between 0 and 1."""
        with self._lock:
            return self._chance.random()


_shared: WeakValueDictionary[tuple[str, str], CallBudget] = WeakValueDictionary()
_guard = threading.Lock()


def budget_for(origin: str, token_fingerprint: str, reserve: float) -> CallBudget:
    """Return the budget of a token at a Hub. The first client sets the reserve."""
    with _guard:
        budget = _shared.get((origin, token_fingerprint))
        if budget is None:
            budget = _shared[origin, token_fingerprint] = CallBudget(reserve)
        return budget
