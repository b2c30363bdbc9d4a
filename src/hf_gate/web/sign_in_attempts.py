"""Ties the answer of a sign-in provider to the browser that began the sign-in, without storing anything for strangers.

The browser keeps a cookie with random bits. State, nonce and verifier are keyed hashes of it, so another browser cannot
use them, and strangers who begin many sign-ins cannot end those of others.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final

from ..hub.openid import SignInAttempt

LIFETIME: Final = 600.0  # seconds
_MAX_USED: Final = 10_000
_MAX_COOKIE: Final = 100  # characters


@dataclass
class SignInAttempts:
    """Makes and recognizes attempts. They are valid for 10 minutes, for one answer, and in this process only."""

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _used: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> tuple[str, SignInAttempt]:
        """Return a new cookie and its attempt."""
        cookie = f"{time.monotonic():.0f}.{secrets.token_urlsafe(32)}"
        return cookie, self._attempt_of(cookie)

    def take(self, cookie: str, state: str) -> SignInAttempt | None:
        """Return the attempt of a cookie and use it up; None if the state belongs to another cookie, or it is too old."""
        attempt, now = self._attempt_of(cookie[:_MAX_COOKIE]), time.monotonic()
        if not hmac.compare_digest(attempt.state.encode(), state.encode("utf-8", "replace")):
            return None
        begun = cookie.partition(".")[0]  # the state shows that this process made the cookie
        if not 0 <= now + 1 - int(begun) <= LIFETIME:
            return None
        with self._lock:
            if state in self._used:
                return None
            while self._used and (len(self._used) >= _MAX_USED or now - next(iter(self._used.values())) > LIFETIME + 1):
                del self._used[next(iter(self._used))]  # the oldest: the provider accepts its code once anyway
            self._used[state] = now
        return attempt

    def _attempt_of(self, cookie: str) -> SignInAttempt:
        return SignInAttempt(*(self._derive(purpose, cookie) for purpose in ("state", "nonce", "verifier")))

    def _derive(self, purpose: str, cookie: str) -> str:
        digest = hmac.digest(self._key, f"{purpose}:{cookie}".encode("utf-8", "replace"), hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
