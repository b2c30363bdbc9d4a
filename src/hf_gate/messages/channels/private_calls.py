"""Calls secret addresses: no log names the address, and no proxy gets a call to this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from hf_gate.base.network_hosts import is_loopback_host

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


def is_proxied_here(scheme: str, host: str) -> bool:
    """Tell whether the environment sends calls to this machine through a proxy."""
    proxies = getproxies()
    return is_loopback_host(host) and bool(proxies.get(scheme) or proxies.get("all")) and not proxy_bypass(host)
