"""Calls secret addresses: no log names the address, and no proxy gets a call to this machine.

`read_guarded` calls addresses that contain what requesters wrote: it also checks where they lead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from ssl import SSLContext
from typing import Final, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from hf_gate.base.network_hosts import is_allowed_address, is_loopback_host

TIMEOUT_S: Final = 10.0
_LOGS: Final = (  # they log addresses
    *("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.proxy", "urllib3.connectionpool"),
)
_hides_address: ContextVar[bool] = ContextVar("hides_address", default=False)


def _is_loggable(_: logging.LogRecord) -> bool:
    return not _hides_address.get()


for _name in _LOGS:
    logging.getLogger(_name).addFilter(_is_loggable)


@contextmanager
def hide_address() -> Iterator[None]:
    """Keep the addresses of calls out of the logs of libraries."""
    token = _hides_address.set(True)
    try:
        yield
    finally:
        _hides_address.reset(token)


async def send_private_call(method: str, address: str, headers: Mapping[str, str], content: bytes | None = None) -> int:
    """Call a secret address once; return the status of the answer. Redirects are not followed."""
    with hide_address():
        is_local = is_loopback_host(urlsplit(address).hostname or "")
        transport = httpx2.AsyncHTTPTransport() if is_local else None  # with a transport, no proxy is used
        async with (
            asyncio.timeout(TIMEOUT_S),  # of the whole call, because a server can send its headers one byte at a time
            httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, transport=transport) as client,
            client.stream(method, address, headers=headers, content=content) as answer,
        ):
            return int(answer.status_code)


# ---- guarded calls ---------------------------------------------------------------------------------------------------

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host. Raises OSError."""


class RefusedCallError(Exception):
    """A call that was not made, or failed, or whose answer is not read. Its text names no address."""


def resolve_host(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as the system knows them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def read_guarded(
    address: str,
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    limit: int,
    is_private: bool = False,
    resolve: Resolver = resolve_host,
) -> tuple[int, bytes]:
    """Call an address by GET; return the status, and the body of a 200. Raises RefusedCallError.

    The name of the host is resolved once, all its addresses must be allowed, and the call goes to the first. No
    redirect is followed, no proxy is used, and no compressed answer is read. `timeout_s` is for the whole call, `limit`
    for the bytes of the body.
    """

    async def call() -> tuple[int, bytes]:
        with hide_address():
            async with asyncio.timeout(timeout_s):
                return await _exchange(httpx2.URL(address), headers, limit, is_private, resolve)

    try:
        return asyncio.run(call())
    except (TimeoutError, httpx2.TimeoutException):
        raise RefusedCallError(f"no whole answer within {timeout_s:.0f} seconds") from None
    except (httpx2.ConnectError, ExceptionGroup) as problem:
        raise RefusedCallError(_describe_connect_error(problem)) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as problem:  # their text repeats the address
        raise RefusedCallError(f"the call failed: {type(problem).__name__}") from None


def _describe_connect_error(problem: Exception) -> str:
    """Return why there is no connection. A certificate is refused after the host was reached."""
    cause: BaseException | None = problem
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return "no connection" if cause is None else "the certificate of the host is not trusted, or is for another host"


async def _exchange(
    url: httpx2.URL, headers: Mapping[str, str], limit: int, is_private: bool, resolve: Resolver
) -> tuple[int, bytes]:
    host = url.raw_host.decode("ascii")  # `url.host` decodes a name with `xn--`, which others encode as another name
    found = await _resolve_in_thread(resolve, host, url.port or (443 if url.scheme == "https" else 80))
    if not found or not all(is_allowed_address(each, is_private=is_private) for each in found):
        raise RefusedCallError("the name of the host is unknown, or leads to an address that is not allowed")
    request = httpx2.Request(
        "GET",
        url.copy_with(host=found[0]),
        headers={**headers, "host": url.netloc.decode("ascii"), "accept-encoding": "identity"},
        extensions={"sni_hostname": host},
    )
    tls = _open_tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    async with httpx2.AsyncHTTPTransport(verify=tls) as transport:
        answer = await transport.handle_async_request(request)
        if answer.status_code != 200:
            return answer.status_code, b""
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit:
                break
        if len(body) > limit or "content-encoding" in answer.headers:
            raise RefusedCallError(f"the answer is compressed, or larger than {limit // 1024} KiB")
        return 200, bytes(body)


@lru_cache(maxsize=1)
def _open_tls(_file: str | None, _folder: str | None) -> SSLContext:
    """Return the trusted certificates, which take time to read; the variables may name others."""
    return httpx2.create_ssl_context()


async def _resolve_in_thread(resolve: Resolver, host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host; none if it has none. Nothing can interrupt the system's resolver, so the caller
    need not wait for it.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Queue[Sequence[str]] = asyncio.Queue()

    def work() -> None:
        addresses: Sequence[str] = ()
        with suppress(OSError, UnicodeError, RuntimeError):  # RuntimeError: the caller no longer waits
            try:
                addresses = resolve(host, port)
            finally:
                loop.call_soon_threadsafe(found.put_nowait, addresses)

    threading.Thread(target=work, name="resolve", daemon=True).start()
    return await found.get()


def is_proxied_here(scheme: str, host: str) -> bool:
    """Tell whether the environment sends calls to this machine through a proxy."""
    proxies = getproxies()
    return is_loopback_host(host) and bool(proxies.get(scheme) or proxies.get("all")) and not proxy_bypass(host)
