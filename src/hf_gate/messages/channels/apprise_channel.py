"""Sends notices to chat services through `apprise`, an optional package of the extra `notify`."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.core.letters.messages import Delivery, DeliveryKind
from hf_gate.core.letters.notices import OutgoingMessage
from hf_gate.errors import UsageError

from .private_calls import is_proxied_here

TIMEOUT_S: Final = 10.0
DEADLINE_S: Final = 30.0  # of a whole call
_LONGEST: Final = 2000  # characters of an address
_HARMLESS: Final = str.maketrans(
    {"@": "(at)", "<": "‹", ">": "›", "*": "∗", "`": "'", "[": "(", "]": ")", "|": "/", "~": "∼"}
)
"""Characters that chat services read as mentions, links or markup."""


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the process that sends it gets it."""

    name: str
    address: str
    title: str
    body: str


class AppriseChannel:
    """One service, named by an address of `apprise`. The address is a secret; it never appears in messages."""

    def __init__(self, name: str, address: str, deadline_s: float = DEADLINE_S) -> None:
        open_service(name, address)
        self._name = name
        self._address = address
        self._deadline_s = deadline_s

    def send(
        self,
        message: OutgoingMessage,
        sent_at: datetime,  # noqa: ARG002 - the service has its own clock
        accepted: Sequence[str] = (),  # noqa: ARG002 - the service knows no single recipients
    ) -> Delivery:
        """Send a message once, as plain text, in a process of its own."""
        body = "\n".join(to_plain_text(line) for line in message.lines)
        sent = ChatMessage(name=self._name, address=self._address, title=message.subject, body=body)
        try:
            done = subprocess.run(  # the address does not appear in the list of processes
                [sys.executable, "-P", "-m", "hf_gate.messages.channels.apprise_process"],
                input=msgspec.json.encode(sent),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=self._deadline_s,
            )
        except subprocess.TimeoutExpired:
            return Delivery(DeliveryKind.UNKNOWN, f"no answer within {self._deadline_s:g} seconds")
        except OSError as problem:
            return Delivery(DeliveryKind.FAILED, f"no process could be started: {type(problem).__name__}")
        result = done.stdout.decode("ascii", "replace")[:50] or "its process died"
        if result == DeliveryKind.DELIVERED:
            return Delivery(DeliveryKind.DELIVERED)
        if result == DeliveryKind.UNKNOWN:
            return Delivery(DeliveryKind.UNKNOWN, "the service did not confirm the message")
        return Delivery(DeliveryKind.UNKNOWN, f"the service failed: {result}")


def to_plain_text(text: str) -> str:
    """Return a text that no chat service reads as a mention, a link or markup."""
    return text.translate(_HARMLESS).replace("://", ": //")


def open_service(name: str, address: str) -> Any:  # noqa: ANN401 - an object of an optional package
    """Return the service of an address. Raises UsageError, without the address, if it cannot be used."""
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
            f"`apprise` of destination {name} is not the address of a service.",
            hint="See the list of services of apprise.",
        )
    secure = service.secure_protocol or ()
    is_secure = service.schema in ((secure,) if isinstance(secure, str) else secure)
    if not is_secure and not is_loopback_host(service.host or ""):
        raise UsageError(
            f"`apprise` of destination {name} is an address without TLS.",
            hint="Use the service's form with TLS, such as jsons://.",
        )
    if is_proxied_here("https" if is_secure else "http", service.host or ""):
        raise UsageError(
            f"`apprise` of destination {name} is on this machine, but the environment names a proxy for it.",
            hint="Set NO_PROXY=localhost,127.0.0.1 for this process.",
        )
    service.redirects = False  # also if the address asks for them
    service.socket_connect_timeout = service.socket_read_timeout = TIMEOUT_S / 2
    return service
