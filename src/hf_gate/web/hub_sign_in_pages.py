"""Answers the two addresses of a sign-in with the Hub: the link that begins it, and the provider's redirect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..application.sign_in import admit_identity
from ..domain.members import Member
from ..domain.sign_in import SignInFailed
from ..errors import HfGateError
from ..hub.openid import OpenIdClient
from .app_state import AppState
from .hub_sign_in import START_PATH, HubSignIn
from .sign_in import Authenticator
from .sign_in_attempts import LIFETIME, SignInAttempts

_MAX_CODE: Final = 2000  # characters
_AGAIN: Final = "Sign in again."


@dataclass
class HubSignInPages:
    """Answers the two addresses of a sign-in. Neither needs a session."""

    app_state: AppState
    authenticator: Authenticator
    _attempts: SignInAttempts = field(default_factory=SignInAttempts)

    def begin(self, request: Request) -> Response:
        """Send the browser to the provider. A GET link leads here: a form could not be redirected to another origin."""
        sign_in = self.app_state.hub_sign_in
        if sign_in.client is None:
            return self.authenticator.sign_in_page(404, "Sign-in with the Hub is off here. Use your link.")
        if not self._is_at(request, sign_in.origin):
            return RedirectResponse(f"{sign_in.origin}{START_PATH}", 303)
        cookie, attempt = self._attempts.begin()
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

    def finish(self, request: Request) -> Response:
        """Answer the provider's redirect: sign the member in, or say in one line why not."""
        sign_in = self.app_state.hub_sign_in
        if sign_in.client is None:
            return self.authenticator.sign_in_page(404, "Sign-in with the Hub is off here. Use your link.")
        try:
            member = self._identify(request, sign_in, sign_in.client)
            answer = self.authenticator.enter(request, member)
        except SignInFailed as problem:
            answer = self._refuse(problem)
        except HfGateError as problem:
            answer = self.authenticator.sign_in_page(503, f"{problem} {_AGAIN}")
        answer.delete_cookie(self._cookie, path="/", secure=self.authenticator.is_https, httponly=True, samesite="lax")
        return answer

    @property
    def _cookie(self) -> str:
        return f"{self.authenticator.cookie}-oauth"

    @staticmethod
    def _is_at(request: Request, origin: str) -> bool:
        return request.headers.get("host", "").lower() == origin.partition("://")[2]

    def _identify(self, request: Request, sign_in: HubSignIn, client: OpenIdClient) -> Member:
        query = request.query_params
        attempt = self._attempts.take(request.cookies.get(self._cookie, ""), query.get("state", ""))
        if attempt is None:
            raise SignInFailed(
                "This sign-in began in another browser, was used before, or took longer than 10 minutes.",
                hint=_AGAIN, status=403,
            )  # fmt: skip
        if query.get("error") == "access_denied":
            raise SignInFailed("You did not allow the sign-in.", hint=_AGAIN, status=403)
        code = query.get("code", "")
        if "error" in query or not 0 < len(code) <= _MAX_CODE or query.get("iss", client.issuer) != client.issuer:
            raise SignInFailed("The provider refused the sign-in.", hint=_AGAIN, status=403)
        identity = client.fetch_identity(attempt, code, sign_in.redirect)
        now = self.authenticator.signed_in_member(request)
        stop = self.app_state.run_worker.stop_runs_of
        return admit_identity(self.app_state.membership, identity, sign_in.roles, signed_in=now, on_loss=stop)

    def _refuse(self, problem: SignInFailed) -> Response:
        text = str(problem)
        return self.authenticator.sign_in_page(problem.status, f"{text[:1].upper()}{text[1:]} {problem.hint}".strip())
