"""Another `hf-gate ui` asks the desk that runs for a sign-in link of the owner. The key is in a file of mode 0600."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import Response

from hf_gate.base.environment import require_writes
from hf_gate.base.locks import read_announcement
from hf_gate.config import Settings
from hf_gate.desk.app_state import AppState
from hf_gate.desk.exports import EscapedJSON, error_response
from hf_gate.errors import HfGateError, UsageError
from hf_gate.settings.service.workspace import WorkspaceLocation
from hf_gate.workspace.service import bootstrap

from .sign_in import Authenticator

_MAX_ANSWER: Final = 4 << 20  # bytes


def _announcement_file(settings: Settings, place: WorkspaceLocation) -> Path:
    """Return the file where a running desk announces its address and key; one for each store."""
    name = hashlib.sha256(bootstrap.store_url(settings, place).encode()).hexdigest()[:16]
    return settings.paths.state / "ui" / f"{name}.json"


# ---- the desk's side -------------------------------------------------------------------------------------------------


class Terminal:
    """Answers programs that have the key. `at`: the address this process listens on."""

    def __init__(self, app_state: AppState, authenticator: Authenticator, at: str) -> None:
        self._app_state = app_state
        self._authenticator = authenticator
        self._at = at
        self._key = secrets.token_urlsafe(32)

    @contextmanager
    def announce(self) -> Iterator[None]:
        """Announce the desk's address and key while the desk runs."""
        path = _announcement_file(self._app_state.workspace.settings, self._app_state.workspace.location)
        owner = self._app_state.owner_id
        desk = {"url": self._app_state.url, "at": self._at, "key": self._key, "owner": owner}
        with bootstrap.publish_process(path, desk):
            yield

    def answer(self, authorization: str) -> Response:
        """Return a new sign-in link of the owner; 404 without the key."""
        if not secrets.compare_digest(authorization.encode(), f"Bearer {self._key}".encode()):
            return Response("", 404)
        try:
            return EscapedJSON({"login_url": f"{self._app_state.url}/sign-in?t={self._authenticator.make_link()}"})
        except HfGateError as problem:
            return error_response(503, str(problem), problem.hint)


# ---- the terminal's side ---------------------------------------------------------------------------------------------


def find_running_desk(settings: Settings, place: WorkspaceLocation) -> dict[str, Any] | None:
    """Return the announcement of the desk that runs on this store and machine; None if there is none."""
    return read_announcement(_announcement_file(settings, place))


def ask_for_link(desk: Mapping[str, Any]) -> str:
    """Return a new sign-in link of a running desk. Raises UsageError with the desk's message if it refuses."""
    require_writes("the desk")
    url = urlsplit(str(desk["at"]))
    connection = HTTPConnection(url.hostname or "", url.port, timeout=30)
    headers = {
        "host": url.netloc,
        "origin": str(desk["at"]),
        "authorization": f"Bearer {desk['key']}",
        "content-type": "application/json",
    }
    try:
        connection.request("POST", "/terminal", "{}", headers)
        reply = connection.getresponse()
        body = reply.read(_MAX_ANSWER)
        answer = json.loads(body) if body.startswith(b"{") else {}
    except (OSError, HTTPException, ValueError, RecursionError) as problem:
        raise HfGateError(f"the desk at {desk['url']} does not answer: {problem}.") from None
    finally:
        connection.close()
    if reply.status != 200:
        why = str(answer.get("error") or f"the desk answered {reply.status}.")
        raise UsageError(why, hint=answer.get("hint") or None)
    return str(answer["login_url"])
