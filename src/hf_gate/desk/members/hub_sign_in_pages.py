"""Answers the addresses of a sign-in with the Hub: the link that begins it, and the provider's redirect."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hf_gate.core.people.members import Member
from hf_gate.core.people.sign_in import HubIdentity, SignInFailed
from hf_gate.desk.app_state import AppState
from hf_gate.errors import HfGateError
from hf_gate.members.drivers.openid import OpenIdClient, SignInAttempt
from hf_gate.members.rows.one_time_links import read_desk_key
from hf_gate.members.service.sign_in import admit_identity
from hf_gate.workspace.service import bootstrap

from .hub_sign_in import START_PATH, HubSignIn
from .sign_in import STORE_FAILED, Authenticator

LIFETIME: Final = 600.0  # seconds
_MAX_USED: Final = 10_000
_AHEAD: Final = 30.0  # seconds that the clock of another desk may be ahead
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_STATE: Final = re.compile(r"([0-9]{1,12})\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{43}")


@dataclass
class SignInAttempts:
    """Makes and recognises attempts. They are valid for 10 minutes, for one answer, and where the key is known.

    The browser keeps a cookie with random bits. State, nonce and verifier are keyed hashes of it, so another browser
    cannot use them, and strangers who begin many sign-ins cannot end those of others. Several sign-ins of one browser
    share its cookie, so a site that leads the browser here ends none of them. Nothing is stored for strangers.
    """

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    clock: Callable[[], float] = time.monotonic
    _used: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, cookie: str = "") -> tuple[str, SignInAttempt]:
        """Return the cookie and a new attempt. `cookie` is the one that the browser has, if any."""
        kept = cookie if _COOKIE.fullmatch(cookie) else secrets.token_urlsafe(32)
        return kept, self._attempt_of(kept, f"{self.clock():.0f}.{secrets.token_urlsafe(12)}")

    def find(self, cookie: str, state: str) -> SignInAttempt | None:
        """Return the attempt of a cookie and a state; None if they do not belong together, are used up, or
        are too old.
        """
        parts = _STATE.fullmatch(state)
        if parts is None or not _COOKIE.fullmatch(cookie):
            return None
        attempt = self._attempt_of(cookie, state.rpartition(".")[0])
        is_made_here = hmac.compare_digest(attempt.state.encode(), state.encode())
        is_young = is_made_here and 0 <= self.clock() + _AHEAD - int(parts[1]) <= LIFETIME
        return attempt if is_young and state not in self._used else None

    def take(self, cookie: str, state: str) -> SignInAttempt | None:
        """Return the attempt like `find`, and use it up."""
        attempt = self.find(cookie, state)
        now = self.clock()
        if attempt is None:
            return None
        with self._lock:
            if state in self._used:
                return None
            while self._used and (len(self._used) >= _MAX_USED or now - next(iter(self._used.values())) > LIFETIME + 1):
                del self._used[next(iter(self._used))]  # the oldest: the provider accepts its code once anyway
            self._used[state] = now
        return attempt

    def _attempt_of(self, cookie: str, begun: str) -> SignInAttempt:
        state, nonce, verifier = (self._derive(purpose, cookie, begun) for purpose in ("state", "nonce", "verifier"))
        return SignInAttempt(f"{begun}.{state}", nonce, verifier)

    def _derive(self, purpose: str, cookie: str, begun: str) -> str:
        digest = hmac.digest(self._key, f"{purpose}:{begun}:{cookie}".encode(), hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


_MAX_CODE: Final = 2000  # characters
_AGAIN: Final = "Sign in again."


@dataclass
class HubSignInPages:
    """Answers the addresses of a sign-in. The router asks for no session."""

    app_state: AppState
    authenticator: Authenticator
    _attempts: SignInAttempts = field(init=False)

    def __post_init__(self) -> None:
        store = self.app_state.workspace.store
        key = read_desk_key(store)
        utc = lambda: bootstrap.utc_now().timestamp()  # noqa: E731
        self._attempts = SignInAttempts() if key is None else SignInAttempts(key, utc)

    def begin(self, request: Request) -> Response:
        """Send the browser to the provider. A GET link leads here: a form could not be redirected to another origin."""
        sign_in = self.app_state.hub_sign_in
        if sign_in.client is None:
            return self._answer_off()
        if not self._is_at(request, sign_in.origin):
            return RedirectResponse(f"{sign_in.origin}{START_PATH}", 303)
        cookie, attempt = self._attempts.begin(request.cookies.get(self._cookie, ""))
        try:
            there = sign_in.client.authorization_url(attempt, sign_in.redirect)
        except SignInFailed as problem:
            return self._refuse(problem)
        answer = RedirectResponse(there, 303)
        answer.set_cookie(
            self._cookie,
            cookie,
            max_age=int(LIFETIME),
            httponly=True,
            samesite="lax",
            secure=self.authenticator.is_https,
            path="/",
        )
        return answer

    def check_redirect(self, request: Request) -> Response | None:
        """Return a refusal of a redirect that belongs to no sign-in of this browser; None if the provider
        can be asked.
        """
        if self.app_state.hub_sign_in.client is None:
            return self._answer_off()
        cookie = request.cookies.get(self._cookie, "")
        state = request.query_params.get("state", "")
        return self._refuse(_unknown_attempt()) if self._attempts.find(cookie, state) is None else None

    def finish(self, request: Request) -> Response:
        """Answer the provider's redirect: sign the member in, or say in one line why not."""
        sign_in = self.app_state.hub_sign_in
        if sign_in.client is None:
            return self._answer_off()
        try:
            identity = self._identify(request, sign_in, sign_in.client)
            answer = self.authenticator.enter(request, self._admit(identity))
        except SignInFailed as problem:
            return self._refuse(problem)
        except HfGateError:
            return self.authenticator.sign_in_page(503, f"{STORE_FAILED} {_AGAIN}")
        answer.delete_cookie(self._cookie, path="/", secure=self.authenticator.is_https, httponly=True, samesite="lax")
        return answer

    def _admit(self, identity: HubIdentity) -> Member:
        roles = self.app_state.hub_sign_in.roles
        stop = self.app_state.run_worker.stop_runs_of
        return admit_identity(self.app_state.membership, identity, roles, on_loss=stop)

    @property
    def _cookie(self) -> str:
        return f"{self.authenticator.cookie}-oauth"

    @staticmethod
    def _is_at(request: Request, origin: str) -> bool:
        return request.headers.get("host", "").lower() == origin.partition("://")[2]

    def _identify(self, request: Request, sign_in: HubSignIn, client: OpenIdClient) -> HubIdentity:
        query = request.query_params
        attempt = self._attempts.take(request.cookies.get(self._cookie, ""), query.get("state", ""))
        if attempt is None:
            raise _unknown_attempt()
        if query.get("error") == "access_denied":
            raise SignInFailed("You did not allow the sign-in.", hint=_AGAIN, status=403)
        code = query.get("code", "")
        if "error" in query or not 0 < len(code) <= _MAX_CODE or query.get("iss", client.issuer) != client.issuer:
            raise SignInFailed("The provider refused the sign-in.", hint=_AGAIN, status=403)
        return client.fetch_identity(attempt, code, sign_in.redirect)

    def _answer_off(self) -> Response:
        return self.authenticator.sign_in_page(404, "Sign-in with the Hub is off here. Only the owner can sign in.")

    def _refuse(self, problem: SignInFailed) -> Response:
        text = str(problem)
        return self.authenticator.sign_in_page(problem.status, f"{text[:1].upper()}{text[1:]} {problem.hint}".strip())


def _unknown_attempt() -> SignInFailed:
    return SignInFailed(
        "This sign-in began in another browser, was used before, or took longer than 10 minutes.",
        hint=_AGAIN,
        status=403,
    )
