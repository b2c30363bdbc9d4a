"""Signs members in with a one-time or personal link, and manages their sessions."""

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
from ..domain.members import SESSION_LIFETIME, Member
from ..domain.timestamps import to_ms
from ..errors import StoreBusy
from . import private_host
from .app_state import AppState
from .request_context import ENVIRONMENT

_MAX_WRONG_LINKS: Final = 10  # a minute, from all clients together; a link has 256 bits
_WINDOW: Final = 60.0
_LINK_LIFETIME: Final = 15 * 60.0  # seconds


@dataclass
class Authenticator:
    """Signs members in. One-time links are kept in this process, sessions and personal links in the store."""

    app_state: AppState
    cookie: str = "hf-gate"
    is_https: bool = False
    private_origin: str | None = None  # http://NAME.localhost:PORT
    _key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _links: dict[str, tuple[str, float]] = field(default_factory=dict)  # member id and end, by secret
    _wrong_links: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Store the owner: the account of the token in use."""
        self.app_state.membership.admit_owner()

    def make_link(self, member: Member | None = None, lifetime: float = _LINK_LIFETIME) -> str:
        """Return a new secret that signs a member in once, within `lifetime` seconds; None means the owner."""
        secret, now = secrets.token_urlsafe(32), time.monotonic()
        ident = (member or self.app_state.membership.owner_member).id
        with self._lock:
            self._links = {key: one for key, one in self._links.items() if one[1] > now}
            self._links[secret] = (ident, now + lifetime)
        return secret

    def session_member(self, request: Request) -> str | None:
        """Return the name of the member whose session the browser has."""
        secret = self._session_of(request.cookies.get(self.cookie, ""))
        name = (
            None
            if secret is None
            else self.app_state.workspace.members.session_member(
                secret, _now(), renew=not _is_background_request(request)
            )
        )
        if name is not None:
            self.app_state.record_visit()
        return name

    def _session_of(self, cookie: str) -> str | None:
        """Return the session that belongs to a cookie. Without HTTPS, a session ends with this process.

        Another program could later listen at the same port and receive the cookies of pages that are still open.
        """
        return None if not cookie else cookie if self.is_https else f"{self._key}{cookie}"

    def open_link(self, request: Request, secret: str, *, is_staying: bool) -> Response:
        """Answer a link that a browser opened: redirect to the private host, ask if another site opened it, or sign in.

        Only signing in uses the link up. `is_staying`: the user chose the current address.
        """
        member = self._member_of_link(secret)
        if member is not None and self._should_redirect(request, is_staying=is_staying):
            return self._redirect_to_private_host(request, secret)
        if member is not None and _is_unintended(request):
            now = self.signed_in_member(request)
            return self._page(
                "sign-in-confirm.html", name=member.name, now=None if now is None else now.name, secret=secret
            )
        return self.sign_in(request, secret)

    def enter(self, request: Request, member: Member) -> Response:
        """Sign in a member whom the Hub named. At an address whose cookies others receive, hand over to the private one."""
        if self._should_redirect(request, is_staying=False):
            return self._redirect_to_private_host(request, self.make_link(member, _WINDOW))
        return self._begin_session(request, member.name)

    def _redirect_to_private_host(self, request: Request, secret: str) -> Response:
        there = f"{self.private_origin}/sign-in?t={secret}"
        if private_host.resolves_localhost(request):
            return RedirectResponse(there, 303)
        return self._page("sign-in-address.html", there=there, here=f"/sign-in?t={secret}&stay=1")

    def submit_link(self, request: Request, secret: str, *, is_staying: bool) -> Response:
        """Answer a pasted link, or the button of the confirmation page."""
        if self._member_of_link(secret) is not None and self._should_redirect(request, is_staying=is_staying):
            there = f"{self.private_origin}/sign-in?t={secret}"
            return self._page("sign-in-address.html", there=there, here=f"/sign-in?t={secret}&stay=1")
        return self.sign_in(request, secret)

    def _should_redirect(self, request: Request, *, is_staying: bool) -> bool:
        """Whether a browser opens the desk at an address whose cookies other programs receive."""
        if self.private_origin is None or is_staying or not private_host.is_navigation(request):
            return False
        return request.headers.get("host", "").lower() != self.private_origin.partition("://")[2]

    def sign_in(self, request: Request, secret: str) -> Response:
        """Check a link and replace the session. A valid link works even while wrong ones are being limited."""
        member, until = self._use_link(secret)
        if member is None:
            return self._refuse(self._seconds_to_wait())
        try:
            return self._begin_session(request, member.name, secret if until is None else None)
        except StoreBusy as problem:
            if until is not None:  # a failure of ours: the link works again
                with self._lock:
                    self._links[secret] = (member.id, until)
            return self.sign_in_page(503, f"{problem} Open the link again in a moment.")

    def _begin_session(self, request: Request, name: str, by_link: str | None = None) -> Response:
        """Replace the browser's session. `by_link`: the personal link that was used."""
        cookie = secrets.token_urlsafe(32)
        self.sign_out(request)
        if not self.app_state.workspace.members.open_session(self._session_of(cookie) or "", name, _now(), by_link):
            return self._refuse(self._seconds_to_wait())  # revoked meanwhile
        answer = RedirectResponse("/queue", 303)
        answer.set_cookie(
            self.cookie,
            cookie,
            max_age=SESSION_LIFETIME // 1000,
            httponly=True,
            samesite="lax",
            secure=self.is_https,
            path="/",
        )
        return answer

    def signed_in_member(self, request: Request) -> Member | None:
        """Return the member who uses this browser."""
        name = self.session_member(request)
        return None if name is None else self.app_state.membership.find(name)

    def _refuse(self, wait: float) -> Response:
        if wait:
            return self.sign_in_page(
                429, f"Too many wrong links. Try again in {wait:.0f} s.", {"retry-after": f"{wait:.0f}"}
            )
        self._wrong_links.append(time.monotonic())
        return self.sign_in_page(401, "The link is not valid, or was used before.")

    def delete_cookie(self, answer: Response) -> Response:
        """Delete the session cookie in a response."""
        answer.delete_cookie(self.cookie, path="/", secure=self.is_https, httponly=True, samesite="lax")
        return answer

    def sign_out(self, request: Request) -> None:
        """End the browser's session."""
        old = self._session_of(request.cookies.get(self.cookie, ""))
        if old is not None:
            self.app_state.workspace.members.close_session(old)

    def sign_in_page(self, status: int, problem: str = "", headers: dict[str, str] | None = None) -> Response:
        """Return the sign-in page, which every address shows without a session."""
        return self._page("sign-in.html", status, headers, problem=problem)

    def busy_page(self) -> Response:
        """Return the page for a member with too many requests under way; it reads nothing from the store."""
        return self._page("busy.html", 429, {"retry-after": "5"})

    def _page(
        self, template: str, status: int = 200, headers: dict[str, str] | None = None, **values: str | None
    ) -> Response:
        text = ENVIRONMENT.get_template(template).render(app_state=self.app_state, **values)
        return Response(text, status, headers, media_type="text/html")

    def _use_link(self, secret: str) -> tuple[Member | None, float | None]:
        """Return the member of a link, and the end of a one-time link, which is used up."""
        with self._lock:
            found = self._links.pop(secret, None)
        if found is None:
            return self._member_of_personal_link(secret), None
        return self._member_by_id(*found), found[1]

    def _member_of_link(self, secret: str) -> Member | None:
        """Return the member that a link signs in, without using it up."""
        with self._lock:
            found = self._links.get(secret)
        return self._member_of_personal_link(secret) if found is None else self._member_by_id(*found)

    def _member_by_id(self, ident: str, until: float) -> Member | None:
        return self.app_state.membership.find_by_id(ident) if time.monotonic() < until else None

    def _member_of_personal_link(self, secret: str) -> Member | None:
        return self.app_state.workspace.members.find_by_link(secret) if secret else None

    def _seconds_to_wait(self) -> float:
        """Return the seconds until wrong links are checked again."""
        now = time.monotonic()
        while self._wrong_links and now - self._wrong_links[0] > _WINDOW:
            self._wrong_links.popleft()
        return 0.0 if len(self._wrong_links) < _MAX_WRONG_LINKS else _WINDOW - (now - self._wrong_links[0])


def _is_unintended(request: Request) -> bool:
    """Whether another site led here, or the browser only guesses that the page will be wanted."""
    is_led = request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
    return is_led or "prefetch" in request.headers.get("sec-purpose", "")


def _is_background_request(request: Request) -> bool:
    """Whether an open page sent the request by itself; that does not extend the session."""
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
    """Return the time for sessions: the system clock, even if the desk follows a local Hub's clock."""
    return to_ms(bootstrap.utc_now())
