"""Parses e-mail addresses and domains, and puts them in one canonical spelling."""

from __future__ import annotations

import re
from functools import lru_cache

import idna
from msgspec import Struct

from hf_gate.base.normalization import normalize

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_LOCAL = re.compile(r"[^\s@\"(),:;<>\[\\\]\x00-\x20\x7f]{1,64}\Z")
_QUOTED = re.compile(r'"[^"\\\r\n]{0,62}"\Z')
_MAX_ADDRESS = 320
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class EmailAddress(Struct, frozen=True):
    """An e-mail address. `domain` is in its DNS form (`xn--...`), so look-alike domains differ."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse_address(text: str) -> EmailAddress | None:
    """Return the e-mail address in lower case; None if the text is not exactly one valid address."""
    text = text.strip()
    if not has_local_part(text):
        return None
    local, _, domain = text.rpartition("@")
    name = parse_domain(domain)
    return EmailAddress(local.translate(_UPPER), name) if name else None


def has_local_part(text: str) -> bool:
    """Tell whether the part of a text up to the last @ is valid in an address. The text has no outer spaces."""
    local, at, _ = text.rpartition("@")
    return bool(at) and len(text) <= _MAX_ADDRESS and bool(_LOCAL.match(local) or _QUOTED.match(local))


@lru_cache(maxsize=16384)
def parse_domain(text: str) -> str | None:
    """Return a domain in its DNS form: lower case, no trailing dot, IDNA 2008. None if the domain is invalid."""
    name = text.strip().rstrip(".").translate(_UPPER)
    if len(name) > _MAX_ADDRESS:
        return None
    if not name.isascii():
        try:
            name = idna.encode(_lower(normalize("NFC", name)), strict=True).decode("ascii")
        except (idna.IDNAError, UnicodeError, ValueError, IndexError):
            return None
    labels = name.split(".")
    return name if len(name) <= 253 and all(map(_LABEL.match, labels)) else None


def _lower(name: str) -> str:
    """Lower-case a name.

    A letter that would become ASCII (such as the Kelvin sign) is kept, so that IDNA rejects it.
    """
    return "".join(small if len(small := char.lower()) == 1 and not small.isascii() else char for char in name)


def parent_domains(domain: str) -> tuple[str, ...]:
    """Return the domain and its parent domains, the longest first."""
    labels = domain.split(".")
    return tuple(".".join(labels[at:]) for at in range(len(labels)))
