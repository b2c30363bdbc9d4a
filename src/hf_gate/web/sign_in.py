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

from .. import bootstrap
from ..domain.moments import ms
from ..errors import StoreBusy
from ..store.members import LIVES
from . import private_host
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
    private_origin: str | None = None  # http://NAME.localhost:PORT
    _key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
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
        secret = self._session_of(request.cookies.get(self.cookie, ""))
        name = None if secret is None else self.office.members.whose(secret, _now(), renew=not _is_by_itself(request))
        if name is not None:
            self.office.looked_at()
        return name

    def _session_of(self, cookie: str) -> str | None:
        """The session that a cookie stands for. Without TLS, a session ends with this process.

        Another program could listen at the port after it, and be sent the cookies of pages that are still open.
        """
        return None if not cookie else cookie if self.is_https else f"{self._key}{cookie}"

    def open_link(self, request: Request, secret: str, *, is_staying: bool) -> Response:
        """Answer a link that a browser opened: lead it to the private name, ask if another site led here, else sign in.

        The link is spent only by signing in. `is_staying`: the user chose the address they are at.
        """
        name = self._name_by(secret)
        if name is not None and self._is_to_be_led(request, is_staying=is_staying):
            there = f"{self.private_origin}/sign-in?t={secret}"
            if private_host.resolves_localhost(request):
                return RedirectResponse(there, 303)
            return self._page("sign-in-address.html", there=there, here=f"/sign-in?t={secret}&stay=1")
        if name is not None and request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            return self._page("sign-in-confirm.html", name=name, now=self._who_is_in(request), secret=secret)
        return self.enter(request, secret)

    def submit_link(self, request: Request, secret: str, *, is_staying: bool) -> Response:
        """Answer a link that was pasted, or the button of the page that asks."""
        if self._name_by(secret) is not None and self._is_to_be_led(request, is_staying=is_staying):
            there = f"{self.private_origin}/sign-in?t={secret}"
            return self._page("sign-in-address.html", there=there, here=f"/sign-in?t={secret}&stay=1")
        return self.enter(request, secret)

    def _is_to_be_led(self, request: Request, *, is_staying: bool) -> bool:
        """Whether a browser opens the desk at an address whose cookies other programs get."""
        if self.private_origin is None or is_staying or not private_host.is_navigation(request):
            return False
        return request.headers.get("host", "").lower() != self.private_origin.partition("://")[2]

    def enter(self, request: Request, secret: str) -> Response:
        """Take a link, and open a new session in place of any old one. A right one opens also while others guess."""
        name = self._owner_of(secret)
        if name is None:
            return self._no(self._wait())
        cookie = secrets.token_urlsafe(32)
        try:
            self.leave(request)
            by_link = None if name == self.office.owner else secret
            if not self.office.members.open(self._session_of(cookie) or "", name, _now(), by_link):
                return self._no(self._wait())  # revoked in this moment
        except StoreBusy as problem:
            self._back(secret, name)
            return self.page(503, f"{problem} Open the link again in a moment.")
        answer = RedirectResponse("/queue", 303)
        answer.set_cookie(
            self.cookie, cookie, max_age=LIVES // 1000, httponly=True, samesite="lax", secure=self.is_https, path="/"
        )
        return answer

    def _who_is_in(self, request: Request) -> str | None:
        name = self.name_of(request)
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
        old = self._session_of(request.cookies.get(self.cookie, ""))
        if old is not None:
            self.office.members.close(old)

    def page(self, status: int, problem: str = "", headers: dict[str, str] | None = None) -> Response:
        """The page that everybody sees who is not in, whatever they asked for."""
        return self._page("sign-in.html", status, headers, problem=problem)

    def busy_page(self) -> Response:
        """Return the page for a member with too many requests under way; it reads nothing from the store."""
        return self._page("busy.html", 429, {"retry-after": "5"})

    def _page(
        self, template: str, status: int = 200, headers: dict[str, str] | None = None, **values: str | None
    ) -> Response:
        text = ENVIRONMENT.get_template(template).render(office=self.office, **values)
        return Response(text, status, headers, media_type="text/html")

    def _owner_of(self, secret: str) -> str | None:
        """Who comes in by a link; a one-time link is spent."""
        name = self._name_by(secret)
        with self._lock:
            was_there = self._links.pop(secret, None) is not None
        return name if was_there or name != self.office.owner else None  # another call may have spent it meanwhile

    def _name_by(self, secret: str) -> str | None:
        """Who would come in by a link."""
        with self._lock:
            until = self._links.get(secret)
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
    return ms(bootstrap.now())
