"""Text as it is compared when people look for something: case, width and compatibility forms do not matter."""

from __future__ import annotations

import re
import unicodedata

_STRANGE = re.compile("[\x00-\x1f\x7f-\x9f\ue000-\uf8ff\ud800-\udfff]")


def domain_of(email: str | None) -> str | None:
    """What stands behind the last @ of an address, folded."""
    return fold_for_search(email.rpartition("@")[2]) if email and "@" in email else None


def fold_for_search(text: str) -> str:
    """The text without those differences; control characters, private use and half characters become spaces."""
    if text.isascii():
        low = text.lower()
        return low if low.isprintable() else _STRANGE.sub(" ", low)
    text = _STRANGE.sub(" ", text)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
