"""One exchange over httpx2: explicit limits, one origin, no redirects; every failure becomes a value."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar

import httpx2

from ..errors import UsageError
from ..protocol.messages import Answer, FailureReason, HubCall, NoReply, Reply
from .clock import Clock
from .credentials import Secret, is_loopback
from .halt import Deadline, bind

_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.ProxyError,  # raised before a call: the tunnel was refused
)
_LIMITS = httpx2.Limits(max_connections=64, max_keepalive_connections=64, keepalive_expiry=30)
Client = TypeVar("Client", httpx2.Client, httpx2.AsyncClient)
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Wire:
    """Where calls go and how long they may take. `timeout`: seconds of silence; a whole call may take six times that."""

    origin: str
    clock: Clock
    timeout: float
    token: Secret | None = None
    agent: str = field(default="")

    @property
    def whole(self) -> float:
        """The most seconds a whole call may take, slow bodies included."""
        return self.timeout * 6

    def headers(self, send: HubCall) -> dict[str, str]:
        """The headers of a call; the only place where the token is revealed."""
        headers = {"user-agent": self.agent, "accept": send.accept}
        if send.body is not None:
            headers["content-type"] = "application/json"
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token.reveal()}"
        return headers

    def limits(self) -> httpx2.Timeout:
        """The limits of one call."""
        return httpx2.Timeout(self.timeout, connect=min(self.timeout, 5.0), pool=None)

    def lost(self, problem: httpx2.HTTPError) -> NoReply:
        """What a failure of the network means."""
        detail = str(problem)[:200] or type(problem).__name__
        if isinstance(problem, httpx2.ProxyError):
            detail = f"the proxy refused the connection ({detail})"
        if isinstance(problem, _UNSENT):
            return NoReply(FailureReason.CONNECT, False, detail, self.clock.now())
        if isinstance(problem, httpx2.TimeoutException):
            return NoReply(FailureReason.TIMEOUT, True, f"silent for {self.timeout:g} s", self.clock.now())
        return NoReply(FailureReason.BROKEN, True, f"the connection ended early ({detail})", self.clock.now())

    def reply(self, response: httpx2.Response, body: bytes) -> Reply:
        """An answer that came whole."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        self.clock.heard(headers.get("x-hf-gate-clock"))
        return Reply(response.status_code, headers, body, self.clock.now())

    def too_large(self, send: HubCall) -> NoReply:
        """A body over the cap."""
        detail = f"the answer is larger than {send.max_bytes >> 20} MiB"
        return NoReply(FailureReason.TOO_LARGE, send.is_change, detail, self.clock.now())

    def too_slow(self, limit: float) -> NoReply:
        """An answer that is not whole after so many seconds."""
        return NoReply(FailureReason.TIMEOUT, True, f"not whole after {limit:.3g} s", self.clock.now())


def _no_cookies() -> CookieJar:
    """A jar that takes no cookie: nothing is remembered of a Hub, and nothing of it goes along with a token."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def user_agent(version: str) -> str:
    """How hf-gate names itself; nothing about the person or the machine."""
    return f"hf-gate/{version}; python/{sys.version_info.major}.{sys.version_info.minor}"


def _with_proxies(make: Callable[[], Client]) -> Client:
    """Make an httpx2 client; a proxy that it cannot use becomes a UsageError that shows no address and no password."""
    try:
        return make()
    except (ImportError, ValueError, httpx2.InvalidURL) as problem:
        is_socks = isinstance(problem, ImportError)
    names = " or ".join(name for name in _PROXY_VARIABLES if os.environ.get(name) or os.environ.get(name.lower()))
    raise UsageError(  # outside of the except, for the problem quotes the address
        f"the {'SOCKS ' if is_socks else ''}proxy in {names or 'the settings of this machine'} cannot be used.",
        hint="Install SOCKS support: pip install socksio." if is_socks else "Write http://HOST:PORT, or unset it.",
    )


class BlockingTransport:
    """Exchanges one call after the other, from any thread."""

    def __init__(self, wire: Wire, monotonic: Callable[[], float]) -> None:
        self._wire, self._monotonic = wire, monotonic
        # A transport of its own takes no proxy from the environment: a token for this machine stays on it.
        direct = httpx2.HTTPTransport(limits=_LIMITS) if is_loopback(wire.origin) else None
        self._client = _with_proxies(
            lambda: httpx2.Client(
                transport=direct, timeout=wire.limits(), limits=_LIMITS, follow_redirects=False, cookies=_no_cookies()
            )
        )
        self._deadline = Deadline()
        bind(self._client, self._deadline)

    def exchange(
        self, send: HubCall, until: Callable[[], float] = lambda: math.inf, within: float = math.inf
    ) -> Answer:
        """One call, never raising for what the network or the Hub does.

        It ends after `within` seconds, and at `until`, monotonic seconds, which may change meanwhile.
        """
        wire, limit = self._wire, min(self._wire.whole, within)
        end = self._monotonic() + limit
        self._deadline.until = lambda: min(end, until())
        url, headers = wire.origin + send.path, wire.headers(send)
        try:
            sent = wire.clock.now()
            with self._client.stream(send.method, url, content=send.body, headers=headers) as response:
                wire.clock.met(response.headers, sent)
                chunks, size = [], 0
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    chunks.append(chunk)
                    if size > send.max_bytes:
                        return wire.too_large(send)
                    if self._deadline.is_over():
                        return wire.too_slow(limit)
                return wire.reply(response, b"".join(chunks))
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as problem:
            if isinstance(problem, httpx2.ReadTimeout) and self._deadline.is_over():
                return wire.too_slow(limit)
            return (
                wire.lost(problem)
                if isinstance(problem, httpx2.HTTPError)
                else NoReply(FailureReason.CONNECT, False, str(problem))
            )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class AsyncTransport:
    """The same for one event loop."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        direct = httpx2.AsyncHTTPTransport(limits=_LIMITS) if is_loopback(wire.origin) else None  # as above
        self._client = _with_proxies(
            lambda: httpx2.AsyncClient(
                transport=direct, timeout=wire.limits(), limits=_LIMITS, follow_redirects=False, cookies=_no_cookies()
            )
        )

    async def exchange(self, send: HubCall, within: float = math.inf) -> Answer:
        """One call, never raising for what the network or the Hub does; it ends after `within` seconds."""
        limit = min(self._wire.whole, within)
        try:
            async with asyncio.timeout(limit):
                return await self._exchange(send)
        except TimeoutError:
            return self._wire.too_slow(limit)

    async def _exchange(self, send: HubCall) -> Answer:
        wire = self._wire
        url, headers = wire.origin + send.path, wire.headers(send)
        try:
            sent = wire.clock.now()
            async with self._client.stream(send.method, url, content=send.body, headers=headers) as response:
                wire.clock.met(response.headers, sent)
                chunks, size = [], 0
                async for chunk in response.aiter_bytes():
                    size += len(chunk)
                    chunks.append(chunk)
                    if size > send.max_bytes:
                        return wire.too_large(send)
                return wire.reply(response, b"".join(chunks))
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as problem:
            return (
                wire.lost(problem)
                if isinstance(problem, httpx2.HTTPError)
                else NoReply(FailureReason.CONNECT, False, str(problem))
            )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
