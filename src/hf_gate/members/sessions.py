"""Sessions of members, what a personal link can do for a browser, and keys of other systems."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import msgspec

from hf_gate.base.timestamps import DAY_MS

LINK_LIFETIME: Final = 7 * DAY_MS
"""Milliseconds in which a new personal link must be used for the first time."""
DEVICE_LIFETIME: Final = 90 * DAY_MS
"""Milliseconds after its last use in which a browser's device cookie is valid."""
DEVICE_LINK_LIFETIME: Final = 600.0
"""Seconds in which a link for another device must be used."""

KEY_OVERLAP: Final = 7 * DAY_MS
"""Milliseconds for which an earlier secret of a key works beside a new one."""


def digest_secret(secret: str) -> str:
    """Return the digest under which a secret is stored. Nobody can guess one of 256 random bits.

    What others chose, such as the Idempotency-Key of a call, can be guessed from its digest.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


class SignInMethod(StrEnum):
    """How a session began."""

    TERMINAL = "terminal"
    LINK = "link"
    DEVICE = "device"
    HUB = "hub"


METHOD_LABELS: Final = {
    SignInMethod.TERMINAL: "link from the terminal",
    SignInMethod.LINK: "personal link",
    SignInMethod.DEVICE: "link for another device",
    SignInMethod.HUB: "Hub account",
}


class LinkState(StrEnum):
    """What a personal link can do in a browser now."""

    VALID = "valid"
    INVALID = "invalid"
    EXPIRED = "expired"
    OTHER_DEVICE = "other device"


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session to store. `member` is the member's name, `browser` a label such as `Firefox on Linux`.

    `began_at` (ms) is in the past if the session continues another one; `parent` is that session.
    """

    member: str
    method: SignInMethod
    browser: str
    began_at: int
    parent: str | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An open session. `id` is the digest of the browser's secret; times are in ms."""

    id: str
    member: str
    method: SignInMethod
    browser: str
    began_at: int
    seen_at: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One secret of a key. Times are in ms; `until_at` is None for the newest secret."""

    digest: str
    name: str
    verbs: tuple[str, ...]
    repos: tuple[str, ...] | None
    made_at: int
    until_at: int | None = None
