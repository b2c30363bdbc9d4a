"""Opens the channel of a destination with the secrets that hf-gate.yaml refers to."""

from __future__ import annotations

from pathlib import Path

from hf_gate.core.letters.notices import ChannelKind, Destination
from hf_gate.core.ports import ChannelPort

from .apprise_channel import AppriseChannel
from .secret_references import resolve_secret
from .smtp import MailChannel
from .webhook import Webhook


def open_channel(destination: Destination, folder: Path) -> ChannelPort:
    """Return the channel. Raises UsageError, without the secret, if a secret is missing or not usable."""
    name = destination.name

    def secret(reference: str | None, key: str) -> str:
        return resolve_secret(reference or "", f"{key} of {name}", folder)

    if destination.mail is not None:
        server = destination.mail
        password = None if server.password is None else secret(server.password, "password")
        return MailChannel(name, server, password)
    if destination.kind is ChannelKind.APPRISE:
        return AppriseChannel(name, secret(destination.address, "apprise"))
    return Webhook(name, secret(destination.address, "webhook"), secret(destination.key, "key"))
