"""Exchanges single calls over httpx2: with time limits, to one origin, without redirects. Failures become values."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from msgspec import Struct

from hf_gate.base.environment import note_change, require_writes
from hf_gate.errors import UsageError
from hf_gate.hub.credentials import Secret, is_loopback
from hf_gate.hub.protocol.messages import Answer, FailureReason, HubCall, NoReply, Reply

from .clock import Clock
from .deadlines import Deadline, DeadlineTransport

_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.ProxyError,  # the proxy refused the tunnel, before any call
)
LIMITS = httpx2.Limits(max_connections=64, max_keepalive_connections=64, keepalive_expiry=30)
_MAX_CAUSES = 12
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class HubConnection(Struct, frozen=True):
    """Origin, credentials and limits of calls.

    `timeout` is in seconds of silence; a whole call may take six times as long.
    """

    origin: str
    clock: Clock
    timeout: float
    token: Secret | None = None
    user_agent: str = ""

    @property
    def max_call_s(self) -> float:
        """The most seconds that a complete call may take, including slow bodies."""
        return self.timeout * 6

    def build_headers(self, send: HubCall) -> dict[str, str]:
        """Return the headers of a call. Only this method reveals the token.

        Raises UsageError for a call that may change the Hub if nothing may be changed.
        """
        if send.is_change:
            require_writes("the Hub")
            note_change()
        headers = {"user-agent": self.user_agent, "accept": send.accept}
        if send.body is not None:
            headers["content-type"] = "application/json"
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token.reveal()}"
        return headers

    def build_timeouts(self) -> httpx2.Timeout:
        """Return the timeouts of a call."""
        return httpx2.Timeout(self.timeout, connect=min(self.timeout, 5.0), pool=None)

    def failure_reply(self, problem: Exception) -> NoReply:
        """Return the answer for a failure of the network."""
        cause: BaseException | None = _without_frames(problem)
        detail = str(problem)[:200] or type(problem).__name__
        if self.token is not None and self.token.reveal() in str(problem):
            detail = type(problem).__name__
            cause = None
        if isinstance(problem, httpx2.ProxyError):
            detail = f"the proxy refused the connection ({detail})"
        if isinstance(problem, _UNSENT) or not isinstance(problem, httpx2.HTTPError):
            return NoReply(FailureReason.CONNECT, False, detail, self.clock.now(), cause=cause)
        if isinstance(problem, httpx2.TimeoutException):
            detail = f"no answer for {self.timeout:g} s"
            return NoReply(FailureReason.TIMEOUT, True, detail, self.clock.now(), cause=cause)
        detail = f"the connection ended early ({detail})"
        return NoReply(FailureReason.BROKEN, True, detail, self.clock.now(), cause=cause)

    def build_reply(self, response: httpx2.Response, body: bytes) -> Reply:
        """Return the answer for a complete response."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        self.clock.follow(headers.get("x-hf-gate-clock"))
        return Reply(response.status_code, headers, body, self.clock.now())

    def too_large_reply(self, send: HubCall) -> NoReply:
        """Return the answer for a body that exceeds `max_bytes`."""
        detail = f"the answer is larger than {send.max_bytes >> 20} MiB"
        return NoReply(FailureReason.TOO_LARGE, send.is_change, detail, self.clock.now())

    def too_slow_reply(self, limit: float) -> NoReply:
        """Return the answer for a response that is incomplete after `limit` seconds."""
        return NoReply(FailureReason.TIMEOUT, True, f"incomplete after {limit:.3g} s", self.clock.now())


def _without_frames(problem: BaseException) -> BaseException:
    """Remove the frames and calls of a network error and of its causes, because they contain the
    Authorization header.
    """
    step: BaseException | None = problem
    for _ in range(_MAX_CAUSES):
        if step is None:
            break
        step.with_traceback(None)
        if isinstance(step, httpx2.RequestError):
            step._request = None  # noqa: SLF001 - read by the property `request`, which then raises
        step = step.__cause__ or step.__context__
    else:
        problem.__cause__ = problem.__context__ = None
    return problem


def build_user_agent(version: str) -> str:
    """Return the User-Agent header, which contains nothing about the person or the machine."""
    return f"hf-gate/{version}; python/{sys.version_info.major}.{sys.version_info.minor}"


def find_proxy(origin: str) -> httpx2.Proxy | None:
    """Return the proxy that the environment names for an origin; None if the origin is on this machine.

    An unusable proxy raises a UsageError that shows neither its address nor its password.
    """
    url = urlsplit(origin)
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or is_loopback(origin) or proxy_bypass(url.hostname or ""):
        return None
    try:
        proxy = httpx2.Proxy(address if "://" in address else f"http://{address}")
    except (ValueError, httpx2.InvalidURL):
        proxy = None
    lacks_socks = proxy is not None and proxy.url.scheme.startswith("socks") and find_spec("socksio") is None
    if proxy is not None and not lacks_socks:
        return proxy
    names = " or ".join(name for name in _PROXY_VARIABLES if os.environ.get(name) or os.environ.get(name.lower()))
    raise UsageError(  # raised outside the except clause, because the caught error contains the address
        f"the {'SOCKS ' if lacks_socks else ''}proxy in {names or 'the system settings'} cannot be used.",
        hint="Install SOCKS support: pip install socksio." if lacks_socks else "Write http://HOST:PORT, or unset it.",
    )


def reject_cookies() -> CookieJar:
    """Return a cookie jar that stores nothing, so that calls share no state."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


class BlockingTransport:
    """Exchanges calls from any thread; each thread exchanges one call at a time."""

    def __init__(self, connection: HubConnection, monotonic: Callable[[], float]) -> None:
        self._connection = connection
        self._monotonic = monotonic
        self._deadline = Deadline()
        self._client = httpx2.Client(
            transport=DeadlineTransport(
                self._deadline, LIMITS, find_proxy(connection.origin), with_tls=connection.origin.startswith("https:")
            ),
            timeout=connection.build_timeouts(),
            follow_redirects=False,
            cookies=reject_cookies(),
        )

    def exchange(
        self, send: HubCall, until: Callable[[], float] = lambda: math.inf, within: float = math.inf
    ) -> Answer:
        """Send one call and return its answer; failures of the network and the Hub are answers too.

        The call ends after `within` seconds, and at `until()` (monotonic seconds), which may change during the call.
        """
        connection = self._connection
        limit = min(self._connection.max_call_s, within)
        end = self._monotonic() + limit
        self._deadline.until = lambda: min(end, until())
        url = connection.origin + send.path
        headers = connection.build_headers(send)
        try:
            sent = connection.clock.now()
            with self._client.stream(send.method, url, content=send.body, headers=headers) as response:
                connection.clock.record_skew(response.headers, sent)
                chunks = []
                size = 0
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    chunks.append(chunk)
                    if size > send.max_bytes:
                        return connection.too_large_reply(send)
                    if self._deadline.is_over():
                        return connection.too_slow_reply(limit)
                return connection.build_reply(response, b"".join(chunks))
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as problem:
            if isinstance(problem, httpx2.ReadTimeout) and self._deadline.is_over():
                return connection.too_slow_reply(limit)
            return connection.failure_reply(problem)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()
