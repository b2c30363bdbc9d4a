"""Sends notices to a webhook: JSON in a POST request, signed with a key that the receiver knows."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import httpx2
import msgspec

from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.core.letters.messages import Delivery, DeliveryKind
from hf_gate.core.letters.notices import OutgoingMessage
from hf_gate.errors import UsageError

from .private_calls import TIMEOUT_S, send_private_call

_BASE64: Final = "whsec_"
"""The start of a key that holds bytes in base64, as tools for Standard Webhooks make them."""
_LONGEST: Final = 2000  # characters of an address
_SHORTEST_KEY: Final = 16
_PASSING: Final = frozenset({401, 403, 407, 408, 425, 429})
"""Refusals of the sender, or for now: another message would fare alike, so this one waits."""


def check_web_address(text: str, name: str) -> str:
    """Return the address. Raises UsageError, without the address, unless it is https or on this machine."""
    hint = "Copy the address from the service again."
    if len(text) > _LONGEST or not text.isprintable():
        raise UsageError(f"{name} holds more than {_LONGEST:,} characters, or a control character.", hint=hint)
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        _ = url.port  # raises ValueError if it is no number from 0 to 65535
    except ValueError:
        host = ""
        url = urlsplit("")
    if not host or not (url.scheme == "https" or (url.scheme == "http" and is_loopback_host(host))):
        raise UsageError(f"{name} does not hold an https address.", hint=hint)
    return text


def sign(secret: bytes, ident: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a body, as Standard Webhooks makes it: HMAC-SHA256 over id, timestamp and body."""
    digest = hmac.new(secret, f"{ident}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class Webhook:
    """A webhook. The address and the key are secrets; neither appears in messages."""

    def __init__(self, name: str, address: str, key: str) -> None:
        self._address = check_web_address(address, f"webhook of {name}")
        try:
            is_plain = not key.startswith(_BASE64)
            self._secret = key.encode() if is_plain else base64.b64decode(key.removeprefix(_BASE64), validate=True)
        except ValueError:
            raise UsageError(f"key of {name} is not base64 after {_BASE64}.", hint="Copy the key again.") from None
        if len(self._secret) < _SHORTEST_KEY:
            raise UsageError(
                f"key of {name} is shorter than {_SHORTEST_KEY} characters.", hint="Make one: openssl rand -hex 32"
            )

    def send(
        self,
        message: OutgoingMessage,
        sent_at: datetime,
        accepted: Sequence[str] = (),  # noqa: ARG002 - there is one recipient
    ) -> Delivery:
        """Send a message once. Redirects are not followed, and the call ends after 10 seconds."""
        body = msgspec.json.encode(message)
        timestamp = int(sent_at.timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "hf-gate",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._secret, message.id, timestamp, body),
        }
        try:
            status = asyncio.run(send_private_call("POST", self._address, headers, body))
        except (TimeoutError, httpx2.TimeoutException):
            return Delivery(DeliveryKind.UNKNOWN, f"no answer within {TIMEOUT_S:.0f} seconds")
        except (httpx2.ConnectError, ExceptionGroup):
            return Delivery(DeliveryKind.FAILED, "the receiver could not be reached")
        except (httpx2.InvalidURL, ValueError):  # their text repeats the address
            return Delivery(DeliveryKind.FAILED, "the address is not valid")
        except httpx2.HTTPError as problem:
            return Delivery(DeliveryKind.UNKNOWN, f"the connection broke: {type(problem).__name__}")
        return _classify(status)


def _classify(status: int) -> Delivery:
    if 200 <= status < 300:
        return Delivery(DeliveryKind.DELIVERED)
    words = f"the receiver answered {status}"
    if status in _PASSING or status >= 500:
        return Delivery(DeliveryKind.FAILED, words)
    return Delivery(DeliveryKind.REFUSED, words)
