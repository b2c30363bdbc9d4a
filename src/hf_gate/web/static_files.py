"""The static files of the pages, read once. Their path contains a digest of all of them, so browsers may keep them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@lru_cache(1)
def static_files() -> dict[str, tuple[bytes, str]]:
    """Content and media type of each file that is served, by its name."""
    files = sorted((FOLDER / "static").iterdir())
    return {file.name: (file.read_bytes(), _TYPES[file.suffix]) for file in files if file.suffix in _TYPES}


@lru_cache(1)
def static_version() -> str:
    """12 hex digits of a digest over all files. One for all: a script imports others by relative paths."""
    digest = hashlib.sha256()
    for name, (content, _) in static_files().items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def static_url(name: str) -> str:
    """The path of a file, for templates."""
    if name not in static_files():
        raise KeyError(name)
    return f"/static/{static_version()}/{name}"
