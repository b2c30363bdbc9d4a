"""The static files of the desk, read once. Their paths contain a digest of all of them, so browsers may cache them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from hf_gate.config import PACKAGE

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@lru_cache(1)
def static_files() -> dict[str, tuple[bytes, str]]:
    """Return content and media type of each file by name."""
    files = sorted((PACKAGE / "desk" / "static").iterdir())
    return {file.name: (file.read_bytes(), _TYPES[file.suffix]) for file in files if file.suffix in _TYPES}


@lru_cache(1)
def static_version() -> str:
    """Return 12 hex digits of a digest over all files; they share it because scripts import each other relatively."""
    digest = hashlib.sha256()
    for name, (content, _) in static_files().items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def static_url(name: str) -> str:
    """Return the path of a file, for templates. Raises KeyError for an unknown file."""
    if name not in static_files():
        raise KeyError(name)
    return f"/static/{static_version()}/{name}"
