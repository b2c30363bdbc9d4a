"""Signing in: a one-time link that the terminal printed, or somebody's own link; a session that ends by itself."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .. import wiring
from ..domain.moments import ms
from ..errors import StoreBusy
from ..store.members import LIVES
from .office import Office
from .visit import ENVIRONMENT

_TRIES: Final = 10  # wrong links a minute, from everywhere together: 256 bits need no more
_WINDOW: Final = 60.0
_LINK_LIVES: Final = 15 * 60.0  # seconds


@dataclass
class Door:
    """Who comes in. One-time links live in this process only; sessions and personal links in the store."""

    office: Office
    cookie: str = "hf-gate"
    is_https: bool = False
    _links: dict[str, float] = field(default_factory=dict)
    _wrong: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """The owner is the account whose token it is now."""
        self.office.admit_owner()

    def link(self) -> str:
        """A new secret that opens the door once, within a quarter of an hour."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._links[secret] = time.monotonic() + _LINK_LIVES
        return secret

    def name_of(self, request: Request) -> str | None:
        """The member whose session the browser has."""
        secret = request.cookies.get(self.cookie)
        name = None if not secret else self.office.members.whose(secret, _now(), renew=not _is_by_itself(request))
        if name is not None:
            self.office.looked_at()
        return name

    def enter(self, request: Request, secret: str) -> Response:
        """Takes a link, and opens a new session in place of any old one. A right one opens also while others guess."""
        name = self._owner_of(secret)
        if name is None:
            return self._no(self._wait())
        here = self._whom_it_would_oust(request)
        if here not in {None, name}:
            self._back(secret, name)
            return self.page(
                409, f"You are in as {here}. To come in as {name}, sign out first and open the link again."
            )
        session = secrets.token_urlsafe(32)
        try:
            self.leave(request)
            by_link = None if name == self.office.owner else secret
            if not self.office.members.open(session, name, _now(), by_link):
                return self._no(self._wait())  # revoked in this moment
        except StoreBusy as problem:
            self._back(secret, name)
            return self.page(503, f"{problem} Open the link again in a moment.")
        answer = RedirectResponse("/queue", 303)
        answer.set_cookie(
            self.cookie, session, max_age=LIVES // 1000, httponly=True, samesite="lax", secure=self.is_https, path="/"
        )
        return answer

    def _whom_it_would_oust(self, request: Request) -> str | None:
        """Who is in, where a page of another site led here: it could make them decide as somebody else unawares."""
        is_led = request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        name = self.name_of(request) if is_led else None
        return name if name is not None and self.office.member(name) is not None else None

    def _back(self, secret: str, name: str) -> None:
        """A one-time link that was used for nothing."""
        if name == self.office.owner:
            self._links[secret] = time.monotonic() + _WINDOW

    def _no(self, wait: float) -> Response:
        if wait:
            return self.page(429, f"Too many wrong links. Try again in {wait:.0f} s.", {"retry-after": f"{wait:.0f}"})
        self._wrong.append(time.monotonic())
        return self.page(401, "That link is not valid, or was used before.")

    def forget(self, answer: Response) -> Response:
        """With what makes the browser forget its session."""
        answer.delete_cookie(self.cookie, path="/", secure=self.is_https, httponly=True, samesite="lax")
        return answer

    def leave(self, request: Request) -> None:
        """Ends the session that the browser has."""
        old = request.cookies.get(self.cookie)
        if old:
            self.office.members.close(old)

    def page(self, status: int, problem: str = "", headers: dict[str, str] | None = None) -> Response:
        """The page that everybody sees who is not in, whatever they asked for."""
        text = ENVIRONMENT.get_template("sign-in.html").render(problem=problem, office=self.office)
        return Response(text, status, headers, media_type="text/html")

    def _owner_of(self, secret: str) -> str | None:
        with self._lock:
            until = self._links.pop(secret, None)
        if until is not None:
            return self.office.owner if time.monotonic() < until else None
        member = self.office.members.by_link(secret) if secret else None
        return None if member is None else member.name

    def _wait(self) -> float:
        """Seconds until a wrong link is answered as such again."""
        now = time.monotonic()
        while self._wrong and now - self._wrong[0] > _WINDOW:
            self._wrong.popleft()
        return 0.0 if len(self._wrong) < _TRIES else _WINDOW - (now - self._wrong[0])


def _is_by_itself(request: Request) -> bool:
    """Whether an open page asks without anybody's doing: that keeps nobody signed in."""
    path = request.url.path
    is_part = request.headers.get("hx-request") == "true"
    if is_part and request.method == "GET" and request.headers.get("hx-trigger") == "via-poll":
        return True
    return path.endswith("/events") or (
        is_part
        and (path == "/tray" or path.endswith(("/live", "/looking")))
        and not (path == "/tray" and request.method == "POST")
    )


def _now() -> int:
    """Sessions go by the clock on the wall, also where the desk follows a local Hub's."""
    return ms(wiring.now())
