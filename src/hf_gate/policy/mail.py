"""Mail addresses as DNS sees them: what is one address, whose domain it is, and when two are the same. No list is asked."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import idna

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_LOCAL = re.compile(r"[^\s@\"(),:;<>\[\\\]\x00-\x20\x7f]{1,64}\Z")
_QUOTED = re.compile(r'"[^"\\\r\n]{0,62}"\Z')
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """One mailbox. `domain` as DNS spells it (`xn--...` for other scripts), so that what only looks alike differs."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse_address(text: str) -> EmailAddress | None:
    """The one address that a text is, in small letters; None when it is none, or more than one reading is possible."""
    text = text.strip()
    if len(text) > 320:
        return None
    local, at, domain = text.rpartition("@")
    if not at or not (_LOCAL.match(local) or _QUOTED.match(local)):
        return None
    name = parse_domain(domain)
    return EmailAddress(local.translate(_UPPER), name) if name else None


@lru_cache(maxsize=16384)
def parse_domain(text: str) -> str | None:
    """A domain as DNS spells it: small letters, no dot at its end, other scripts as `xn--` (IDNA 2008, nothing guessed)."""
    name = text.strip().rstrip(".").translate(_UPPER)
    if not name.isascii():
        try:
            name = idna.encode(_lower(unicodedata.normalize("NFC", name)), strict=True).decode("ascii")
        except (idna.IDNAError, UnicodeError, ValueError, IndexError):
            return None
    labels = name.split(".")
    return name if len(name) <= 253 and all(map(_LABEL.match, labels)) else None


def _lower(name: str) -> str:
    """Small letters; a letter whose small form is of another script (the Kelvin sign) stays, and IDNA refuses it."""
    return "".join(small if len(small := char.lower()) == 1 and not small.isascii() else char for char in name)


def parent_domains(domain: str) -> tuple[str, ...]:
    """The domain and every domain above it, the longest first: how lists are asked, label by label."""
    labels = domain.split(".")
    return tuple(".".join(labels[at:]) for at in range(len(labels)))
