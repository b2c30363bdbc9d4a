"""What requests are found and counted by beside their state: quality of the purpose, kind of mail address, same text."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from .requests import AccessRequest

QUALITIES: Final = ("good", "thin", "junk", "empty", "missing")
"""The values of `answer_quality.Quality`, without loading its word lists."""


class MailKind(StrEnum):
    """The kind of an account's mail address. NONE: the Hub shows no address, or no valid one."""

    UNIVERSITY = "university"
    FREE = "free"
    THROW_AWAY = "throw-away"
    OTHER = "other"
    NONE = "none"


class Classification(NamedTuple):
    """The classification of one request; None is not known, as of a request whose record was erased.

    `quality` is that of the purpose. Requests of one repo with the same `fingerprint` contain the same long answer.
    """

    quality: str | None = None
    mail: str | None = None
    fingerprint: int | None = None


UNCLASSIFIED: Final = Classification()

Classify: TypeAlias = "Callable[[AccessRequest], Classification]"


class RequestClassifier(Protocol):
    """Classifies requests. `form_card` is the stored form of their repo, None if it was not read."""

    def version(self, form_card: str | None) -> str:
        """Return a digest of everything that a classification depends on beside the request."""
        ...

    def for_form(self, form_card: str | None, secret: bytes) -> Classify:
        """Return the function that classifies the requests of a repo. `secret` is the key of the fingerprints."""
        ...
