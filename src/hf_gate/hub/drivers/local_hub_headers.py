"""Reads the world id and the clock of a local Hub from the headers of its answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket
from threading import Event, Timer
from typing import Final
from urllib.parse import urlsplit

from hf_gate.errors import HubUnavailable
from hf_gate.hub.credentials import is_loopback

PROBE_S: Final = 5.0


def get_world_id(endpoint: str, limit: float = PROBE_S) -> str | None:
    """Return the world id that a local Hub sends with every answer; None for any other Hub.

    A local Hub that has not answered after `limit` seconds counts as unavailable.
    """
    world = fetch_local_headers(endpoint, limit).get("x-hf-gate-world", "")
    return world if re.fullmatch(r"[0-9a-zA-Z-]{1,64}", world) else None


def fetch_local_headers(endpoint: str, limit: float = PROBE_S) -> Mapping[str, str]:
    """Return the headers that a local Hub sends with every answer; empty for any other Hub, without a call."""
    if not is_loopback(endpoint):
        return {}
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    url = urlsplit(endpoint)
    connection_class = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = connection_class(url.hostname or "", url.port, timeout=limit)
    try:
        connection.connect()
        with _shut_down_after(limit, connection.sock) as is_over:
            connection.request("GET", "/_hf_gate/clock")
            headers = {name.lower(): value for name, value in connection.getresponse().headers.items()}
        problem = f"no complete answer in {limit:g} s" if is_over.is_set() else None  # the headers may be incomplete
    except (OSError, HTTPException) as error:
        headers = {}
        problem = str(error)
    finally:
        connection.close()
    if problem is not None:
        raise HubUnavailable(
            f"the local Hub at {endpoint} does not answer ({problem}).",
            hint="Start it again, or unset HF_ENDPOINT to use huggingface.co. Nothing was changed.",
        )
    return headers


@contextmanager
def _shut_down_after(seconds: float, connection: socket) -> Iterator[Event]:
    """Shut down a connection after `seconds`; the event is set if that happened."""
    is_over = Event()

    def shut_down() -> None:
        is_over.set()
        with suppress(OSError):
            connection.shutdown(SHUT_RDWR)

    timer = Timer(seconds, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()
