"""Limits the concurrent requests of each member or network, so that one cannot block the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final
from weakref import WeakValueDictionary

from starlette.requests import Request

MAX_RUNNING: Final = 2  # requests of a member that run at the same time; there are six threads
MAX_OPEN: Final = 24  # requests of a member that run or wait; a browser opens six connections


class Admission(Enum):
    """Whether a request may run."""

    REFUSED = "refused"  # too many are open
    AT_ONCE = "at once"
    WAITED = "waited"  # what was true of the member before may have changed


class _OpenRequests:
    """The open requests of one member."""

    def __init__(self) -> None:
        self.semaphore = asyncio.Semaphore(MAX_RUNNING)
        self.count = 0


class MemberLimits:
    """Counts the open requests of all members."""

    def __init__(self) -> None:
        self._by_member: WeakValueDictionary[str, _OpenRequests] = WeakValueDictionary()

    @asynccontextmanager
    async def acquire(self, member: str) -> AsyncIterator[Admission]:
        """Wait until the member's request may run; yield REFUSED at once if too many are open."""
        open_requests = self._by_member.get(member)
        if open_requests is None:
            open_requests = self._by_member[member] = _OpenRequests()
        if open_requests.count >= MAX_OPEN:
            yield Admission.REFUSED
            return
        open_requests.count += 1
        try:
            admission = Admission.WAITED if open_requests.semaphore.locked() else Admission.AT_ONCE
            async with open_requests.semaphore:
                yield admission
        finally:
            open_requests.count -= 1


# ---- networks --------------------------------------------------------------------------------------------------------


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
