"""Reads a pasted list of people: splits it into names, addresses and ids, whatever separates them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from ..domain.ids import is_id
from ..errors import UsageError
from ..policy.email_addresses import parse_address
from .targets import USERNAME

MAX_ENTRIES: Final = 500
MAX_TEXT: Final = 100_000  # characters
_LINE_ENDS: Final = re.compile(r"[,;|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_ADDRESS_BEHIND_NAME: Final = re.compile(r"<\s*(?:mailto:)?([^<>\s@]+@[^<>\s@]+)\s*>")
_PAGE: Final = re.compile(r"https?://[^/\s]+/([^/?#\s]+)/?\Z", re.IGNORECASE)
_OUTER: Final = "\"'`<>()[]{}«»“”„‘’*•·:."


class EntryKind(StrEnum):
    """What an entry of a list is by its form."""

    NAME = "name"
    ADDRESS = "address"
    ID = "id"  # of an account or a request
    UNREADABLE = "unreadable"


class ListEntry(NamedTuple):
    """One entry. `text` is as written, `key` in the spelling that is compared.

    `is_alone`: nothing else but separators stands on its line, so it cannot be a part of a person's full name.
    """

    text: str
    key: str
    kind: EntryKind
    is_alone: bool = True


def parse_pasted_list(text: str) -> list[ListEntry]:
    """Return the entries of a list in their order, each once. Raises UsageError if there are none or too many."""
    if len(text) > MAX_TEXT:
        raise UsageError(
            f"The list has {len(text):,} characters; at most {MAX_TEXT:,} are read.", hint="Paste it in parts."
        )
    found: dict[tuple[EntryKind, str], ListEntry] = {}
    for entry in _split(text):
        known = found.setdefault((entry.kind, entry.key), entry)
        if entry.is_alone and not known.is_alone:
            found[entry.kind, entry.key] = entry
    if not found:
        raise UsageError("The list is empty.", hint="Paste usernames, e-mail addresses or ids.")
    if len(found) > MAX_ENTRIES:
        raise UsageError(
            f"The list has {len(found):,} entries; at most {MAX_ENTRIES} are read.", hint="Paste it in parts."
        )
    return list(found.values())


def _split(text: str) -> Iterator[ListEntry]:
    for part in _LINE_ENDS.split(text):
        rest = 0
        for match in _ADDRESS_BEHIND_NAME.finditer(part):  # the words before it are the person's name, not accounts
            yield _classify(part[rest : match.end()].strip(), match[1], is_alone=True)
            rest = match.end()
        words = [word for word in part[rest:].split() if word.strip(_OUTER)]
        yield from (_classify(word, word, is_alone=len(words) == 1) for word in words)


def _classify(text: str, word: str, *, is_alone: bool) -> ListEntry:
    word = word.strip(_OUTER)
    if page := _PAGE.match(word):
        word = page[1]
    word = word.removeprefix("mailto:").removeprefix("@")
    if "@" in word:
        address = parse_address(word)
        kind = EntryKind.UNREADABLE if address is None else EntryKind.ADDRESS
        return ListEntry(text, word if address is None else str(address), kind)
    if is_id(word):
        return ListEntry(text, word.lower(), EntryKind.ID)
    if USERNAME.match(word):
        return ListEntry(text, word.lower(), EntryKind.NAME, is_alone)
    return ListEntry(text, word, EntryKind.UNREADABLE)
