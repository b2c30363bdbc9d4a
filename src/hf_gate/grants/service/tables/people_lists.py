"""Finds whom the entries of a list mean: the rows of a table, or a pasted list with who waits and who never asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import Person, Repo, is_id
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.accounts import Profile
from hf_gate.core.ports import HubPort
from hf_gate.core.stored_rows import PersonRow, RequestRow
from hf_gate.errors import HfGateError, PersonNotFound, UsageError
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


class EntryState(StrEnum):
    """What is known about an entry: in words, in the order of the page."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    NEVER_ASKED = "never asked"
    REJECTED = "rejected"
    SENT_BACK = "sent back"
    OWN = "your own account"
    REPEATED = "named twice"  # the same person as another entry
    UNCLEAR = "unclear"  # several people have this name or address
    NOT_FOUND = "not found"
    NOT_LOOKED_UP = "could not be looked up"
    UNREADABLE = "not readable"


_STATES: Final[Mapping[str, EntryState]] = {
    Status.PENDING: EntryState.WAITING,
    Status.ACCEPTED: EntryState.ACCEPTED,
    Status.REJECTED: EntryState.REJECTED,
    Status.RESET: EntryState.SENT_BACK,
}
"""The state of an entry by the status of the person's requests. The first status that one of them has decides."""


class ListMatch(Struct, frozen=True):
    """An entry with the person whom it means, and the requests of the person that decide its state."""

    entry: ListEntry
    state: EntryState
    rows: Sequence[RequestRow] = ()
    person: Person | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """The name of the person as it is shown; empty if the entry means nobody."""
        if self.rows:
            return self.rows[0].person_name
        return "" if self.person is None else self.person.username or ""


class ListScope(Struct, frozen=True):
    """Where people are sought: visible repos, one of them if `repo` is given.

    `is_own` recognises the member's account.
    """

    can_see: Callable[[Repo], bool]
    is_own: Callable[[str | None, str | None], bool]
    repo: Repo | None = None


def match_list(
    store: Store, entries: Sequence[ListEntry], scope: ListScope, lookup: ProfileLookup
) -> list[ListMatch] | None:
    """Return what is known about each entry, in the order of the list; None while another list is looked up.

    Only usernames are sent to the Hub, and only those that no visible request has. Addresses and ids are compared with
    visible requests.
    """
    matches = [_match_stored(store, entry, scope) for entry in entries]
    names = [match.entry.key for match in matches if match.state is EntryState.NOT_LOOKED_UP]
    profiles = lookup.find(names) if names else {}
    if profiles is None:
        return None
    first: dict[str, ListEntry] = {}
    return [
        _mark_repeated(
            _match_profile(store, match.entry, scope, profiles[match.entry.key])
            if match.state is EntryState.NOT_LOOKED_UP
            else match,
            scope,
            first,
        )
        for match in matches
    ]


def _match_stored(store: Store, entry: ListEntry, scope: ListScope) -> ListMatch:
    """Match an entry with the visible requests. NOT_LOOKED_UP: only the Hub can tell."""
    if entry.kind is EntryKind.UNREADABLE:
        return ListMatch(entry, EntryState.UNREADABLE, why="This is not a username, e-mail address or id.")
    rows = {row.id: row for text in (entry.key, entry.text) for row in _visible_rows(store, text, scope)}
    people = PeopleIndex(row.person for row in rows.values()).find(entry.kind, entry.key)
    if len(people) > 1:
        return ListMatch(entry, EntryState.UNCLEAR, why="Several people have this name or address.")
    asked = [row for row in rows.values() if entry.kind is EntryKind.ID and row.state.hub_request == entry.key]
    theirs = asked or [row for row in rows.values() if row.person in people]
    if here := _rows_in_scope(theirs, scope):
        return _match_rows(entry, here)
    if entry.kind is EntryKind.NAME:  # the account that had the name elsewhere may have another one now
        return ListMatch(entry, EntryState.NOT_LOOKED_UP)
    if asked:
        return ListMatch(entry, EntryState.NOT_FOUND, why=f"This request is at {asked[0].repo}.")
    person = _person_of(theirs[0]) if theirs else None
    if person is not None and person.id:
        return ListMatch(entry, EntryState.NEVER_ASKED, person=person)
    what = "address" if entry.kind is EntryKind.ADDRESS else "id"
    return ListMatch(entry, EntryState.NOT_FOUND, why=f"No request that you can see has this {what}.")


