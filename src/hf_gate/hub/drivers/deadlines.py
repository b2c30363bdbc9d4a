"""Time limits of blocking calls: the stop signal of a run, the deadline of a call, and a transport that obeys it."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

if TYPE_CHECKING:
    import ssl

GRACE_S = 5.0  # after a stop, calls in flight can be settled for this long
_SLICE_S = 0.25  # a read without data checks its deadline this often
_MIN_TIMEOUT_S = 0.001  # a socket with timeout 0 would not block at all


class StopSignal:
    """Stops calls: `stop` forbids changes at once, and reads (which settle changes) from `until` on."""

    def __init__(self) -> None:
        self.until = math.inf  # monotonic seconds

    @property
    def is_set(self) -> bool:
        """Whether `stop` was called."""
        return self.until < math.inf

    def stop(self, grace: float = GRACE_S) -> None:
        """Forbid further changes. A second stop does not extend the grace period."""
        self.until = min(self.until, time.monotonic() + grace)

    def is_forbidden(self, *, is_change: bool) -> bool:
        """Return whether a call is forbidden now; changes are forbidden earlier than reads."""
        return self.is_set and (is_change or time.monotonic() >= self.until)


class Deadline(threading.local):
    """The deadline of the current thread's call. It is evaluated on each use, because a stop can bring it forward."""

    def __init__(self) -> None:
        self.until: Callable[[], float] = lambda: math.inf

    def seconds_left(self) -> float:
        """Return the seconds left, but at least the smallest socket timeout."""
        return max(self.until() - time.monotonic(), _MIN_TIMEOUT_S)

    def is_over(self) -> bool:
        """Return whether the deadline has passed."""
        return time.monotonic() >= self.until()


class _DeadlineStream(httpcore2.NetworkStream):
    """A connection whose reads obey the deadline, even if the peer keeps sending a few bytes at a time."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        silent_by = math.inf if timeout is None else time.monotonic() + timeout
        while not self._deadline.is_over():
            left = max(min(silent_by - time.monotonic(), _SLICE_S), _MIN_TIMEOUT_S)
            try:
                return self._inner.read(max_bytes, min(left, self._deadline.seconds_left()))
            except httpcore2.ReadTimeout:
                if time.monotonic() >= silent_by:
                    raise
        raise httpcore2.ReadTimeout("the time limit of the call was reached")

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._deadline.is_over():  # the process may have stood still since the call was allowed
            raise httpcore2.WriteTimeout("the time limit of the call was reached")
        self._inner.write(buffer, _min_timeout(timeout, self._deadline.seconds_left()))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        limit = _min_timeout(timeout, self._deadline.seconds_left())
        return _DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, limit), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class DeadlineBackend(httpcore2.SyncBackend):
    """A network backend that opens connections that obey the deadline."""

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
        """Connect to the first address that answers; all attempts together obey the deadline."""
        problem: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses:
            limit = _min_timeout(timeout, self._deadline.seconds_left())
            try:
                stream = super().connect_tcp(address, port, limit, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                problem = error
                if self._deadline.is_over():
                    break
            else:
                return _DeadlineStream(stream, self._deadline)
        raise problem


@cache
def tls_context() -> ssl.SSLContext:
    """Return the TLS settings that all clients of this process share: reading the certificates takes 5 ms."""
    return httpx2.create_ssl_context()


class DeadlineTransport(httpx2.BaseTransport):
    """An httpx2 transport whose connections obey a deadline, also through a proxy. httpx2's own transport accepts no
    backend.
    """

    def __init__(
        self, deadline: Deadline, limits: httpx2.Limits, proxy: httpx2.Proxy | None = None, *, with_tls: bool = True
    ) -> None:
        """`with_tls`: whether the origin is called by https. Its settings take 7 ms to load."""
        options: dict[str, Any] = {
            "ssl_context": tls_context() if with_tls else None,
            "max_connections": limits.max_connections,
            "max_keepalive_connections": limits.max_keepalive_connections,
            "keepalive_expiry": limits.keepalive_expiry,
            "network_backend": DeadlineBackend(deadline),
        }
        self._pool: httpcore2.ConnectionPool
        if proxy is None:
            self._pool = httpcore2.ConnectionPool(**options)
        elif proxy.url.scheme.startswith("socks"):
            self._pool = httpcore2.SOCKSProxy(_to_core_url(proxy.url), proxy_auth=proxy.raw_auth, **options)
        else:
            self._pool = httpcore2.HTTPProxy(
                _to_core_url(proxy.url), proxy_auth=proxy.raw_auth, proxy_headers=proxy.headers.raw, **options
            )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.SyncByteStream)
        core_request = httpcore2.Request(
            request.method,
            _to_core_url(request.url),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _convert_errors():
            response = self._pool.handle_request(core_request)
        assert isinstance(response.stream, Iterable)
        stream = _ResponseStream(response.stream)
        return httpx2.Response(response.status, headers=response.headers, stream=stream, extensions=response.extensions)

    def close(self) -> None:
        self._pool.close()


class _ResponseStream(httpx2.SyncByteStream):
    def __init__(self, inner: Iterable[bytes]) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        with _convert_errors():
            yield from self._inner

    def close(self) -> None:
        if (close := getattr(self._inner, "close", None)) is not None:
            close()


@contextmanager
def _convert_errors() -> Iterator[None]:
    """Convert httpcore2's errors to httpx2's errors of the same names."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.ProxyError,
        httpcore2.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx2, type(error).__name__)(str(error)) from error


def _to_core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _min_timeout(timeout: float | None, left: float) -> float | None:
    limit = left if timeout is None else min(timeout, left)
    return None if limit == math.inf else limit
