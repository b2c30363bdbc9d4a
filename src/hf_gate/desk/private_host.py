"""The private host name of a local desk, NAME.localhost, which keeps its session cookie from other local programs.

Browsers ignore the port of a cookie, so every program that listens on 127.0.0.1 receives a cookie of 127.0.0.1, also
programs of other users. NAME is random and stored. Only a browser with a valid link receives it, because a program that
knows NAME could receive the cookie at another port. Browsers resolve NAME.localhost to ::1 and 127.0.0.1, so the desk
listens on both. If it cannot, it has no private name.
"""

from __future__ import annotations

import re
import secrets
import socket
from typing import Final

from starlette.requests import Request

from hf_gate.settings.service.workspace import Workspace
from hf_gate.settings.setting_keys import PRIVATE_HOST

_NAME: Final = re.compile(r"desk-[0-9a-f]{20}\.localhost")
_LOOPBACKS: Final = {"127.0.0.1": "::1", "localhost": "::1", "::1": "127.0.0.1"}
_RESOLVING_BROWSERS: Final = re.compile(r"(?:Chrome|Firefox)/")
"""Browsers that resolve .localhost themselves; Safari asks the system, which may not know it."""


def ensure_private_host(workspace: Workspace) -> str:
    """Return the stored name; the first call makes it.

    Browsers are redirected there with their sign-in link, so a stored host of another form is ignored.
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
    """Listen on the other loopback address, if the machine has one. Return None if another program has the port."""
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
    """Return whether a browser opens a page; scripts and API clients do not."""
    return request.headers.get("sec-fetch-mode") == "navigate"


def resolves_localhost(request: Request) -> bool:
    """Return whether this browser resolves NAME.localhost without the system."""
    return _RESOLVING_BROWSERS.search(request.headers.get("user-agent", "")) is not None
