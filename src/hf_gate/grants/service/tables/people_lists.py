"""Reads a pasted list of people, and finds whom its entries, or the rows of a table, mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from hf_gate.base.ids import Repo, is_id
from hf_gate.core.lifecycle import Status
from hf_gate.core.stored_rows import PersonRow, RequestRow
from hf_gate.errors import UsageError
from hf_gate.policies.facts.email_addresses import parse_address
from hf_gate.policies.facts.tables import KEYS
from hf_gate.requests.service.targets import USERNAME
from hf_gate.store.store import Store

# ---- pasted lists ----------------------------------------------------------------------------------------------------


MAX_ENTRIES: Final = 500
MAX_TEXT: Final = 100_000  # characters
_LINE_ENDS: Final = re.compile(r"[,;|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_ADDRESS_BEHIND_NAME: Final = re.compile(r"<\s*(?:mailto:)?([^<>\s@]+@[^<>\s@]+)\s*>")
_PAGE: Final = re.compile(r"https?://[^/\s]+/([^/?#\s]+)/?\Z", re.IGNORECASE)
_OUTER: Final = "\"'`<>()[]{}«»“”„‘’*•·:."


class EntryKind(StrEnum):
    """What an entry of a list is by its form: one of `KEYS`, or unreadable."""

    NAME = "username"
    ADDRESS = "email"
    ID = "user_id"  # or the id of a request
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
    entries: dict[tuple[EntryKind, str], ListEntry] = {}
    for entry in _split(text):
        known = entries.setdefault((entry.kind, entry.key), entry)
        if entry.is_alone and not known.is_alone:
            entries[entry.kind, entry.key] = entry
    if not entries:
        raise UsageError("The list is empty.", hint="Paste usernames, e-mail addresses or ids.")
    if len(entries) > MAX_ENTRIES:
        raise UsageError(
            f"The list has {len(entries):,} entries; at most {MAX_ENTRIES} are read.", hint="Paste it in parts."
        )
    return list(entries.values())


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


# ---- matching --------------------------------------------------------------------------------------------------------


class PeopleIndex:
    """Stored people by what a list can name them by: account id, address and username."""

    def __init__(self, people: Iterable[PersonRow] = ()) -> None:
        self._by_key: dict[tuple[str, str], tuple[PersonRow, ...]] = {}
        for person in people:
            self.add(person)

    def add(self, person: PersonRow) -> None:
        """Add a person. Of the people who share a key, two are kept: it identifies none of them."""
        identity = person.identity
        address = None if identity.email is None else parse_address(identity.email)
        texts = (identity.user_id, None if address is None else str(address), identity.username)
        for column, text in zip(KEYS, texts, strict=True):
            known = self._by_key.get((column, (text or "").lower()), ())
            if text and len(known) < 2 and all(other.id != person.id for other in known):
                self._by_key[column, text.lower()] = (*known, person)

    def find(self, column: str, key: str) -> Sequence[PersonRow]:
        """Return the person with this key; two people if several have it."""
        return self._by_key.get((column, key), ())

    def identify(self, keys: Mapping[str, str]) -> list[PersonRow]:
        """Return the people whom keys identify, by the most reliable key first; more than one if the keys disagree."""
        found = [self.find(column, keys.get(column, "")) for column in KEYS]
        return list({people[0].id: people[0] for people in found if len(people) == 1}.values())


# ---- who has a request -----------------------------------------------------------------------------------------------


_STATES: Final[Mapping[str, str]] = {
    Status.PENDING: "waiting",
    Status.ACCEPTED: "accepted",
    Status.REJECTED: "rejected",
    Status.RESET: "sent back",
}
"""The state of an entry by the status of the person's requests. The first status that one of them has decides."""
ENTRY_STATES: Final = (*_STATES.values(), "not found", "unclear", "not readable")


class ListMatch(Struct, frozen=True):
    """An entry with its state in words, and the requests of the person that decide it; without any, `why`."""

    entry: ListEntry
    state: str
    rows: Sequence[RequestRow] = ()
    why: str = ""


def match_entry(store: Store, entry: ListEntry, can_see: Callable[[Repo], bool]) -> ListMatch:
    """Return who is meant by an entry of a list, by the visible requests."""
    if entry.kind is EntryKind.UNREADABLE:
        return ListMatch(entry, "not readable", why="This is not a username, e-mail address or id.")
    found = {row.id: row for text in (entry.key, entry.text) for row in store.find_by_identity(None, text)}
    rows = [row for row in found.values() if can_see(row.repo)]
    people = PeopleIndex(row.person for row in rows).find(entry.kind, entry.key)
    if len(people) > 1:
        return ListMatch(entry, "unclear", why="Several people have this name or address.")
    asked = [row for row in rows if entry.kind is EntryKind.ID and row.state.hub_request == entry.key]
    theirs = asked or [row for row in rows if row.person in people]
    for status, state in _STATES.items():
        if here := [row for row in theirs if row.state.status == status]:
            return ListMatch(entry, state, here)
    return ListMatch(entry, "not found", why="No request that you can see is by this person.")
