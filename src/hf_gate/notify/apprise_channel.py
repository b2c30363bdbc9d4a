"""Sends notices to chat services through `apprise`, an optional package of the extra `notify`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from ..domain.network_hosts import is_loopback_host
from ..domain.notices import Delivery, DeliveryKind, OutgoingMessage
from ..errors import UsageError
from .private_calls import hide_address, is_proxied_here

TIMEOUT_S: Final = 10.0
_LONGEST: Final = 2000  # characters of an address
_HARMLESS: Final = str.maketrans(
    {"@": "(at)", "<": "‹", ">": "›", "*": "∗", "`": "'", "[": "(", "]": ")", "|": "/", "~": "∼"}
)
"""Characters that chat services read as mentions, links or markup."""


class AppriseChannel:
    """One service, named by an address of `apprise`. The address is a secret; it never appears in messages."""

    def __init__(self, name: str, address: str) -> None:
        self._service = _open_service(name, address)

    def send(self, message: OutgoingMessage, sent_at: datetime, accepted: Sequence[str] = ()) -> Delivery:  # noqa: ARG002 - the service has its own clock
        """Send a message once, as plain text."""
        body = "\n".join(to_plain_text(line) for line in message.lines)
        try:
            with hide_address():
                is_delivered = self._service.notify(body=body, title=message.subject, body_format="text")
        except Exception as problem:  # noqa: BLE001 - 190 services, each with its own errors
            return Delivery(DeliveryKind.UNKNOWN, f"the service failed: {type(problem).__name__}")
        if is_delivered:
            return Delivery(DeliveryKind.DELIVERED)
        return Delivery(DeliveryKind.UNKNOWN, "the service did not confirm the message")


def to_plain_text(text: str) -> str:
    """Return a text that no chat service reads as a mention, a link or markup."""
    return text.translate(_HARMLESS).replace("://", ": //")


def _open_service(name: str, address: str) -> Any:  # noqa: ANN401 - an object of an optional package
    try:
        import apprise
    except ImportError:
        raise UsageError(
            f"destination {name} needs the package apprise.", hint="Install hf-gate with the extra [notify]."
        ) from None
    log = logging.getLogger("apprise")  # it names hosts and answers
    log.addHandler(logging.NullHandler())
    log.propagate = False
    service: Any = None
    if len(address) <= _LONGEST and address.isprintable():
        service = apprise.Apprise.instantiate(address, asset=apprise.AppriseAsset(http_redirects=False))
    if service is None:
        raise UsageError(
            f"apprise of {name} does not hold an address of a service.", hint="See the list of services of apprise."
        )
    secure = service.secure_protocol or ()
    is_secure = service.schema in ((secure,) if isinstance(secure, str) else secure)
    if not is_secure and not is_loopback_host(service.host or ""):
        raise UsageError(
            f"apprise of {name} holds an address without TLS.",
            hint="Use the service's form with TLS, such as jsons://.",
        )
    if is_proxied_here("https" if is_secure else "http", service.host or ""):
        raise UsageError(
            f"apprise of {name} is on this machine, but the environment names a proxy for it.",
            hint="Set NO_PROXY=localhost,127.0.0.1 for this process.",
        )
    service.redirects = False  # also if the address asks for them
    service.socket_connect_timeout = service.socket_read_timeout = TIMEOUT_S / 2
    return service
