"""Answers the addresses of a sign-in with the Hub: the link that begins it, the provider's redirect, and a confirmation."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..application.sign_in import admit_identity, can_connect
from ..domain.members import Member
from ..domain.sign_in import HubIdentity, SignInFailed
from ..errors import HfGateError
from ..hub.openid import OpenIdClient
from .app_state import AppState
from .hub_sign_in import START_PATH, HubSignIn
from .sign_in import STORE_FAILED, Authenticator
from .sign_in_attempts import LIFETIME, SignInAttempts

_MAX_CODE: Final = 2000  # characters
_MAX_QUESTIONS: Final = 1000
_AGAIN: Final = "Sign in again."


@dataclass
class HubSignInPages:
    """Answers the addresses of a sign-in. The router asks for no session."""

    app_state: AppState
    authenticator: Authenticator
    _attempts: SignInAttempts = field(default_factory=SignInAttempts)
    # by secret: end, member id, account
    _questions: dict[str, tuple[float, str, HubIdentity]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

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
            self._cookie, cookie, max_age=int(LIFETIME), httponly=True, samesite="lax",
            secure=self.authenticator.is_https, path="/",
        )  # fmt: skip
        return answer

    def check_redirect(self, request: Request) -> Response | None:
        """Return a refusal of a redirect that belongs to no sign-in of this browser; None if the provider can be asked."""
        if self.app_state.hub_sign_in.client is None:
            return self._answer_off()
        cookie, state = request.cookies.get(self._cookie, ""), request.query_params.get("state", "")
        return self._refuse(_unknown_attempt()) if self._attempts.find(cookie, state) is None else None

    def finish(self, request: Request) -> Response:
        """Answer the provider's redirect: sign the member in, ask a question first, or say in one line why not."""
        sign_in = self.app_state.hub_sign_in
        if sign_in.client is None:
            return self._answer_off()
        try:
            identity = self._identify(request, sign_in, sign_in.client)
            member = self.authenticator.signed_in_member(request)
            if member is not None and can_connect(self.app_state.membership, identity, member):
                return self._ask(member, identity)
            answer = self.authenticator.enter(request, self._admit(identity))
        except SignInFailed as problem:
            return self._refuse(problem)
        except HfGateError:
            return self.authenticator.sign_in_page(503, f"{STORE_FAILED} {_AGAIN}")
        answer.delete_cookie(self._cookie, path="/", secure=self.authenticator.is_https, httponly=True, samesite="lax")
        return answer

    def connect(self, request: Request, secret: str) -> Response:
        """Answer the button of the question: bind the signed-in member to the account."""
        try:
            member = self.authenticator.signed_in_member(request)
            if member is None:
                return self.authenticator.sign_in_page(401)
            with self._lock:
                until, ident, identity = self._questions.pop(secret, (0.0, "", HubIdentity("", "")))
            if member.id != ident or time.monotonic() > until:
                raise _unknown_attempt()
            return self.authenticator.enter(request, self._admit(identity, member), is_staying=True)
        except SignInFailed as problem:
            return self._refuse(problem)
        except HfGateError:
            return self.authenticator.sign_in_page(503, f"{STORE_FAILED} {_AGAIN}")

    def _ask(self, member: Member, identity: HubIdentity) -> Response:
        """Ask the member whether the account is theirs. Another site may have begun this, in a browser of several people."""
        secret, now = secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            kept = {key: one for key, one in self._questions.items() if one[0] > now and one[1] != member.id}
            while len(kept) >= _MAX_QUESTIONS:
                kept.pop(next(iter(kept)))
            self._questions = {**kept, secret: (now + LIFETIME, member.id, identity)}
        return self.authenticator.connect_page(member.name, identity.username, secret)

    def _admit(self, identity: HubIdentity, signed_in: Member | None = None) -> Member:
        roles, stop = self.app_state.hub_sign_in.roles, self.app_state.run_worker.stop_runs_of
        return admit_identity(self.app_state.membership, identity, roles, signed_in=signed_in, on_loss=stop)

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
        return self.authenticator.sign_in_page(404, "Sign-in with the Hub is off here. Use your link.")

    def _refuse(self, problem: SignInFailed) -> Response:
        text = str(problem)
        return self.authenticator.sign_in_page(problem.status, f"{text[:1].upper()}{text[1:]} {problem.hint}".strip())


def _unknown_attempt() -> SignInFailed:
    return SignInFailed(
        "This sign-in began in another browser, was used before, or took longer than 10 minutes.",
        hint=_AGAIN,
        status=403,
    )
