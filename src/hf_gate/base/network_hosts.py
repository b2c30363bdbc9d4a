"""Tells hosts of this machine, and hosts of a Hub, from others."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

PRIVATE_HOST_SETTING: Final = "desk host"
"""The setting with the desk's private host name.

It is never exported, because only browsers with a valid link may know the name.
"""

PUBLIC_HUB: Final = "https://huggingface.co"
_PUBLIC_NAMES: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def is_loopback_host(host: str) -> bool:
    """Return whether only this machine can be reached by this name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # any other name may resolve to another machine
        return host == "localhost"


def is_url_of_hub(url: SplitResult, endpoint: str) -> bool:
    """Return whether a URL leads to the Hub at `endpoint`. The public Hub has several names."""
    hub = urlsplit(endpoint)
    if hub.hostname == urlsplit(PUBLIC_HUB).hostname:
        return url.hostname in _PUBLIC_NAMES and _special_port(url) is None
    return (url.hostname, _special_port(url)) == (hub.hostname, _special_port(hub))


def _special_port(url: SplitResult) -> int | None:
    """Return the port, unless it is the one of the scheme. Raises ValueError for an impossible port."""
    return None if url.port == _DEFAULT_PORTS.get(url.scheme) else url.port
