"""HTTP requests and responses of the local Hub, its errors, and its time format."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.timestamps import DAY_MS

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
EXPOSED = (
    "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,"
    "X-Linked-Size,X-Linked-ETag,X-Xet-Hash"
)
_HUB_HEADERS = ("x-", "ratelimit", "access-control-")
_encode = msgspec.json.Encoder().encode


class ReadView(Struct, frozen=True):
    """How a fault distorts the lists: shuffled, or as they were some milliseconds ago; and a sign-in."""

    is_shuffled: bool = False
    lag_ms: int = 0
    sign_in: str = ""  # one of `handlers.openid.SIGN_IN_FAULTS`


PLAIN_VIEW = ReadView()


@dataclass(frozen=True)
class HttpRequest:
    """One request. `path` is undecoded and without query; header names are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    now_ms: int = 0
    base_url: str = "http://127.0.0.1"
    view: ReadView = PLAIN_VIEW

    @cached_property
    def params(self) -> dict[str, str]:
        """The query parameters; the last one of repeated keys."""
        return dict(self.pairs)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def bearer_token(self) -> str | None:
        """The token, or None for an anonymous call."""
        kind, _, secret = self.headers.get("authorization", "").partition(" ")
        return secret.strip() if kind.lower() == "bearer" else None


class HttpResponse(Struct, frozen=True):
    """One response. The server adds `content-length`."""

    status: int
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""

    def with_headers(self, **headers: str) -> HttpResponse:
        """Return a copy with more headers; `_` in a name stands for `-`."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})

    def without_hub_headers(self) -> HttpResponse:
        """Return a copy with only those headers that any web server might send."""
        plain = {name: value for name, value in self.headers.items() if not name.lower().startswith(_HUB_HEADERS)}
        return replace(self, headers=plain)


class HttpError(Exception):
    """An error answer: status, the Hub's message, and its X-Error-Code if there is one."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def to_response(self, shape: str) -> HttpResponse:
        """Return the response; `shape` is json, text or html, depending on the endpoint."""
        headers = {"X-Error-Message": to_header_text(self.message)} | self.headers
        if self.code:
            headers["X-Error-Code"] = self.code
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="Authentication required", charset="UTF-8"'
        if shape == "json":
            return json_response({"error": self.message}, self.status).with_headers(**headers)
        if shape == "text":
            return HttpResponse(self.status, {"Content-Type": TEXT_TYPE, **headers}, self.message.encode())
        page = f"<!doctype html><title>{self.status}</title><h1>{self.status}</h1><p>{escape_html(self.message)}</p>"
        return HttpResponse(self.status, {"Content-Type": HTML_TYPE, **headers}, page.encode())


def json_response(value: object, status: int = 200, *, raw: bytes | None = None) -> HttpResponse:
    """Return compact JSON with the Hub's weak ETag; `raw` is an encoded body."""
    body = _encode(value) if raw is None else raw
    return HttpResponse(status, {"Content-Type": JSON_TYPE, "ETag": make_etag(body)}, body)


def text_response(text: str, status: int = 200, **headers: str) -> HttpResponse:
    return HttpResponse(status, {"Content-Type": TEXT_TYPE, **headers}, text.encode())


def make_etag(body: bytes) -> str:
    """Return an ETag like Express: the length in hex and the first 27 characters of the SHA-1 in base64."""
    digest = b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'


def to_header_text(message: str) -> str:
    """Return a message for X-Error-Message: `*` for characters outside printable ASCII, white space folded."""
    return re.sub(r"\s+", " ", "".join(c if " " <= c <= "~" or c.isspace() else "*" for c in message)).strip()


def escape_html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_MINUTES = [f"{hour:02d}:{minute:02d}:" for hour in range(24) for minute in range(60)]


def format_ms(ms: int) -> str:
    """Format milliseconds since 1970 as the Hub does: `2026-10-06T13:49:34.895Z`."""
    day, rest = divmod(ms, DAY_MS)
    return f"{_format_day(day)}{_MINUTES[rest // 60_000]}{rest % 60_000 // 1000:02d}.{rest % 1000:03d}Z"


@lru_cache(maxsize=4096)
def _format_day(days: int) -> str:
    """Format a day. It is cached, because the requests of a page share it."""
    return datetime.fromtimestamp(days * 86_400, UTC).isoformat()[:11]


def parse_ms(text: str) -> int | None:
    """Parse an ISO 8601 time with a zone into milliseconds; None for anything else."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if when.tzinfo is None else round(when.timestamp() * 1000)
