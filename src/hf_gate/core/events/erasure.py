"""Recognises erased people by keyed hashes and texts that name them, and strips records of personal data.

A hash stays after the erasure, so that a sync does not store the same request again with its names and answers. A later
request has another time, so it is not recognised and counts as new data.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from hf_gate.base.ids import Person
from hf_gate.base.timestamps import ms_to_iso, to_ms
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.requests import AccessRequest

from .events import canonical_json

SECRET_BYTES: Final = 32
MIN_NAME_PART: Final = 4  # characters; a shorter name counts only as a whole word
_SIZE: Final = 16  # bytes of a hash


class ErasedRequest(AccessRequest, frozen=True, kw_only=True, gc=False):
    """A record without personal data: only the request id, the status and the times are left. `keys` are its hashes."""

    keys: tuple[bytes, ...] = ()


def hash_store(secret: bytes) -> str:
    """Return the tag of a store in the file of erasures, which several stores may share."""
    return _hash(secret, "store").hex()


def hash_person(secret: bytes, pseudonym: str) -> bytes:
    """Return the hash of a stored person."""
    return _hash(secret, "person", pseudonym)


def hash_account(secret: bytes, user_id: str | None, username: str | None) -> bytes:
    """Return the hash of an account: by its id, or by its name if the id is unknown.

    It finds a person in a copy that knows them under another pseudonym.
    """
    if user_id:
        return _hash(secret, "account", user_id.lower())
    return _hash(secret, "account name", fold_for_search(username or ""))


def hash_request(
    secret: bytes, asked_at: int, *, user_id: str | None, username: str | None, hub_request: str | None
) -> tuple[bytes, ...]:
    """Return the hashes of a request: one for each known identifier, together with the time (ms).

    The repo is not part of them, because it can be renamed on the Hub.
    """
    named = (
        ("id", user_id and user_id.lower()),
        ("name", username and fold_for_search(username)),
        ("request", hub_request and hub_request.lower()),
    )
    return tuple(_hash(secret, kind, str(asked_at), value) for kind, value in named if value)


def hash_record(secret: bytes, request: AccessRequest) -> tuple[bytes, ...]:
    """Return the hashes of a record as read from the Hub."""
    person = request.person
    return hash_request(
        secret,
        to_ms(request.asked_at),
        user_id=person.id,
        username=person.username,
        hub_request=request.request_id,
    )


def strip_record(request: AccessRequest, keys: tuple[bytes, ...]) -> ErasedRequest:
    """Return a record without names, e-mail address and answers."""
    raw = {"requestId": request.request_id, "status": request.status, "timestamp": ms_to_iso(to_ms(request.asked_at))}
    return ErasedRequest(
        repo=request.repo,
        status=request.status,
        asked_at=request.asked_at,
        person=Person(None, None, None),
        request_id=request.request_id,
        reviewed_at=request.reviewed_at,
        raw_json=canonical_json(raw),
        read_at=request.read_at,
        keys=keys,
    )


def to_ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return numbers as ranges: the first and the last number of each."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def _hash(secret: bytes, *parts: str) -> bytes:
    text = canonical_json(list[str](parts))
    return hashlib.blake2b(text, key=secret, digest_size=_SIZE).digest()


class NamePattern:
    """Recognises texts that contain one of these names, ignoring case, the form of accents, and how words are
    separated.

    Names of fewer than 4 characters occur within other words, so they count only as whole words. Scripts without spaces
    between words are the exception.
    """

    def __init__(self, names: Iterable[str]) -> None:
        known = [name for name in names if len(name) > 1 and any(char.isalnum() for char in name)]
        folded = {_fold(name) for name in known}
        self.names: Final = frozenset(folded | {name.casefold() for name in known})
        parts = [_whole_word(name) if _is_short(name) else re.escape(name) for name in sorted(folded)]
        self._search = re.compile("|".join(parts)).search if parts else None

    def matches(self, text: str) -> bool:
        """Tell whether a text contains one of the names."""
        return self._search is not None and self._search(_fold(text)) is not None

    def matches_any(self, value: object) -> bool:
        """Tell whether a text within a decoded JSON document contains one of the names. Keys are not searched."""
        if isinstance(value, str):
            return self.matches(value)
        if isinstance(value, Mapping):
            return any(map(self.matches_any, value.values()))
        return isinstance(value, list) and any(map(self.matches_any, value))


def _fold(text: str) -> str:
    """Return a text as folded for search, with single blanks."""
    return " ".join(fold_for_search(text, None).split())


def _is_short(name: str) -> bool:
    return len(name) < MIN_NAME_PART and all(char.isascii() or not _is_ideographic(char) for char in name)


def _is_ideographic(char: str) -> bool:
    """Tell whether a character belongs to a script that writes words without spaces: Chinese,
    Japanese, Korean, Thai.
    """
    return "\u0e00" <= char <= "\u0eff" or "\u1100" <= char <= "\u11ff" or char >= "\u2e80"


def _whole_word(name: str) -> str:
    """Return the pattern of a name that is not a part of a longer name, such as `bo` in `bo-lin`."""
    return rf"(?<!\w)(?<!\w[-.]){re.escape(name)}(?![-.]?\w)"
