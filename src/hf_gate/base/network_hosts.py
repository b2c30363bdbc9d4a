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


def is_allowed_address(text: str, *, is_private: bool) -> bool:
    """Return whether a system that an owner names may have this address.

    It must be public. With `is_private`, it may also be of this machine or of a private network, but never link-local,
    where clouds keep the credentials of a machine, nor one of their other addresses for that.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address.ipv4_mapped
        if inner is not None:
            return is_allowed_address(str(inner), is_private=is_private)
        if address.sixtofour is not None or address.teredo is not None:
            return False
    if any(address in network for network in _PRIVATE_NETWORKS):
        return is_private and address not in _METADATA
    is_special = address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not is_special


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_PRIVATE_NETWORKS: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("::1/128", "fc00::/7", "fec0::/10"),
    )
)
_NOT_PUBLIC: Final = tuple(  # some releases of Python call these addresses public, and one is of a cloud
    ipaddress.ip_network(each) for each in ("192.0.0.0/24", "3fff::/20", "168.63.129.16/32")
)
_METADATA: Final = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")))


def is_url_of_hub(url: SplitResult, endpoint: str) -> bool:
    """Return whether a URL leads to the Hub at `endpoint`. The public Hub has several names."""
    hub = urlsplit(endpoint)
    if hub.hostname == urlsplit(PUBLIC_HUB).hostname:
        return url.hostname in _PUBLIC_NAMES and _special_port(url) is None
    return (url.hostname, _special_port(url)) == (hub.hostname, _special_port(hub))


def _special_port(url: SplitResult) -> int | None:
    """Return the port, unless it is the one of the scheme. Raises ValueError for an impossible port."""
    return None if url.port == _DEFAULT_PORTS.get(url.scheme) else url.port
