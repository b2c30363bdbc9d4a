"""Sessions of members, and keys of other systems."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import msgspec


def digest_secret(secret: str) -> str:
    """Return the digest under which a secret is stored. Nobody can guess one of 256 random bits.

    What others chose, such as the Idempotency-Key of a call, can be guessed from its digest.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


class SignInMethod(StrEnum):
    """How a session began."""

    TERMINAL = "terminal"
    HUB = "hub"


METHOD_LABELS: Final = {
    SignInMethod.TERMINAL: "link from the terminal",
    SignInMethod.HUB: "Hub account",
}


class OneTimeLink(msgspec.Struct, frozen=True):
    """A link that signs a member in once. `member` is the member's id."""

    member: str
    method: SignInMethod


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session to store. `member` is the member's name, `browser` a label such as `Firefox on Linux`."""

    member: str
    method: SignInMethod
    browser: str


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An open session. `id` is the digest of the browser's secret; times are in ms."""

    id: str
    member: str
    method: SignInMethod
    browser: str
    began_at: int
    seen_at: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, with the digest of its secret. `made_at` is in ms."""

    digest: str
    name: str
    verbs: tuple[str, ...]
    repos: tuple[str, ...] | None
    made_at: int
