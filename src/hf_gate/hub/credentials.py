"""Finds the token and the endpoint, and keeps tokens out of logs and unencrypted channels."""

from __future__ import annotations

import hashlib
import os
from urllib.parse import urlsplit

from hf_gate.base.environment import is_true
from hf_gate.base.network_hosts import PUBLIC_HUB, is_loopback_host
from hf_gate.errors import LOGIN_ADVICE, InsecureEndpoint, Offline, UsageError, to_command_hint

_STAGING_HUB = "https://hub-ci.huggingface.co"
NO_IMPLICIT_TOKEN = "HF_HUB_DISABLE_IMPLICIT_TOKEN"  # noqa: S105 - the name of a variable


class Secret:
    """A token that never appears in a repr, log or traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value.isprintable():  # the network library would show the whole value in its error
            raise UsageError("the token contains invalid characters.", hint="Copy the token again.")
        self._value = value

    def reveal(self) -> str:
        """Return the token, for the Authorization header only."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """A hash that identifies the token without revealing it."""
        return hashlib.sha256(self._value.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("tokens cannot be pickled")


def _is_on(name: str) -> bool:
    return is_true(os.environ.get(name))


def resolve_token(token: str | bool | Secret | None) -> Secret | None:
    """Return the token as `huggingface_hub` would find it; False means none."""
    if isinstance(token, Secret):
        return token
    if token is False or (token is None and _is_on(NO_IMPLICIT_TOKEN)):
        return None
    text = token if isinstance(token, str) else _implicit_token()
    if token is True and not text:
        raise UsageError("token=True, but no token was found.", hint="Run `hf auth login`, or set HF_TOKEN.")
    text = (text or "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the token contains invalid characters.", hint="Copy the token again.")
    return Secret(text)


def name_token_source(hint: str, token_from: str | None) -> str:
    """Return the hint of a command, in which the advice to set a token names where this process gets its token.

    `token_from` is the option or the profile with the token, or the process that has it. None means that
    `huggingface_hub` finds it.
    """
    if token_from is not None:
        advice = f"Replace the token of {token_from}"
    elif _is_on(NO_IMPLICIT_TOKEN):
        advice = f"Use --token-file FILE, because {NO_IMPLICIT_TOKEN} is set"
    elif _token_of_environment():
        advice = "Set HF_TOKEN to another token"
    else:
        advice = LOGIN_ADVICE
    return to_command_hint(hint).replace(LOGIN_ADVICE, advice)


def _token_of_environment() -> str | None:
    return None if os.environ.get("HF_OIDC_RESOURCE") else os.environ.get("HF_TOKEN", "").strip() or None


def _implicit_token() -> str | None:
    if token := _token_of_environment():
        return token
    from huggingface_hub import get_token  # imported on first use: it takes 0.2 s

    return get_token()


def resolve_endpoint(endpoint: str | None) -> str:
    """Return the origin of the Hub, without a trailing slash."""
    text = (endpoint or os.environ.get("HF_ENDPOINT") or "").strip().rstrip("/")
    if not text:
        return _STAGING_HUB if _is_on("HUGGINGFACE_CO_STAGING") else PUBLIC_HUB
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        url = urlsplit("")
    scheme, _, host = text.partition("://")
    is_plain = url.netloc == host and "@" not in host  # only a host may follow the scheme
    if url.scheme not in ("http", "https") or not url.hostname or not is_plain:
        shown = "an address with a name or password" if "@" in text else repr(text)
        raise UsageError(f"{shown} is not the endpoint of a Hub.", hint="Write https://host, without a path.")
    return f"{scheme.lower()}://{host}"


def is_loopback(endpoint: str) -> bool:
    """Return whether the endpoint is on this machine."""
    return is_loopback_host(urlsplit(endpoint).hostname or "")


def check_channel(endpoint: str, token: Secret | None, *, insecure_http: bool) -> None:
    """Raise InsecureEndpoint if a token would be sent unencrypted to another machine."""
    if token and endpoint.startswith("http:") and not is_loopback(endpoint) and not insecure_http:
        raise InsecureEndpoint(f"{endpoint} is plain http: others could read the token on the way.")


def check_online() -> None:
    """Raise Offline if the environment forbids calls to the Hub."""
    if _is_on("HF_HUB_OFFLINE") or _is_on("TRANSFORMERS_OFFLINE"):
        raise Offline("HF_HUB_OFFLINE is set, so the Hub is not called.")
