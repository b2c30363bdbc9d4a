"""Names the network from which a request comes, so that one network cannot take all places of a sign-in."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.requests import Request

_IPV6_PREFIX: Final = 64  # bits that one household or server has


def find_network(request: Request, *, is_proxied: bool) -> str | None:
    """Return the address of a client, or its IPv6 network; None if only the proxy knows it.

    A proxy adds the address that it sees as the last one of `X-Forwarded-For`. Clients can write those before it.
    """
    text = "" if request.client is None else request.client.host
    if is_proxied:
        text = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    try:
        address = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
