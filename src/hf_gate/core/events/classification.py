"""The classification of requests, for searches and counts: quality of the purpose, kind of e-mail
address, same text.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from hf_gate.core.requests import AccessRequest

QUALITIES: Final = ("good", "thin", "junk", "empty", "missing")
"""The values of `answer_quality.Quality`, repeated here to avoid loading its word lists."""


class MailKind(StrEnum):
    """The kind of an account's e-mail address. NONE: the Hub shows no address, or an invalid one."""

    UNIVERSITY = "university"
    FREE = "free"
    THROW_AWAY = "throw-away"
    OTHER = "other"
    NONE = "none"


class Classification(NamedTuple):
    """The classification of one request. A value is None if unknown, for example because the record was erased.

    `quality` is the quality of the purpose. Requests of one repo with the same `fingerprint` contain the same long
    answer.
    """

    quality: str | None = None
    mail: str | None = None
    fingerprint: int | None = None


UNCLASSIFIED: Final = Classification()

Classify: TypeAlias = "Callable[[AccessRequest], Classification]"


class RequestClassifier(Protocol):
    """Classifies requests. `form_card` is the stored form of their repo; None if the form has not been read."""

    def version(self, form_card: str | None) -> str:
        """Return a digest of everything that a classification depends on, apart from the request."""
        ...

    def for_form(self, form_card: str | None, secret: bytes) -> Classify:
        """Return the function that classifies the requests of a repo. `secret` is the key of the fingerprints."""
        ...
