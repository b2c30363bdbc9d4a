"""Limits connections: their number, the time a request may take to arrive, and how often a failure is logged."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, ClassVar, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_MAX_HEAD: Final = 1 << 16  # bytes of a request head, as uvicorn has it


class RateLimitedLog:
    """Logs each warning at most once a minute, with the number of times it was suppressed."""

    PAUSE: ClassVar[float] = 60.0

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._next: dict[str, tuple[float, int]] = {}  # time of the next line, number suppressed since the last

    def warning(self, text: str) -> None:
        """Log a warning, unless it was logged within the last minute."""
        now = time.monotonic()
        at, left_out = self._next.get(text, (now, 0))
        self._next[text] = (at, left_out + 1) if now < at else (now + self.PAUSE, 0)
        if now >= at:
            self._logger.warning("%s%s", text, f" ({left_out} more since the last such line)" if left_out else "")


_log: Final = RateLimitedLog(logging.getLogger("hf_gate.web"))


class _NoChunks(h11.Connection):
    """Refuses chunked bodies before they are read: chunks of one byte keep the event loop busy for minutes."""

    def next_event(self) -> Any:  # noqa: ANN401 - as h11 has it
        event = super().next_event()
        if isinstance(event, h11.Request) and any(name == b"transfer-encoding" for name, _ in event.headers):
            raise h11.RemoteProtocolError("a body in chunks")
        return event


class BoundedConnection(H11Protocol):
    """An HTTP/1.1 connection with deadlines. A body needs a Content-Length.

    It is closed if a request head takes longer than `head_seconds`, a body longer than `body_seconds`, or if the client
    reads nothing of its answer for `read_seconds`. If more than `most` connections are open, the one that has waited
    longest for its client is closed.
    """

    max_connections: ClassVar[int] = 128
    head_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 30.0
    read_seconds: ClassVar[float] = 60.0

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _watched_cycle: object = None
    is_aborted: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether the connection waits for its client: no complete request is unanswered."""
        current = self._current
        return current is None or current.response_complete or current.more_body

    @property
    def _current(self) -> RequestResponseCycle | None:
        return self.cycle  # None until the first request

    @property
    def waits_until(self) -> float | None:
        """When the client's deadline ends; None while the desk works on its request."""
        timer = self._stalled or self._deadline
        return None if timer is None else timer.when()

    def abort(self) -> None:
        """Close the connection at once and drop what was not sent."""
        self.is_aborted = True
        self.transport.abort()

    # ---- events ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.conn = _NoChunks(h11.SERVER, _MAX_HEAD)
        super().connection_made(cast("asyncio.Transport", transport))
        self._watch()
        here = _open_connections(self.connections)
        if len(here) > self.max_connections:
            _log.warning("too many connections: the one that waited longest is closed for each new one")
            (_longest_waiting([one for one in here if one is not self], 1) or [self])[0].abort()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that uvicorn cannot read, with a hint at the likely cause."""
        super().send_400_response(f"{msg} A body needs a Content-Length.\n")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.read_seconds, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _watch(self) -> None:
        """Start one deadline for each head and one for each body. Slow bytes do not extend it."""
        current = self._current
        is_same = self._deadline is not None and current is self._watched_cycle
        if self.is_waiting and is_same:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.is_waiting:
            is_body = current is not None and not current.response_complete
            seconds = self.body_seconds if is_body else self.head_seconds
            self._deadline, self._watched_cycle = self.loop.call_later(seconds, self.abort), current


# ---- too many connections ----------------------------------------------------------------------------------------------


def _open_connections(connections: Iterable[object]) -> list[BoundedConnection]:
    return [one for one in connections if isinstance(one, BoundedConnection) and not one.is_aborted]


def _longest_waiting(connections: Iterable[BoundedConnection], most: int) -> list[BoundedConnection]:
    """Return connections that wait for their client, the longest wait first. Others have a request in progress."""
    waiting = [(until, index, one) for index, one in enumerate(connections) if (until := one.waits_until) is not None]
    return [one for *_, one in sorted(waiting)[:most]]


def handle_loop_error(connections: Collection[object]) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return an exception handler for an event loop that accepts these connections.

    Without a free file descriptor no connection can be accepted. asyncio logs a traceback for each one that waits. This
    handler writes one line, and closes half of the connections that wait for their client.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        problem = context.get("exception")
        if not (isinstance(problem, OSError) and problem.errno in _OUT_OF_RESOURCES):
            loop.default_exception_handler(context)
            return
        _log.warning(f"a connection could not be accepted: {problem.strerror}")
        here = _open_connections(connections)
        for one in _longest_waiting(here, (len(here) + 1) // 2):
            one.abort()

    return handle
