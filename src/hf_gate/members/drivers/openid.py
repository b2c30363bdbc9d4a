"""Signs people in with their Hub account: the client of OpenID Connect, with codes and PKCE.

Every call goes to the provider's own origin, follows no redirect, and has limits of size and time. The access token is
used for one call and then forgotten.
"""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import msgspec
from msgspec import Struct

from hf_gate.base.decoding import decode_json
from hf_gate.base.display_text import make_visible
from hf_gate.base.ids import is_id
from hf_gate.core.people.sign_in import HubIdentity, SignInFailed
from hf_gate.hub.credentials import Secret
from hf_gate.hub.drivers.deadlines import Deadline, DeadlineTransport
from hf_gate.hub.drivers.transport import find_proxy

_MAX_BODY: Final = 1 << 20  # bytes of one answer
_CACHED_S: Final = 3600.0
_MAX_ORGS: Final = 1000
_LIMITS: Final = httpx2.Limits(max_connections=4, max_keepalive_connections=0)
_T = TypeVar("_T")
_WRONG: Final = "Try again. If this repeats, an admin must check the provider."


class SignInAttempt(Struct, frozen=True):
    """The values that tie an answer of the provider to one sign-in of one browser."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """The SHA-256 of the verifier, as PKCE sends it first."""
        return urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


class _Provider(msgspec.Struct, frozen=True):
    """The discovery document, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    code_challenge_methods_supported: tuple[str, ...] = ("S256",)


class _Tokens(msgspec.Struct, frozen=True):
    access_token: str
    id_token: str


class _Org(msgspec.Struct, frozen=True, rename={"role": "roleInOrg", "restrictions": "securityRestrictions"}):
    preferred_username: str
    sub: str | None = None
    role: str | None = None
    restrictions: list[str] = []

    @property
    def is_restricted(self) -> bool:
        """Whether the organisation keeps the account out now. A policy about tokens does not concern the person."""
        return any(restriction != "token-policy" for restriction in self.restrictions)


class _Person(msgspec.Struct, frozen=True):
    sub: str
    preferred_username: str
    orgs: list[_Org] = []


@dataclass
class OpenIdClient:
    """A client of one provider.

    `issuer` is the Hub's origin, `now` returns the time in seconds for the times of tokens.
    """

    issuer: str
    client_id: str
    client_secret: Secret
    now: Callable[[], float]
    max_seconds: float = 10.0  # for all calls of one step of a sign-in
    _provider: tuple[float, _Provider] | None = field(default=None, init=False)
    _keys: tuple[float, object] | None = field(default=None, init=False)

    def authorization_url(self, attempt: SignInAttempt, redirect: str) -> str:
        """Return the provider's address for a browser. Raises SignInFailed if the provider cannot be used."""
        with self._calls() as calls:
            provider = self._read_provider(calls)
        values = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect,
            "scope": "openid profile",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{provider.authorization_endpoint}?{urlencode(values)}"

    def fetch_identity(self, attempt: SignInAttempt, code: str, redirect: str) -> HubIdentity:
        """Exchange a code, and return the account with its organisations. Raises SignInFailed if anything is wrong."""
        with self._calls() as calls:
            provider = self._read_provider(calls)
            tokens = self._exchange_code(calls, provider, attempt, code, redirect)
            claims = self._verify(calls, provider, tokens.id_token, attempt.nonce)
            headers = {"authorization": f"Bearer {_header_text(tokens.access_token)}"}
            person = _decode(calls.ask("GET", provider.userinfo_endpoint, headers=headers), _Person)
        if person.sub != claims["sub"] or not is_id(person.sub) or not person.preferred_username:
            raise SignInFailed("the provider named two different accounts, so nobody was signed in.", hint=_WRONG)
        orgs = person.orgs[:_MAX_ORGS]
        roles = {org.preferred_username.lower(): org.role for org in orgs if org.role and not org.is_restricted}
        restricted = frozenset(org.preferred_username.lower() for org in orgs if org.is_restricted)
        ids = {org.preferred_username.lower(): org.sub for org in orgs if org.sub and is_id(org.sub)}
        return HubIdentity(person.sub, person.preferred_username[:200], roles, restricted, ids)

    @contextmanager
    def _calls(self) -> Iterator[_Calls]:
        deadline = Deadline()
        end = time.monotonic() + self.max_seconds
        deadline.until = lambda: end
        transport = DeadlineTransport(deadline, _LIMITS, find_proxy(self.issuer))
        with httpx2.Client(transport=transport, timeout=self.max_seconds, follow_redirects=False) as client:
            yield _Calls(client, deadline, urlsplit(self.issuer).netloc)

    def _read_provider(self, calls: _Calls) -> _Provider:
        """Return the discovery document, at most an hour old."""
        if self._provider is not None and time.monotonic() - self._provider[0] < _CACHED_S:
            return self._provider[1]
        provider = _decode(calls.ask("GET", f"{self.issuer}/.well-known/openid-configuration"), _Provider)
        if provider.issuer.rstrip("/") != self.issuer:
            raise SignInFailed(
                f"the provider calls itself {make_visible(provider.issuer[:100], one_line=True)}, not {self.issuer}.",
                hint="An admin must check OPENID_PROVIDER_URL, or HF_ENDPOINT.",
            )
        ends = (provider.authorization_endpoint, provider.token_endpoint, provider.userinfo_endpoint, provider.jwks_uri)
        if not all(_origin_of(url) == self.issuer for url in ends):
            raise SignInFailed("the provider points to another host; nothing was sent there.", hint=_WRONG)
        if "S256" not in provider.code_challenge_methods_supported:
            raise SignInFailed("the provider does not support PKCE with S256.", hint=_WRONG)
        self._provider = (time.monotonic(), provider)
        return provider

    def _exchange_code(
        self, calls: _Calls, provider: _Provider, attempt: SignInAttempt, code: str, redirect: str
    ) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": attempt.verifier,
            "client_id": self.client_id,
        }
        login = httpx2.BasicAuth(quote(self.client_id, safe=""), quote(self.client_secret.reveal(), safe=""))
        return _decode(calls.ask("POST", provider.token_endpoint, form=form, auth=login), _Tokens)

    def _verify(self, calls: _Calls, provider: _Provider, id_token: str, nonce: str) -> Mapping[str, Any]:
        """Return the claims of the id token. Keys that do not contain the token's key are read again, once."""
        from .id_tokens import InvalidIdToken, UnknownKey, verify_id_token

        is_cached = self._keys is not None and time.monotonic() - self._keys[0] < _CACHED_S
        verify = partial(
            verify_id_token, id_token, issuer=provider.issuer, client_id=self.client_id, nonce=nonce, now=self.now()
        )
        try:
            if is_cached and self._keys is not None:
                try:
                    return verify(self._keys[1])
                except UnknownKey:
                    pass
            keys = _decode(calls.ask("GET", provider.jwks_uri), dict[str, Any])
            self._keys = (time.monotonic(), keys)
            return verify(keys)
        except InvalidIdToken as problem:
            raise SignInFailed(f"the id token is not valid: {problem}.", hint=_WRONG) from None


