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
_LONGEST: Final = 2000  # characters of an address
_BAD_ADDRESSES: Final = (httpx2.InvalidURL, ValueError)


def check_address(text: str) -> str:
    """Return the address. Raises UsageError, without the address, unless it is https or on this machine."""
    if len(text) > _LONGEST or not text.isprintable():
        raise UsageError(
            f"{KEY} holds more than {_LONGEST:,} characters, or a control character.",
            hint="Copy the address from the service again.",
        )
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        _ = url.port  # raises ValueError if it is no number from 0 to 65535
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
    except _BAD_ADDRESSES:  # their text repeats the address
        return "the address is not valid"
    except httpx2.HTTPError as problem:
        return type(problem).__name__
    except ExceptionGroup:  # of the attempts to connect to each address of a name
        return "the service could not be reached"
    return None if 200 <= status < 300 else f"it answered {status}"


async def _call(url: str) -> int:
    async with (
        asyncio.timeout(_TIMEOUT_S),  # of the whole call, because a server can send its headers one byte at a time
        httpx2.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as client,
        client.stream("GET", url, headers={"user-agent": "hf-gate"}) as answer,
    ):
        return int(answer.status_code)
