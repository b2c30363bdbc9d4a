"""What a request looked like when somebody looked at it, and whether it has changed since: the only definition of that."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from .timestamps import to_ms

if TYPE_CHECKING:
    from .requests import AccessRequest

_SORTED: Final = msgspec.json.Encoder(order="sorted")
_SIZE: Final = 16  # bytes: nobody finds two sets of answers with one digest
VERSION_COLUMNS: Final = ("status", "asked_at", "last_moved_at", "answers")
"""The columns of a stored request that are compared with what somebody looked at; `identity` is one more."""


class ContentDigest(NamedTuple):
    """Digests of what a review does not change: the answers with whether there is a form, and who asks."""

    answers: bytes
    identity: bytes


def content_digest(request: AccessRequest) -> ContentDigest:
    """Return the digests of a record."""
    person = request.person
    answers = [dict(request.answers), request.has_form]
    identity = [person.id, person.username, person.fullname, request.email]
    return ContentDigest(_digest(answers), _digest(identity))


def _digest(value: object) -> bytes:
    return hashlib.blake2b(_SORTED.encode(value), digest_size=_SIZE).digest()


class RequestVersion(msgspec.Struct, frozen=True, gc=False):
    """One look at a request. `attempt` is when it was asked for (ms), which tells the attempts of a person apart.

    `last_moved_at`: when the store last entered that it moved (ms); None: not known, as of a record that was just read.
    """

    status: str
    attempt: int
    last_moved_at: int | None
    answers: bytes
    identity: bytes = b""

    def difference(self, now: RequestVersion, *, with_identity: bool = False) -> str | None:
        """Return what changed since this look, in words; None if it is the same.

        `with_identity`: names and e-mail count as well, because the rule that decided read them.
        """
        if self.status != now.status:
            return f"it was {self.status}, now it is {now.status}"
        if self.attempt != now.attempt:
            return "it is a new attempt"
        if None not in (self.last_moved_at, now.last_moved_at) and self.last_moved_at != now.last_moved_at:
            return "it moved, and moved back"
        if self.answers != now.answers:
            return "its answers changed"
        if with_identity and self.identity != now.identity:
            return "its name or e-mail changed"
        return None

    @property
    def token(self) -> str:
        """16 hex digits for pages and the tray; names and e-mail do not count."""
        return _digest([self.status, self.attempt, self.last_moved_at, self.answers.hex()]).hex()[:16]


def version_of_record(request: AccessRequest, last_moved_at: int | None = None) -> RequestVersion:
    """Return the version of a record as the Hub sent it."""
    return RequestVersion(request.status, to_ms(request.asked_at), last_moved_at, *content_digest(request))
