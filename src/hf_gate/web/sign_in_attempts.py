"""Ties the answer of a sign-in provider to the browser that began the sign-in, without storing anything for strangers.

The browser keeps a cookie with random bits. State, nonce and verifier are keyed hashes of it, so another browser cannot
use them, and strangers who begin many sign-ins cannot end those of others. Several sign-ins of one browser share its
cookie, so a site that leads the browser here ends none of them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final

from ..hub.openid import SignInAttempt

LIFETIME: Final = 600.0  # seconds
_MAX_USED: Final = 10_000
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_STATE: Final = re.compile(r"([0-9]{1,12})\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{43}")


@dataclass
class SignInAttempts:
    """Makes and recognizes attempts. They are valid for 10 minutes, for one answer, and in this process only."""

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _used: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, cookie: str = "") -> tuple[str, SignInAttempt]:
        """Return the cookie and a new attempt. `cookie` is the one that the browser has, if any."""
        kept = cookie if _COOKIE.fullmatch(cookie) else secrets.token_urlsafe(32)
        return kept, self._attempt_of(kept, f"{time.monotonic():.0f}.{secrets.token_urlsafe(12)}")

    def find(self, cookie: str, state: str) -> SignInAttempt | None:
        """Return the attempt of a cookie and a state; None if they do not belong together, are used up, or are too old."""
        parts = _STATE.fullmatch(state)
        if parts is None or not _COOKIE.fullmatch(cookie):
            return None
        attempt = self._attempt_of(cookie, state.rpartition(".")[0])
        is_made_here = hmac.compare_digest(attempt.state.encode(), state.encode())
        is_young = is_made_here and 0 <= time.monotonic() + 1 - int(parts[1]) <= LIFETIME
        return attempt if is_young and state not in self._used else None

    def take(self, cookie: str, state: str) -> SignInAttempt | None:
        """Return the attempt like `find`, and use it up."""
        attempt, now = self.find(cookie, state), time.monotonic()
        if attempt is None:
            return None
        with self._lock:
            if state in self._used:
                return None
            while self._used and (len(self._used) >= _MAX_USED or now - next(iter(self._used.values())) > LIFETIME + 1):
                del self._used[next(iter(self._used))]  # the oldest: the provider accepts its code once anyway
            self._used[state] = now
        return attempt

    def _attempt_of(self, cookie: str, begun: str) -> SignInAttempt:
        state, nonce, verifier = (self._derive(purpose, cookie, begun) for purpose in ("state", "nonce", "verifier"))
        return SignInAttempt(f"{begun}.{state}", nonce, verifier)

    def _derive(self, purpose: str, cookie: str, begun: str) -> str:
        digest = hmac.digest(self._key, f"{purpose}:{begun}:{cookie}".encode(), hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
