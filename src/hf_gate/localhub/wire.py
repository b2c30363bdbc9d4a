"""What goes over the local Hub's wire: a call as it came, an answer as it leaves, and how the Hub says no."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from urllib.parse import parse_qsl

import msgspec

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
EXPOSED = (
    "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,"
    "X-Linked-Size,X-Linked-ETag,X-Xet-Hash"
)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class View:
    """How a fault lets the lists be seen: in no order, or as they were some milliseconds ago."""

    shuffled: bool = False
    lag_ms: int = 0


PLAIN = View()


@dataclass(frozen=True)
class Asked:
    """One call as it came. `path` is undecoded and without its query; header names are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    now_ms: int = 0
    base_url: str = "http://127.0.0.1"
    view: View = PLAIN

    @cached_property
    def params(self) -> dict[str, str]:
        """The query; of a key that comes twice the last one."""
        return dict(self.pairs)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def bearer(self) -> str | None:
        """The token that came with it, or None for an anonymous call."""
        kind, _, secret = self.headers.get("authorization", "").partition(" ")
        return secret.strip() if kind.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer. Header names as they leave; `content-length` is the skin's."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def having(self, **headers: str) -> Answered:
        """The same with more headers; `_` in a name stands for `-`."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})


class Refusal(Exception):
    """How a handler says no: the status, the Hub's words, and its X-Error-Code where it has one."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answered(self, shape: str) -> Answered:
        """`shape` is json, text or html: what kind of route was asked."""
        headers = {"X-Error-Message": header_copy(self.message)} | self.headers
        if self.code:
            headers["X-Error-Code"] = self.code
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="Authentication required", charset="UTF-8"'
        if shape == "json":
            return json_answer({"error": self.message}, self.status).having(**headers)
        if shape == "text":
            return Answered(self.status, {"Content-Type": TEXT_TYPE, **headers}, self.message.encode())
        page = f"<!doctype html><title>{self.status}</title><h1>{self.status}</h1><p>{html_text(self.message)}</p>"
        return Answered(self.status, {"Content-Type": HTML_TYPE, **headers}, page.encode())


def json_answer(value: object, status: int = 200, *, raw: bytes | None = None) -> Answered:
    """Compact JSON with the Hub's weak ETag; `raw` is a body that is encoded already."""
    body = _encode(value) if raw is None else raw
    return Answered(status, {"Content-Type": JSON_TYPE, "ETag": weak_etag(body)}, body)


def text_answer(text: str, status: int = 200, **headers: str) -> Answered:
    return Answered(status, {"Content-Type": TEXT_TYPE, **headers}, text.encode())


def weak_etag(body: bytes) -> str:
    """As Express makes it: length in hex and the first 27 characters of the SHA-1 in base64."""
    digest = b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'


def header_copy(message: str) -> str:
    """The ASCII copy of a message for X-Error-Message: `*` for what is not printable ASCII, white space folded."""
    return re.sub(r"\s+", " ", "".join(c if " " <= c <= "~" or c.isspace() else "*" for c in message)).strip()


def html_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_MINUTES = [f"{hour:02d}:{minute:02d}:" for hour in range(24) for minute in range(60)]


def iso(ms: int) -> str:
    """Milliseconds since 1970 as the Hub writes times: `2026-10-06T13:49:34.895Z`."""
    day, rest = divmod(ms, 86_400_000)
    return f"{_day(day)}{_MINUTES[rest // 60_000]}{rest % 60_000 // 1000:02d}.{rest % 1000:03d}Z"


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    """Kept, for the requests of a page have it in common."""
    return datetime.fromtimestamp(days * 86_400, UTC).isoformat()[:11]


def ms_of(text: str) -> int | None:
    """The reverse of `iso`, for any ISO 8601 time with a zone; None for what is none."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if when.tzinfo is None else round(when.timestamp() * 1000)
