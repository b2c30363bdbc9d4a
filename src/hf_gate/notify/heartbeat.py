"""Calls a heartbeat service after each good turn. The service raises an alarm when the call does not come."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

import httpx2

from ..domain.network_hosts import is_loopback_host
from ..errors import UsageError

KEY: Final = "heartbeat_url"
"""The key in hf-gate.yaml."""

_TIMEOUT_S: Final = 10.0


def check_address(text: str) -> str:
    """Return the address. Raises UsageError, without the address, unless it is https or on this machine."""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
    except ValueError:
        host = ""
        url = urlsplit("")
    is_local = url.scheme == "http" and is_loopback_host(host)
    if not host or not (url.scheme == "https" or is_local):
        raise UsageError(f"{KEY} does not hold an https address.", hint="Copy the address from the service again.")
    return text


def call_heartbeat(address: str) -> str | None:
    """Call the address once, without a token; return why it failed, without the address, or None.

    Redirects are not followed. The call ends after 10 seconds.
    """
    url = check_address(address)
    try:
        status = asyncio.run(_call(url))
    except TimeoutError:
        return f"no answer within {_TIMEOUT_S:.0f} seconds"
    except httpx2.HTTPError as problem:
        return type(problem).__name__
    return None if 200 <= status < 300 else f"it answered {status}"


async def _call(url: str) -> int:
    async with (
        asyncio.timeout(_TIMEOUT_S),  # of the whole call, because a server can send its headers one byte at a time
        httpx2.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as client,
        client.stream("GET", url, headers={"user-agent": "hf-gate"}) as answer,
    ):
        return int(answer.status_code)
