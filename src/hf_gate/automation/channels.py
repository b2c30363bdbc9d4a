"""Calls a heartbeat service after each good turn. The service raises an alarm when the call does not come."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx2

from hf_gate.messages.channels.private_calls import TIMEOUT_S, send_private_call
from hf_gate.messages.channels.webhook import check_web_address

KEY: Final = "heartbeat_url"
"""The key in hf-gate.yaml."""

_BAD_ADDRESSES: Final = (httpx2.InvalidURL, ValueError)


def call_heartbeat(address: str) -> str | None:
    """Call the address once, without a token; return why it failed, without the address, or None.

    Raises UsageError, without the address, unless it is https or on this machine.
    Redirects are not followed. The call ends after 10 seconds.
    """
    url = check_web_address(address, KEY)
    try:
        status = asyncio.run(send_private_call("GET", url, {"user-agent": "hf-gate"}))
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:.0f} seconds"
    except _BAD_ADDRESSES:  # their text repeats the address
        return "the address is not valid"
    except httpx2.HTTPError as problem:
        return type(problem).__name__
    except ExceptionGroup:  # of the attempts to connect to each address of a name
        return "the service could not be reached"
    return None if 200 <= status < 300 else f"it answered {status}"
