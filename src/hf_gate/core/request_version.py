"""The version of a request, which alone defines whether the request has changed since it was read."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import msgspec

_SORTED: Final = msgspec.json.Encoder(order="sorted")
_SIZE: Final = 16  # bytes; long enough that nobody can find two sets of answers with the same digest
VERSION_COLUMNS: Final = ("status", "asked_at", "last_moved_at", "answers")
"""The columns of a stored request that form its version, apart from `identity`."""


class ContentDigest(NamedTuple):
    """Digests of the parts that a review does not change: the answers (including `has_form`) and the identity."""

    answers: bytes
    identity: bytes


def digest_content(answers: list[object], identity: list[str | None]) -> ContentDigest:
    """Return the digests of these parts of a request."""
    return ContentDigest(_digest(answers), _digest(identity))


def _digest(value: object) -> bytes:
    return hashlib.blake2b(_SORTED.encode(value), digest_size=_SIZE).digest()


EMPTY_CONTENT: Final = digest_content([{}, False], [None] * 4)
"""The digests of a request whose personal data was deleted."""


class RequestVersion(msgspec.Struct, frozen=True, gc=False):
    """The version of a request. `attempt` is the time of the request (ms), which identifies a person's attempts.

    `last_moved_at` is when the store last recorded a change of status (ms); None if unknown, as for a record just read.
    """

    status: str
    attempt: int
    last_moved_at: int | None
    answers: bytes
    identity: bytes = b""

    def difference(self, current: RequestVersion, *, with_identity: bool = False) -> str | None:
        """Return what has changed since this version, in words; None if nothing has.

        With `with_identity`, names and the e-mail address count too: the deciding rule used them.
        """
        if self.status != current.status:
            return f"it was {self.status}, now it is {current.status}"
        if self.attempt != current.attempt:
            return "there is a new attempt"
        if None not in (self.last_moved_at, current.last_moved_at) and self.last_moved_at != current.last_moved_at:
            return "its status changed and changed back"
        if self.answers != current.answers:
            return "its answers changed"
        if with_identity and self.identity != current.identity:
            return "its name or e-mail address changed"
        return None

    def is_token(self, seen: str) -> bool:
        """Tell whether a page showed this version. The terms of an acceptance may follow the token after a point."""
        return seen.partition(".")[0] == self.token

    @property
    def token(self) -> str:
        """16 hex digits for pages and the tray. Names and the e-mail address do not count."""
        return _digest([self.status, self.attempt, self.last_moved_at, self.answers.hex()]).hex()[:16]
