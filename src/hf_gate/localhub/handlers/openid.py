"""Answers of the local Hub's sign-in provider: OpenID Connect with codes and PKCE, and a page to choose a person."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from types import ModuleType
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from hf_gate.hub.protocol.access_refusals import RefusalCause
from hf_gate.localhub.context import CallContext, build_refusal
from hf_gate.localhub.http_messages import HTML_TYPE, HttpError, HttpResponse, escape_html, json_response
from hf_gate.localhub.openid_client import CLIENT_ID, CLIENT_SECRET
from hf_gate.localhub.records import HubAccount, SignInCode
from hf_gate.localhub.world import World

SIGN_IN_FAULTS: Final = (
    "nonce", "issuer", "audience", "expired", "no_expiry", "future", "subject", "unknown_key", "forged", "rotated",
    "alg_none", "alg_hs256", "huge", "no_token", "other_issuer", "other_host", "no_pkce", "other_person", "no_sso",
    "other_org", "not_yet", "odd_start",
)  # fmt: skip
"""The ways in which the fault `bad_sign_in` makes a sign-in wrong. `rotated` is right: a new key signs the token.
`no_sso` and `other_org` are right too: the person did not pass the sign-in of their organisations, or other ones took
the names.
"""
_CODE_MS: Final = 60_000
_TOKEN_S: Final = 3600
_MAX_CODES: Final = 1000
_SHOWN: Final = 50  # people on the page
_EVIL: Final = "https://evil.invalid"
_FAR: Final = 7200  # seconds


def describe_provider(context: CallContext) -> HttpResponse:
    """Return the discovery document."""
    base = context.request.base_url
    how = context.request.view.sign_in
    return json_response(
        {
            "issuer": _EVIL if how == "other_issuer" else base,
            "authorization_endpoint": f"{base}/oauth/authorize",
            "token_endpoint": f"{_EVIL if how == 'other_host' else base}/oauth/token",
            "userinfo_endpoint": f"{base}/oauth/userinfo",
            "jwks_uri": f"{base}/oauth/jwks",
            "scopes_supported": ["openid", "profile"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["plain"] if how == "no_pkce" else ["S256"],
        }
    )


def _load_keys() -> ModuleType:
    """Return the module that signs id tokens. It needs the package of the extra [sign-in]."""
    try:
        from hf_gate.localhub import openid_keys
    except ModuleNotFoundError as problem:
        if problem.name != "joserfc":
            raise
        raise HttpError(501, "The local Hub signs nobody in: install hf-gate with the extra [sign-in].") from None
    return openid_keys


def list_keys(context: CallContext) -> HttpResponse:
    """Return the public keys that verify id tokens."""
    openid_keys = _load_keys()
    return json_response(openid_keys.publish_keys(is_rotated=context.world.is_key_rotated))


# ---- the page --------------------------------------------------------------------------------------------------------


def authorize(context: CallContext) -> HttpResponse:
    """Show the people, or send the browser back with a code for the chosen one."""
    params = context.request.params
    redirect = params.get("redirect_uri", "")
    if params.get("client_id") != CLIENT_ID:
        raise HttpError(400, "Invalid client_id")
    if urlsplit(redirect).scheme not in {"http", "https"} or not urlsplit(redirect).netloc:
        raise HttpError(400, "Invalid redirect_uri")
    if params.get("response_type") != "code" or "openid" not in params.get("scope", "").split():
        return _send_back(redirect, {"error": "invalid_request", "state": params.get("state", "")})
    if params.get("code_challenge_method") != "S256" or not params.get("code_challenge"):
        return _send_back(redirect, {"error": "invalid_request", "state": params.get("state", "")})
    if "deny" in params:
        return _send_back(redirect, {"error": "access_denied", "state": params.get("state", "")})
    account = context.world.find_user(params.get("user", ""))
    if account is None:
        return _show_people(context)
    code = _add_code(context, account, redirect)
    return _send_back(redirect, {"code": code, "state": params.get("state", "")})


def _send_back(redirect: str, values: dict[str, str]) -> HttpResponse:
    mark = "&" if "?" in redirect else "?"
    return HttpResponse(303, {"Location": f"{redirect}{mark}{urlencode(values)}"})


def _add_code(context: CallContext, account: HubAccount, redirect: str) -> str:
    params = context.request.params
    codes = context.world.sign_in_codes
    while len(codes) >= _MAX_CODES:
        codes.pop(next(iter(codes)))
    code = secrets.token_urlsafe(24)
    until = context.now_ms + _CODE_MS
    codes[code] = SignInCode(account, redirect, params["code_challenge"], params.get("nonce", ""), until)
    return code


def _show_people(context: CallContext) -> HttpResponse:
    """Show the staff and the people whose username begins with the search."""
    params = {key: value for key, value in context.request.params.items() if key not in {"user", "find"}}
    search = context.request.params.get("find", "").strip().lower()
    accounts = context.world.find_accounts_by_prefix(search) if search else _list_staff(context.world)
    people = [account for account in accounts if account.kind == "user"][:_SHOWN]
    here = f"/oauth/authorize?{urlencode(params)}"
    lines = "".join(
        f'<li><a href="{escape_html(here)}&amp;user={quote(account.username)}">{escape_html(account.username)}</a>'
        f" {escape_html(account.fullname)}</li>"
        for account in people
    )
    hidden = "".join(
        f'<input type="hidden" name="{escape_html(key)}" value="{_escape_value(value)}">'
        for key, value in params.items()
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Sign in · local Hub</title><main><h1>Sign in to the local Hub</h1>"
        "<p>The people here are invented. Choose one.</p>"
        f'<ul>{lines}</ul><form method="get" action="/oauth/authorize">{hidden}'
        '<label>Username begins with <input name="find"></label> <button>Find</button></form>'
        f'<p><a href="{escape_html(here)}&amp;deny=1">Cancel</a></p></main></html>'
    )
    return HttpResponse(200, {"Content-Type": HTML_TYPE}, page.encode())


def _list_staff(world: World) -> list[HubAccount]:
    return list({token.account.id: token.account for token in world.tokens.values()}.values())


def _escape_value(text: str) -> str:
    return escape_html(text).replace('"', "&quot;")


# ---- tokens ----------------------------------------------------------------------------------------------------------


def exchange_code(context: CallContext) -> HttpResponse:
    """Exchange a code for an id token and an access token. Each code works once."""
    openid_keys = _load_keys()
    if _read_client(context) != (CLIENT_ID, CLIENT_SECRET):
        return json_response({"error": "invalid_client"}, 401)
    form = {key: values[-1] for key, values in parse_qs(context.request.body.decode("utf-8", "replace")).items()}
    known = context.world.sign_in_codes.pop(form.get("code", ""), None)
    is_valid = (
        form.get("grant_type") == "authorization_code"
        and known is not None
        and known.until_ms >= context.now_ms
        and form.get("redirect_uri") == known.redirect
        and _challenge_of(form.get("code_verifier", "")) == known.challenge
    )
    if known is None or not is_valid:
        return json_response({"error": "invalid_grant", "error_description": "Invalid code"}, 400)
    how = context.request.view.sign_in
    if how == "rotated":
        context.world.is_key_rotated = True
    id_token = openid_keys.sign_id_token(_make_claims(context, known, how), CLIENT_SECRET, how)
    access_token = f"hf_local_oauth_{secrets.token_hex(12)}"
    _add_token(context.world, access_token, known.account)
    tokens = {"access_token": access_token, "token_type": "bearer", "expires_in": _TOKEN_S, "scope": "openid profile"}
    return json_response(tokens if how == "no_token" else tokens | {"id_token": id_token})


def _add_token(world: World, token: str, account: HubAccount) -> None:
    while len(world.sign_in_tokens) >= _MAX_CODES:
        world.sign_in_tokens.pop(next(iter(world.sign_in_tokens)))
    world.sign_in_tokens[token] = account


def _read_client(context: CallContext) -> tuple[str, str] | None:
    """Return id and secret of the Authorization header."""
    kind, _, value = context.request.headers.get("authorization", "").partition(" ")
    try:
        name, _, secret = b64decode(value, validate=True).decode().partition(":")
    except (Base64Error, ValueError):
        return None
    return (unquote(name), unquote(secret)) if kind.lower() == "basic" else None


def _challenge_of(verifier: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _make_claims(context: CallContext, known: SignInCode, how: str) -> dict[str, Any]:
    now = context.now_ms // 1000
    claims: dict[str, Any] = {
        "iss": context.request.base_url,
        "sub": known.account.id,
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + _TOKEN_S,
        "nonce": known.nonce,
        "preferred_username": known.account.username,
        "name": known.account.fullname,
    }
    wrong: dict[str, dict[str, Any]] = {
        "nonce": {"nonce": "another"},
        "issuer": {"iss": _EVIL},
        "audience": {"aud": "another-client"},
        "expired": {"iat": now - _FAR, "exp": now - _FAR + 60},
        "no_expiry": {"exp": None},
        "future": {"iat": now + _FAR, "exp": now + 2 * _FAR},
        "not_yet": {"nbf": now + _FAR},
        "odd_start": {"nbf": "soon"},
        "subject": {"sub": "0" * 24},
        "huge": {"name": "a" * 400_000},
    }
    claims |= wrong.get(how, {})
    return {name: value for name, value in claims.items() if value is not None}


def describe_signed_in_person(context: CallContext) -> HttpResponse:
    """Return the person of an access token, with their organisations and roles."""
    account = context.world.sign_in_tokens.get(context.request.bearer_token or "")
    if account is None:
        raise build_refusal(RefusalCause.TOKEN_INVALID)
    restrictions = ["sso"] if context.request.view.sign_in == "no_sso" else []
    orgs = [
        {
            "sub": "2" * 24 if context.request.view.sign_in == "other_org" else org.account.id,
            "name": org.account.fullname,
            "preferred_username": org.account.username,
            "picture": org.account.avatar,
            "isEnterprise": False,
            "roleInOrg": org.roles[account.id],
            "securityRestrictions": restrictions,
        }
        for org in context.world.orgs.values()
        if account.id in org.roles
    ]
    return json_response(
        {
            "sub": "1" * 24 if context.request.view.sign_in == "other_person" else account.id,
            "name": account.fullname,
            "preferred_username": account.username,
            "profile": f"{context.request.base_url}/{account.username}",
            "picture": account.avatar,
            "isPro": account.is_pro,
            "orgs": orgs,
        }
    )
