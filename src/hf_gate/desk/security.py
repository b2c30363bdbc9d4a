"""Checks the host, the origin of writes and the size of bodies of every request, and sets the security headers."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY: Final = 2 << 20  # bytes of a form
_PROXY: Final = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ALWAYS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Answered under any name: balancers and orchestrators ask by address. They say whether this process works, no more."""


_KEY_PATHS: Final = frozenset({"/api/v1/events", "/api/v1/decisions", "/api/openapi.json", "/metrics"})
"""Paths that take the key of another system in place of a session, beside those of `_ROW_PATHS`."""

_ROW_PATHS: Final = "/api/v1/tables/"


def _read_key(path: str, headers: Mapping[str, str]) -> str | None:
    """Return the secret that a call sends as `Authorization: Bearer`; None if it sends none, or the path takes none.

    No page of another site can make a browser send one, so such a call needs no origin. Its cookies do not count.
    """
    kind, _, secret = headers.get("authorization", "").partition(" ")
    takes_key = path in _KEY_PATHS or path.startswith(_ROW_PATHS)
    return secret.strip() if takes_key and kind.lower() == "bearer" else None


class SecurityMiddleware:
    """ASGI middleware. `hosts`: the accepted values of Host; None accepts any.

    `public`: the origin in browsers if a proxy ends TLS in front of the desk, `https://desk.example.org`.
    """

    def __init__(self, app: App, hosts: frozenset[str] | None, public: str | None = None) -> None:
        self.app = app
        self.hosts = hosts
        self.public = public
        self.has_proxy = False  # whether any request so far had a header that a proxy adds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.has_proxy = self.has_proxy or any(name in _PROXY or name.startswith("x-forwarded-") for name in headers)
        key = _read_key(scope["path"], headers)
        scope.setdefault("state", {}).update(nonce=nonce, has_proxy=self.has_proxy, key=key)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _security_headers(message["headers"], nonce, is_https=self.public is not None)
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _send_text(send_with_headers, *refusal)
        else:
            await self.app(scope, _limit_body(receive), send_with_headers)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        is_probe = scope["method"] in _SAFE and scope["path"] in PROBES
        if self.hosts is not None and headers.get("host", "").lower() not in self.hosts and not is_probe:
            return 421, "The desk answers only at its own address."
        if scope["method"] in _SAFE:
            return None
        if scope["state"]["key"] is None and not self._is_from_here(scope, headers):
            return 403, "A change must come from a page of this desk."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return 413, "The request is too large."
        return None

    def _is_from_here(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        """Return whether Sec-Fetch-Site and Origin, as far as present, name this desk; without both: False."""
        site = headers.get("sec-fetch-site")
        if site is not None and site != "same-origin":
            return False
        origin = headers.get("origin")
        host = headers.get("host", "").lower()
        if origin is None:
            return site == "same-origin"
        if self.public is not None and host == self.public.partition("://")[2]:
            return origin.lower() == self.public  # the scheme of this connection is the proxy's, not the browser's
        return origin.lower() == f"{scope['scheme']}://{host}"


def _limit_body(receive: Receive) -> Receive:
    """Limit a body without a declared length. The part that exceeds the limit is passed on, so the reader notices."""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return {**message, "more_body": False} if size > MAX_BODY else message

    return receive_limited


def content_security_policy(nonce: str) -> str:
    """Return the Content-Security-Policy of a page: the desk's files, and scripts with this page's nonce."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )


def _security_headers(
    headers: list[tuple[bytes, bytes]], nonce: str, *, is_https: bool = False
) -> list[tuple[bytes, bytes]]:
    have = {name.lower() for name, _ in headers}
    wanted = {**_ALWAYS, "content-security-policy": content_security_policy(nonce), "cache-control": "no-store"}
    if is_https:
        wanted["strict-transport-security"] = "max-age=31536000"
    more = [(name.encode(), value.encode()) for name, value in wanted.items() if name.encode() not in have]
    return [*headers, *more]


async def _send_text(send: Send, status: int, text: str) -> None:
    body = f"{text}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
