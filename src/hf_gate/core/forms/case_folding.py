"""Folds text for search: case, width and compatibility forms are ignored."""

from __future__ import annotations

import re
from typing import Final

from hf_gate.base.normalization import normalize

MAX_FOLDED: Final = 100_000
"""Characters of one text that a search can find."""

_STRANGE = re.compile("[\x00-\x1f\x7f-\x9f\ue000-\uf8ff\ud800-\udfff]")


def domain_of(email: str | None) -> str | None:
    """Return the part of an address after the last @, folded; None if the address has no @."""
    return fold_for_search(email.rpartition("@")[2]) if email and "@" in email else None


def fold_for_search(text: str, limit: int | None = MAX_FOLDED) -> str:
    """Return the folded text. Control characters, private-use characters and surrogates become spaces.

    Only `limit` characters are folded and returned, because one character can become eighteen.
    """
    text = text[:limit]
    if text.isascii():
        low = text.lower()
        return low if low.isprintable() else _STRANGE.sub(" ", low)
    if not text.isprintable():
        text = _STRANGE.sub(" ", text)
    return normalize("NFKC", normalize("NFKC", text)[:limit].casefold())[:limit]
