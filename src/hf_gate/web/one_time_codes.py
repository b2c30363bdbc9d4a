"""Secrets that are good for one use within a quarter of an hour; they live in this process only."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

LIFETIME: Final = 15 * 60.0  # seconds
_MAX_CODES: Final = 1000


class OneTimeCodes:
    """Gives out codes, each for one subject; a new code for a subject ends the one before."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def issue(self, subject: str) -> str:
        """Make a new code."""
        code = secrets.token_urlsafe(32)
        self.put_back(code, subject)
        return code

    def put_back(self, code: str, subject: str) -> None:
        """Let a code count once more: what it was for could not be done."""
        now = time.monotonic()
        with self._lock:
            kept = {key: one for key, one in self._codes.items() if one[1] > now and one[0] != subject}
            while len(kept) >= _MAX_CODES:
                kept.pop(next(iter(kept)))
            self._codes = {**kept, code: (subject, now + LIFETIME)}

    def take(self, code: str) -> str | None:
        """Use a code up; the subject it was given out for, or None."""
        with self._lock:
            subject, until = self._codes.pop(code, ("", 0.0))
        return subject if time.monotonic() < until else None
