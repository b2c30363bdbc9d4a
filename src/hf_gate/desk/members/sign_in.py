"""Signs people in with a one-time link or their Hub account, and manages their sessions."""

from __future__ import annotations

import secrets
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import SESSION_LIFETIME, Member
from hf_gate.desk import private_host
from hf_gate.desk.app_state import AppState
from hf_gate.desk.http_context import ENVIRONMENT
from hf_gate.errors import HfGateError
from hf_gate.members.rows.sessions import delete_session_by_secret, find_session_member, open_session
from hf_gate.members.service.one_time_links import OneTimeLinks
from hf_gate.members.sessions import NewSession, OneTimeLink, SignInMethod, digest_secret
from hf_gate.workspace.service import bootstrap

_MAX_WRONG_LINKS: Final = 10  # a minute, from all clients together; a link has 256 bits
_WINDOW: Final = 60.0
_LINK_LIFETIME: Final = 15 * 60.0  # seconds
STORE_FAILED: Final = "The desk cannot use its store now."
"""For pages without a session: the error itself names files of this machine."""


@dataclass
class Authenticator:
    """Signs people in, with one-time links and sessions."""

    app_state: AppState
    cookie: str = "hf-gate"
    is_https: bool = False
    private_origin: str | None = None  # http://NAME.localhost:PORT
    _key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _links: OneTimeLinks = field(init=False)
    _wrong_links: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._links = OneTimeLinks(self.app_state.workspace.store)

    def make_link(self) -> str:
        """Return a new secret that signs the owner in once, within 15 minutes."""
        return self.make_link_of(self.app_state.membership.owner_member, SignInMethod.TERMINAL, _LINK_LIFETIME)

    def make_link_of(self, member: Member, method: SignInMethod, seconds: float) -> str:
        """Return a new secret that signs a member in once."""
        return self._links.issue(OneTimeLink(member.id, method), seconds)

    # ---- sessions ----------------------------------------------------------------------------------------------------

    def session_member(self, request: Request) -> str | None:
        """Return the name of the member whose session the browser has."""
        secret = self._session_of(request.cookies.get(self.cookie, ""))
        name = (
            None
            if secret is None
            else find_session_member(
                self.app_state.workspace.store, secret, _now(), renew=not _is_background_request(request)
            )
        )
        if name is not None:
            self.app_state.record_visit()
        return name

    def signed_in_member(self, request: Request) -> Member | None:
        """Return the member who uses this browser."""
        name = self.session_member(request)
        return None if name is None else self.app_state.membership.find(name)

    def session_id(self, request: Request) -> str:
        """Return the id of the browser's session; empty without one."""
        secret = self._session_of(request.cookies.get(self.cookie, ""))
        return "" if secret is None else digest_secret(secret)

    def _session_of(self, cookie: str) -> str | None:
        """Return the session that belongs to a cookie. Without HTTPS, a session ends with this process.

        Another program could later listen at the same port and receive the cookies of pages that are still open.
        """
        return None if not cookie else cookie if self.is_https else f"{self._key}{cookie}"

    # ---- links -------------------------------------------------------------------------------------------------------

    def open_link(self, request: Request, secret: str, *, is_staying: bool) -> Response:
        """Answer a link that a browser opened: redirect to the private host, show a button, or sign in.

        Only signing in uses the link up. The link of the terminal needs no button, unless another site led here.
        `is_staying`: the user chose the current address.
        """
        link = self._links.find(secret)
        member = self._find_member_of(link)
        if link is None or member is None:
            return self._refuse()
        if self._should_redirect(request, is_staying=is_staying):
            return self._redirect_to_private_host(request, secret)
        if link.method is SignInMethod.TERMINAL and not _is_unintended(request):
            return self.sign_in(request, secret)
        now = self.signed_in_member(request)
        return self._page(
            "sign-in-confirm.html",
            name=member.name,
            now=None if now is None else now.name,
            secret=secret,
            is_led="1" if _is_unintended(request) else None,
        )

    def enter(self, request: Request, member: Member) -> Response:
        """Sign in a member whom the Hub named. At an address whose cookies others receive, hand over to the private
        one.
        """
        if self._should_redirect(request):
            return self._redirect_to_private_host(request, self.make_link_of(member, SignInMethod.HUB, _WINDOW))
        return self._begin_session(request, member, SignInMethod.HUB)

    def _redirect_to_private_host(self, request: Request, secret: str) -> Response:
        if private_host.resolves_localhost(request):
            return RedirectResponse(f"{self.private_origin}/sign-in?t={secret}", 303)
        return self._show_addresses(secret)

    def _show_addresses(self, secret: str) -> Response:
        there = f"{self.private_origin}/sign-in?t={secret}"
        return self._page("sign-in-address.html", there=there, here=f"/sign-in?t={secret}&stay=1")

    def _should_redirect(self, request: Request, *, is_staying: bool = False) -> bool:
        """Whether a browser opens the desk at an address whose cookies other programs receive."""
        if self.private_origin is None or is_staying or not private_host.is_navigation(request):
            return False
        return request.headers.get("host", "").lower() != self.private_origin.partition("://")[2]

    def sign_in(self, request: Request, secret: str) -> Response:
        """Use a link up and replace the session. A valid link works even while wrong ones are being limited."""
        link = self._links.take(secret)
        member = self._find_member_of(link)
        if link is None or member is None:
            return self._refuse()
        try:
            return self._begin_session(request, member, link.method)
        except HfGateError:
            with suppress(HfGateError):  # a failure of ours: the link works again, if it can be kept
                self._links.keep(secret, link, _WINDOW)
            return self.sign_in_page(503, f"{STORE_FAILED} Open the link again in a moment.")

    def _begin_session(self, request: Request, member: Member, method: SignInMethod) -> Response:
        """Replace the browser's session."""
        cookie = secrets.token_urlsafe(32)
        browser = name_browser(request.headers.get("user-agent", ""))
        new = NewSession(member=member.name, method=method, browser=browser)
        open_session(self.app_state.workspace.store, self._session_of(cookie) or "", new, _now())
        self.sign_out(request)
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

    def _refuse(self) -> Response:
        """Answer a link that does not sign in, and count it as a guess."""
        if wait := self._seconds_to_wait():
            headers = {"retry-after": f"{wait:.0f}"}
            return self.sign_in_page(429, f"Too many wrong links. Try again in {wait:.0f} s.", headers)
        self._wrong_links.append(time.monotonic())
        return self.sign_in_page(401, "The link is not valid, or was used before.")

    def _find_member_of(self, link: OneTimeLink | None) -> Member | None:
        """Return the member of a link, who may sign in now."""
        return None if link is None else self.app_state.membership.find_by_id(link.member)

    def _seconds_to_wait(self) -> float:
        """Return the seconds until wrong links are checked again."""
        now = time.monotonic()
        while self._wrong_links and now - self._wrong_links[0] > _WINDOW:
            self._wrong_links.popleft()
        return 0.0 if len(self._wrong_links) < _MAX_WRONG_LINKS else _WINDOW - (now - self._wrong_links[0])

    # ---- cookies -----------------------------------------------------------------------------------------------------

    def delete_cookie(self, answer: Response) -> Response:
        """Delete the session cookie in a response."""
        answer.delete_cookie(self.cookie, path="/", secure=self.is_https, httponly=True, samesite="lax")
        return answer

    def sign_out(self, request: Request) -> None:
        """End the browser's session."""
        old = self._session_of(request.cookies.get(self.cookie, ""))
        if old is not None:
            delete_session_by_secret(self.app_state.workspace.store, old)

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
        is_part and (path == "/tray" or path.endswith("/live")) and not (path == "/tray" and request.method == "POST")
    )


def _now() -> int:
    """Return the time for sessions: the system clock, even if the desk follows a local Hub's clock."""
    return to_ms(bootstrap.utc_now())


# ---- browsers --------------------------------------------------------------------------------------------------------


_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Macintosh", "macOS"), ("Linux", "Linux"),
)  # fmt: skip
_LONGEST: Final = 1000  # characters that are read


def name_browser(user_agent: str) -> str:
    """Return a label such as `Firefox on Linux`; `another program` if the header names no known browser."""
    text = user_agent[:_LONGEST]
    browser = next((name for word, name in _BROWSERS if word in text), None)
    system = next((name for word, name in _SYSTEMS if word in text), None)
    if browser is None:
        return "another program"
    return browser if system is None else f"{browser} on {system}"
