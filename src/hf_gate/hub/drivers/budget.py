"""Shares one rate-limit budget per token and Hub between all open clients of this process."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from hf_gate.hub.protocol.messages import Answer, FailureReason, HubCall, NoReply, Reply
from hf_gate.hub.protocol.pacing import Outlook, Pacer, WaitReason
from hf_gate.hub.protocol.replies import is_transient

_log = logging.getLogger("hf_gate")
_log.addHandler(logging.NullHandler())  # logs nothing unless the application configures logging
_wait_log = logging.getLogger("hf_gate.waits")

LONGEST_WAIT_S = 3600.0  # a longer wait is refused even without `max_wait`
_LOGGED_WAIT_S = 5.0  # a wait of at least this long is logged
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
        self._logged_until = -math.inf
        self._last_failure: Answer | None = None  # of a Hub that does not answer, or with errors

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

    def share(self, processes: int) -> None:
        """Share the limits with other processes that use the token."""
        with self._lock:
            self._pacer.sharers = max(1, processes)

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
            self._last_failure = answer if is_transient(answer) else self._last_failure
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

    def allow_probe(self, now: float) -> None:
        """Let one call test whether an outage is over: a new client does not share the pauses of earlier ones."""
        with self._lock:
            self._pacer.allow_probe(now)
            self._notify_all()

    def check_wait(self, now: float, send: HubCall, wait: float, waited: float, limit: float | None) -> NoReply | None:
        """Return the answer to a call that is not sent because it would wait too long; else log a long wait.

        `limit` is for the whole call. Without it, a single wait is limited.
        """
        with self._lock:
            reason = self._pacer.wait_reason(now, send)
            failure = self._last_failure
        if (wait > LONGEST_WAIT_S) if limit is None else (waited + wait > limit):
            return _refuse_wait(reason, waited + wait, failure)
        self.log_wait(now, reason, wait)
        return None

    def log_wait(self, now: float, reason: str, seconds: float) -> None:
        """Log a long wait, once for all calls that wait for the same time."""
        if seconds < _LOGGED_WAIT_S or now + seconds < self._logged_until + _LOGGED_WAIT_S:
            return
        self._logged_until = now + seconds
        _wait_log.warning("Waiting %.0f s: %s.", seconds, reason)

    def jitter(self) -> float:
        """Return a random share between 0 and 1."""
        with self._lock:
            return self._chance.random()


def _refuse_wait(reason: WaitReason, seconds: float, failure: Answer | None) -> NoReply:
    if reason is WaitReason.UNAVAILABLE:
        last = failure.detail if isinstance(failure, NoReply) else f"status {failure.status}" if failure else ""
        detail = f"{reason}; the next attempt would be in {seconds:.0f} s" + (f" (last: {last})" if last else "")
        cause = failure.cause if isinstance(failure, NoReply) else None
        return NoReply(FailureReason.WAIT_TOO_LONG, False, detail, cause=cause)
    why = f"{reason}, and" if reason is WaitReason.RETRY_AFTER else "the rate limit"
    return NoReply(FailureReason.WAIT_TOO_LONG, False, f"{why} would delay this by {seconds:.0f} s")


_shared: WeakValueDictionary[tuple[str, str], CallBudget] = WeakValueDictionary()
_guard = threading.Lock()


def budget_for(origin: str, token_fingerprint: str, reserve: float) -> CallBudget:
    """Return the budget of a token at a Hub. The first client sets the reserve."""
    with _guard:
        budget = _shared.get((origin, token_fingerprint))
        if budget is None:
            budget = _shared[origin, token_fingerprint] = CallBudget(reserve)
        return budget
