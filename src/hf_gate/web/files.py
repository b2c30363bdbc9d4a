"""The files that pages are drawn with, read once; each is asked for by the digest of what is in it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
TYPES: Final = {
    "desk.css": "text/css",
    "desk.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "live.js": "text/javascript",
    "mark.svg": "image/svg+xml",
}
"""What is served, and as what; nothing else is."""


@lru_cache
def content_of(name: str) -> bytes:
    """The bytes of one of `TYPES`."""
    if name not in TYPES:
        raise KeyError(name)
    return (FOLDER / "static" / name).read_bytes()


def version_of(name: str) -> str:
    """12 hex digits of its digest."""
    return hashlib.sha256(content_of(name)).hexdigest()[:12]
