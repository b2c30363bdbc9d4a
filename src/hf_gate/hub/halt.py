"""When a call must end: its own limit, a run that was stopped, a client that was closed. Knows no protocol."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2
import httpx2

GRACE_S = 5.0  # after a stop, so long may what is on its way still be settled
_SLICE_S = 0.25  # a silent read looks so often whether it should still go on
_LEAST_S = 0.001  # a socket with the limit 0 would not block at all


class Halt:
    """Whether calls may still go: changes not after a stop, reads (they settle) until `until`, monotonic seconds."""

    def __init__(self) -> None:
        self.until = math.inf

    @property
    def is_set(self) -> bool:
        """Whether it was stopped."""
        return self.until < math.inf

    def stop(self, grace: float = GRACE_S) -> None:
        """Let no further change go; a second stop gives no longer grace."""
        self.until = min(self.until, time.monotonic() + grace)

    def forbids(self, *, changes: bool) -> bool:
        """Whether such a call may not go any more."""
        return self.is_set and (changes or time.monotonic() >= self.until)


class Deadline(threading.local):
    """Until when the exchange of this thread may go on; asked again and again, for a stop may bring it forward."""

    def __init__(self) -> None:
        self.until: Callable[[], float] = lambda: math.inf

    def left(self) -> float:
        """Seconds, never below what a socket takes for a limit."""
        return max(self.until() - time.monotonic(), _LEAST_S)

    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.until()


class _Stream(httpcore2.NetworkStream):
    """A connection whose reads heed the deadline, however often a few bytes come."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        silent_by = math.inf if timeout is None else time.monotonic() + timeout
        while not self._deadline.is_over():
            left = max(min(silent_by - time.monotonic(), _SLICE_S), _LEAST_S)
            try:
                return self._inner.read(max_bytes, min(left, self._deadline.left()))
            except httpcore2.ReadTimeout:
                if time.monotonic() >= silent_by:
                    raise
        raise httpcore2.ReadTimeout("the time of the whole call is up")

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _least(timeout, self._deadline.left()))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        limit = _least(timeout, self._deadline.left())
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore2.SyncBackend):
    """Connections that heed the deadline, from the first address that is tried."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as problem:
            raise httpcore2.ConnectError(str(problem)) from problem
        return self.connect_first(
            [str(address[0]) for *_, address in found], port, timeout, local_address, socket_options
        )

    def connect_first(
        self,
        addresses: Iterable[str],
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that answers; a name with many silent ones takes no longer than the call may."""
        problem: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses:
            limit = _least(timeout, self._deadline.left())
            try:
                made = super().connect_tcp(address, port, limit, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                problem = failed
                if self._deadline.is_over():
                    break
            else:
                return _Stream(made, self._deadline)
        raise problem


def _least(timeout: float | None, left: float) -> float | None:
    limit = left if timeout is None else min(timeout, left)
    return None if limit == math.inf else limit


def bind(client: httpx2.Client, deadline: Deadline) -> None:
    """Make every connection of the client, also through a proxy, heed the deadline.

    httpx2 hands no network backend through, so it is put where its transports keep it; a test holds this.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - as said above
        if isinstance(transport, httpx2.HTTPTransport):
            transport._pool._network_backend = Backend(deadline)  # noqa: SLF001