def _visible_rows(store: Store, text: str, scope: ListScope) -> list[RequestRow]:
    return [row for row in store.find_by_identity(None, text) if scope.can_see(row.repo)]


def _rows_in_scope(rows: Iterable[RequestRow], scope: ListScope) -> list[RequestRow]:
    return [row for row in rows if scope.repo is None or row.repo == scope.repo]


def _person_of(row: RequestRow) -> Person:
    identity = row.person.identity
    return Person(identity.user_id, identity.username, identity.fullname)


def _match_rows(entry: ListEntry, rows: Sequence[RequestRow]) -> ListMatch:
    """Match an entry with the requests of one person: those that wait, if any."""
    for status, state in _STATES.items():
        if here := [row for row in rows if row.state.status == status]:
            return ListMatch(entry, state, here, _person_of(here[0]))
    return ListMatch(entry, EntryState.UNCLEAR, why="The state of the request is unknown.")


def _match_profile(store: Store, entry: ListEntry, scope: ListScope, profile: Profile | str | None) -> ListMatch:
    """Match an entry with the account that the Hub returned. It may have asked under an earlier name."""
    if isinstance(profile, str):
        return ListMatch(entry, EntryState.NOT_LOOKED_UP, why=profile)
    if profile is None:
        return ListMatch(entry, EntryState.NOT_FOUND, why="The Hub has no account with this name.")
    person = profile.person
    if person.id is None:
        return ListMatch(entry, EntryState.NOT_LOOKED_UP, why="The Hub did not return the account's id.")
    rows = [row for row in _visible_rows(store, person.id, scope) if row.person.identity.user_id == person.id]
    here = _rows_in_scope(rows, scope)
    return _match_rows(entry, here) if here else ListMatch(entry, EntryState.NEVER_ASKED, person=person)


def _mark_repeated(match: ListMatch, scope: ListScope, first: dict[str, ListEntry]) -> ListMatch:
    """Mark the member's own account, and an entry about a person who is in the list already, as in `first`."""
    person = match.person
    ident = None if person is None else person.id or person.username
    if person is None or ident is None:
        return match
    if scope.is_own(person.username, ident):
        why = "You cannot decide your own request."
        return replace(match, state=EntryState.OWN, why=why)
    earlier = first.setdefault(ident, match.entry)
    if earlier is match.entry:
        return match
    return ListMatch(match.entry, EntryState.REPEATED, why=f"The same person as {earlier.text}.")


# ---- lookup ----------------------------------------------------------------------------------------------------------


LOOKUP_TIME: Final = timedelta(seconds=20)  # after this, the other names of a list are not looked up
_MAX_AGE: Final = timedelta(minutes=10)
_MAX_KNOWN: Final = 5000
_THREADS: Final = 4


@dataclass
class ProfileLookup:
    """Looks up usernames on the Hub, one list at a time, and remembers the answers for ten minutes."""

    hub: Callable[[], HubPort]
    clock: Callable[[], datetime]
    has_room: Callable[[], bool] = lambda: True
    """Whether the Hub's limit leaves room for lookups."""
    _known: dict[str, tuple[datetime, Profile | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, names: Iterable[str]) -> Mapping[str, Profile | str | None] | None:
        """Return the profile of each name, None if there is no such account, or why it could not be looked up.

        Return None, without a lookup, while another list is looked up.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            now = self.clock()
            fresh = [(name, answer) for name, answer in self._known.items() if now - answer[0] < _MAX_AGE]
            self._known = dict(fresh[-_MAX_KNOWN:])
            with ThreadPoolExecutor(_THREADS, "hf-gate-lookup") as pool:
                wanted = list(dict.fromkeys(names))
                return dict(
                    zip(wanted, pool.map(lambda name: self._look_up(name, now + LOOKUP_TIME), wanted), strict=True)
                )
        finally:
            self._lock.release()

    def _look_up(self, name: str, end: datetime) -> Profile | str | None:
        if name in self._known:
            return self._known[name][1]
        if self.clock() >= end:
            return "The Hub took too long. Press Find again."
        if not self.has_room():
            return "The Hub's rate limit is nearly reached. Try again in a few minutes."
        try:
            profile = self.hub().profile(name)
        except PersonNotFound:
            profile = None
        except HfGateError as problem:
            return str(problem)
        self._known[name] = self.clock(), profile
        return profile