class _Calls(Struct, frozen=True):
    """The calls of one sign-in, which share a deadline."""

    client: httpx2.Client
    deadline: Deadline
    host: str

    def ask(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        auth: httpx2.Auth | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the body of a 200. Raises SignInFailed for anything else."""
        sent = {"user-agent": "hf-gate", "accept": "application/json", **(headers or {})}
        try:
            with self.client.stream(method, url, data=form, auth=auth, headers=sent) as answer:
                status = answer.status_code
                body = self._read_body(answer)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as problem:
            why = "in time" if self.deadline.is_over() else f"({type(problem).__name__})"
            raise SignInFailed(
                f"{self.host} did not answer {why}.", hint="Try again in a minute.", status=503
            ) from None
        if 300 <= status < 400:
            raise SignInFailed(f"{self.host} answered with a redirect, which is not followed.", hint=_WRONG)
        if status != 200:
            raise _failure_of(status, body, self.host)
        return body

    def _read_body(self, answer: httpx2.Response) -> bytes:
        parts = []
        size = 0
        for part in answer.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > _MAX_BODY:
                raise SignInFailed(f"{self.host} sent more than {_MAX_BODY >> 20} MiB.", hint=_WRONG)
            if self.deadline.is_over():
                raise SignInFailed(
                    f"{self.host} did not answer in time.",
                    hint="Try again in a minute.",
                    status=503,
                )
        return b"".join(parts)


def _failure_of(status: int, body: bytes, host: str) -> SignInFailed:
    """Return the error for an error answer. Its text decides nothing but the hint."""
    try:
        kind = decode_json(body, dict[str, Any]).get("error")
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        kind = None
    if kind == "invalid_grant":
        return SignInFailed("this sign-in has expired or was used before.", hint="Sign in again.", status=403)
    if kind == "invalid_client":
        return SignInFailed(
            f"{host} does not know this desk (invalid_client).", hint="An admin must check client_id and client_secret."
        )
    away = status >= 500 or status == 429
    hint = "Try again in a minute." if away else _WRONG
    return SignInFailed(f"{host} answered {status}.", hint=hint, status=503 if away else 502)


def _decode(body: bytes, wanted: type[_T]) -> _T:
    try:
        return decode_json(body, wanted)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise SignInFailed("the provider sent an answer that cannot be read.", hint=_WRONG) from None


def _header_text(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token or len(token) > 8192:
        raise SignInFailed("the provider sent an answer that cannot be read.", hint=_WRONG)
    return token


def _origin_of(url: str) -> str | None:
    """Return the origin of an address without user, query or fragment; None for another address."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if parts.query or parts.fragment or parts.username is not None or not url.isprintable():
        return None
    return f"{parts.scheme}://{parts.netloc}"
