"""The private host name of a desk on this machine, NAME.localhost: its session cookie goes to no other port of 127.0.0.1.

Browsers ignore the port of a cookie. A cookie of 127.0.0.1 goes to every program that listens there, also to those of other
users. NAME is random, is kept in the store, and is told only to a browser that brings a valid link: whoever knows it could
ask for the cookie at a port of their own. Browsers look for NAME.localhost at ::1 as well as at 127.0.0.1, so the desk
listens at both. If it cannot, it has no private name.
"""

from __future__ import annotations

import re
import secrets
import socket
from typing import Final

from starlette.requests import Request

from ..application.setting_keys import PRIVATE_HOST
from ..application.workspace import Workspace

_NAME: Final = re.compile(r"desk-[0-9a-f]{20}\.localhost")
_LOOPBACKS: Final = {"127.0.0.1": "::1", "localhost": "::1", "::1": "127.0.0.1"}
_RESOLVING_BROWSERS: Final = re.compile(r"(?:Chrome|Firefox)/")
"""User agents that look .localhost up by themselves; Safari asks the system, which may not know it."""


def ensure_private_host(workspace: Workspace) -> str:
    """Return the name that the store keeps; the first call makes it.

    Browsers are led there with their sign-in link, so another host in a crafted store is not believed.
    """
    store = workspace.store
    known = _stored_name(workspace)
    if known is not None:
        return known
    with store.writing() as write:
        known = _stored_name(workspace) or f"desk-{secrets.token_hex(10)}.localhost"
        write.write_setting(PRIVATE_HOST, known)
    return known


def _stored_name(workspace: Workspace) -> str | None:
    name = workspace.store.setting(PRIVATE_HOST)
    return name if name is not None and _NAME.fullmatch(name) else None


def listen_on_other_loopback(host: str, port: int, backlog: int) -> list[socket.socket] | None:
    """Listen at the other loopback address of this machine, if it has one; None if another program has that port."""
    other = _LOOPBACKS.get(host)
    if other is None:
        return None
    family = socket.AF_INET6 if ":" in other else socket.AF_INET
    try:
        return [socket.create_server((other, port), family=family, backlog=backlog)]
    except OSError:
        return None if _exists(other, family) else []


def _exists(address: str, family: socket.AddressFamily) -> bool:
    try:
        socket.create_server((address, 0), family=family).close()
    except OSError:
        return False
    return True


def is_navigation(request: Request) -> bool:
    """Whether a browser opens a page; a script or an API client does not say so."""
    return request.headers.get("sec-fetch-mode") == "navigate"


def resolves_localhost(request: Request) -> bool:
    """Whether this browser is known to find NAME.localhost without the system's help."""
    return _RESOLVING_BROWSERS.search(request.headers.get("user-agent", "")) is not None
