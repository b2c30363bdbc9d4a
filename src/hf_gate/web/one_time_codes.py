"""Codes that are valid for one use within 15 minutes, kept in memory only."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

LIFETIME: Final = 15 * 60.0  # seconds
_MAX_CODES: Final = 1000


class OneTimeCodes:
    """Issues codes for subjects; a new code of a subject replaces its old one."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def issue(self, subject: str) -> str:
        """Make a new code."""
        code = secrets.token_urlsafe(32)
        self.put_back(code, subject)
        return code

    def put_back(self, code: str, subject: str) -> None:
        """Make a code valid again after a failure of ours."""
        now = time.monotonic()
        with self._lock:
            kept = {key: one for key, one in self._codes.items() if one[1] > now and one[0] != subject}
            while len(kept) >= _MAX_CODES:
                kept.pop(next(iter(kept)))
            self._codes = {**kept, code: (subject, now + LIFETIME)}

    def take(self, code: str) -> str | None:
        """Use a code up, and return its subject, or None if it is not valid."""
        with self._lock:
            subject, until = self._codes.pop(code, ("", 0.0))
        return subject if time.monotonic() < until else None
