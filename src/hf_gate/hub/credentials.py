"""Where the token and the endpoint come from, and how a token is kept from being shown."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from urllib.parse import urlsplit

from ..errors import InsecureEndpoint, Offline, UsageError

PUBLIC_HUB = "https://huggingface.co"
_STAGING_HUB = "https://hub-ci.huggingface.co"
_YES = frozenset({"1", "on", "yes", "true"})


class Secret:
    """A token that no repr, log or traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token itself, for the Authorization header alone."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """A hash that names the token without telling it."""
        return hashlib.sha256(self._value.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a token is not written out")


def is_set(name: str) -> bool:
    """Whether an environment switch is on, as `huggingface_hub` reads it."""
    return os.environ.get(name, "").strip().lower() in _YES


def resolve_token(token: str | bool | Secret | None) -> Secret | None:
    """The token as `huggingface_hub` would find it; False means none. Never sent anywhere by this."""
    if isinstance(token, Secret):
        return token
    if token is False or (token is None and is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN")):
        return None
    text = token if isinstance(token, str) else _implicit_token()
    if token is True and not text:
        raise UsageError("a token was asked for and none is there.", hint="`hf auth login`, or set HF_TOKEN.")
    text = (text or "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the token holds characters that no token has.", hint="Copy it once more.")
    return Secret(text)


def _implicit_token() -> str | None:
    if os.environ.get("HF_TOKEN", "").strip() and not os.environ.get("HF_OIDC_RESOURCE"):
        return os.environ["HF_TOKEN"]
    from huggingface_hub import get_token  # 0.2 s: only when the environment does not hold it

    return get_token()


def resolve_endpoint(endpoint: str | None) -> str:
    """The origin of the Hub, without a slash at its end."""
    text = (endpoint or os.environ.get("HF_ENDPOINT") or "").strip().rstrip("/")
    if not text:
        return _STAGING_HUB if is_set("HUGGINGFACE_CO_STAGING") else PUBLIC_HUB
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        url = urlsplit("")
    scheme, _, host = text.partition("://")
    is_plain = url.netloc == host and "@" not in host  # nothing but a host behind the scheme, and before it nothing
    if url.scheme not in ("http", "https") or not url.hostname or not is_plain:
        shown = "an address with a name or password in it" if "@" in text else repr(text)
        raise UsageError(f"{shown} is no endpoint of a Hub.", hint="Write https://host, without a path.")
    return f"{scheme.lower()}://{host}"


def is_loopback(endpoint: str) -> bool:
    """Whether the endpoint is on this machine."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: it may lead anywhere, however it begins
        return host == "localhost"


def check_channel(endpoint: str, token: Secret | None, *, insecure_http: bool) -> None:
    """Refuse to send a token in the clear beyond this machine."""
    if token and endpoint.startswith("http:") and not is_loopback(endpoint) and not insecure_http:
        raise InsecureEndpoint(f"{endpoint} is plain http: a token sent there can be read on the way.")


def check_online() -> None:
    """Refuse to call the Hub when the user said so."""
    if is_set("HF_HUB_OFFLINE") or is_set("TRANSFORMERS_OFFLINE"):
        raise Offline("HF_HUB_OFFLINE is set, so the Hub is not called.")
