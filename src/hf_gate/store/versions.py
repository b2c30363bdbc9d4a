"""Which shapes of the store there have been; read at every opening, so it imports nothing."""

from __future__ import annotations

from typing import Final

REVISIONS: Final = ("0001",)
"""Oldest first; each has a file in `migrations/versions`, and the last is what this hf-gate works with."""

HEAD: Final = REVISIONS[-1]
