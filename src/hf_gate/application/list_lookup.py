"""Reads a pasted list of people, and finds who waits, who has access, who never asked, and who was not found."""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from ..domain.accounts import Profile
from ..domain.ids import Person, Repo, is_id
from ..domain.lifecycle import Status
from ..domain.rows import RequestRow
from ..errors import HfGateError, PersonNotFound, UsageError
from ..policy.email_addresses import parse_address
from ..store.store import Store
from .ports import HubPort
from .targets import USERNAME

# ---- pasted lists ----------------------------------------------------------------------------------------------------


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


# ---- lookup ----------------------------------------------------------------------------------------------------------


LOOKUP_TIME: Final = timedelta(seconds=20)  # after this, the other names of a list are not looked up
_MAX_AGE: Final = timedelta(minutes=10)
_MAX_KNOWN: Final = 5000
_THREADS: Final = 4


class EntryState(StrEnum):
    """What was found out about an entry."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    NEVER_ASKED = "never asked"
    REJECTED = "rejected"
    SENT_BACK = "sent back"
    OWN = "own"
    REPEATED = "repeated"  # the same person as another entry
    UNCLEAR = "unclear"  # several people have this name or address
    NOT_FOUND = "not found"
    NOT_LOOKED_UP = "not looked up"
    UNREADABLE = "unreadable"


_STATE_OF: Final[Mapping[str, EntryState]] = {
    Status.PENDING: EntryState.WAITING,
    Status.ACCEPTED: EntryState.ACCEPTED,
    Status.REJECTED: EntryState.REJECTED,
    Status.RESET: EntryState.SENT_BACK,
}
_MOST_RELEVANT: Final = (EntryState.WAITING, EntryState.ACCEPTED, EntryState.REJECTED, EntryState.SENT_BACK)


class FoundEntry(Struct, frozen=True):
    """An entry with the person's requests that decide its state, or the person who never asked."""

    entry: ListEntry
    state: EntryState
    rows: Sequence[RequestRow] = ()
    person: Person | None = None
    why: str = ""


class ListScope(Struct, frozen=True):
    """Where people are sought: visible repos, one of them if `repo` is given.

    `is_own` recognises the member's account.
    """

    can_see: Callable[[Repo], bool]
    is_own: Callable[[str | None, str | None], bool]
    repo: Repo | None = None


@dataclass
class ProfileLookup:
    """Looks up usernames on the Hub, one list at a time, and remembers the answers for ten minutes."""

    hub: Callable[[], HubPort]
    clock: Callable[[], datetime]
    has_room: Callable[[], bool] = lambda: True
    """Whether the Hub's limit leaves room for lookups."""
    _known: OrderedDict[str, tuple[datetime, Profile | None]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, names: Iterable[str]) -> Mapping[str, Profile | str | None] | None:
        """Return the profile of each name, None if there is no such account, or why it could not be looked up.

        Return None, without a lookup, while another list is looked up.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            end = self.clock() + LOOKUP_TIME
            with ThreadPoolExecutor(_THREADS, "hf-gate-lookup") as pool:
                wanted = list(dict.fromkeys(names))
                found = dict(zip(wanted, pool.map(lambda name: self._find_one(name, end), wanted), strict=True))
            self._remember(found)
            return found
        finally:
            self._lock.release()

    def _find_one(self, name: str, end: datetime) -> Profile | str | None:
        known = self._known.get(name)
        if known is not None and self.clock() - known[0] < _MAX_AGE:
            return known[1]
        if self.clock() >= end:
            return "The Hub took too long. Press Find again."
        if not self.has_room():
            return "The Hub's rate limit is nearly reached. Try again in a few minutes."
        try:
            return self.hub().profile(name)
        except PersonNotFound:
            return None
        except HfGateError as problem:
            return str(problem)

    def _remember(self, found: Mapping[str, Profile | str | None]) -> None:
        for name, profile in found.items():
            if not isinstance(profile, str) and name not in self._known:
                self._known[name] = self.clock(), profile
        for name in [name for name, (at, _) in self._known.items() if self.clock() - at >= _MAX_AGE]:
            del self._known[name]
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def find_list(
    store: Store, entries: Sequence[ListEntry], scope: ListScope, lookup: ProfileLookup
) -> list[FoundEntry] | None:
    """Return what is known about each entry, in the order of the list; None while another list is looked up.

    Only usernames are sent to the Hub, and only those that no visible request has. Addresses and ids are compared with
    visible requests.
    """
    found = [_find_stored(store, entry, scope) for entry in entries]
    names = [one.entry.key for one in found if one.state is EntryState.NOT_LOOKED_UP]
    profiles = lookup.find(names) if names else {}
    if profiles is None:
        return None
    whole = [
        _apply_profile(store, one, scope, profiles[one.entry.key]) if one.state is EntryState.NOT_LOOKED_UP else one
        for one in found
    ]
    return list(_mark_repeated(whole, scope))


def count_states(found: Iterable[FoundEntry]) -> Counter[EntryState]:
    """Return how many entries have each state."""
    return Counter(one.state for one in found)


def _find_stored(store: Store, entry: ListEntry, scope: ListScope) -> FoundEntry:
    """Find an entry in the store. NOT_LOOKED_UP: only the Hub can tell."""
    if entry.kind is EntryKind.UNREADABLE:
        return FoundEntry(entry, EntryState.UNREADABLE, why="This is not a username, e-mail address or id.")
    rows = _find_rows(store, entry, scope)
    if len({row.person.id for row in rows}) > 1:
        return FoundEntry(entry, EntryState.UNCLEAR, rows, why="Several people have this name or address.")
    here = _rows_in_scope(rows, scope)
    if here:
        return _make_entry(entry, here)
    if entry.kind is EntryKind.NAME:  # the account that had the name elsewhere may have another one now
        return FoundEntry(entry, EntryState.NOT_LOOKED_UP)
    if rows and rows[0].person.identity.user_id and not _is_request_id(entry, rows):
        who = rows[0].person.identity
        return FoundEntry(entry, EntryState.NEVER_ASKED, person=Person(who.user_id, who.username, who.fullname))
    if rows:
        return FoundEntry(entry, EntryState.NOT_FOUND, why=f"This request is at {rows[0].repo}.")
    what = "address" if entry.kind is EntryKind.ADDRESS else "id"
    return FoundEntry(entry, EntryState.NOT_FOUND, why=f"No request that you can see has this {what}.")


def _find_rows(store: Store, entry: ListEntry, scope: ListScope) -> list[RequestRow]:
    """Return the current visible requests with exactly this name, address or id."""
    texts = {entry.key, entry.text} if entry.kind is EntryKind.ADDRESS else {entry.key}
    rows = {row.id: row for text in texts for row in store.find_by_identity(None, text) if scope.can_see(row.repo)}
    return [row for row in rows.values() if _matches(entry, row)]


def _matches(entry: ListEntry, row: RequestRow) -> bool:
    who = row.person.identity
    if entry.kind is EntryKind.NAME:
        return (who.username or "").lower() == entry.key
    if entry.kind is EntryKind.ID:
        return entry.key in {(who.user_id or "").lower(), (row.state.hub_request or "").lower()}
    address = None if who.email is None else parse_address(who.email)
    return address is not None and str(address) == entry.key


def _is_request_id(entry: ListEntry, rows: Sequence[RequestRow]) -> bool:
    return entry.kind is EntryKind.ID and any((row.state.hub_request or "").lower() == entry.key for row in rows)


def _rows_in_scope(rows: Iterable[RequestRow], scope: ListScope) -> list[RequestRow]:
    return [row for row in rows if scope.repo is None or row.repo == scope.repo]


def _make_entry(entry: ListEntry, rows: Sequence[RequestRow]) -> FoundEntry:
    """Return an entry by the requests of one person: those that wait, if any."""
    by_state: dict[EntryState, list[RequestRow]] = {}
    for row in rows:
        if (state := _STATE_OF.get(row.state.status)) is not None:
            by_state.setdefault(state, []).append(row)
    best = next((state for state in _MOST_RELEVANT if state in by_state), None)
    if best is None:
        return FoundEntry(entry, EntryState.UNCLEAR, rows, why="The state of the request is unknown.")
    return FoundEntry(entry, best, by_state[best])


def _apply_profile(store: Store, one: FoundEntry, scope: ListScope, profile: Profile | str | None) -> FoundEntry:
    """Return an entry with the account that the Hub found. It may have asked under an earlier name."""
    if isinstance(profile, str):
        return FoundEntry(one.entry, EntryState.NOT_LOOKED_UP, why=profile)
    if profile is None:
        return FoundEntry(one.entry, EntryState.NOT_FOUND, why="The Hub has no account with this name.")
    person = profile.person
    if person.id is None:
        return FoundEntry(one.entry, EntryState.NOT_LOOKED_UP, why="The Hub did not return the account's id.")
    rows = [row for row in store.find_by_identity(None, person.id) if scope.can_see(row.repo)]
    here = _rows_in_scope((row for row in rows if (row.person.identity.user_id or "") == person.id), scope)
    return _make_entry(one.entry, here) if here else FoundEntry(one.entry, EntryState.NEVER_ASKED, person=person)


def _mark_repeated(found: Iterable[FoundEntry], scope: ListScope) -> Iterable[FoundEntry]:
    """Mark the member's own account, and entries about a person who is in the list already."""
    first: dict[str, FoundEntry] = {}
    for one in found:
        who = one.rows[0].person.identity if one.rows else None
        ident = (who.user_id or who.username) if who is not None else one.person.id if one.person else None
        name = who.username if who is not None else one.person.username if one.person else None
        if one.state is EntryState.UNCLEAR or ident is None:
            yield one
        elif scope.is_own(name, ident):
            yield FoundEntry(one.entry, EntryState.OWN, one.rows, one.person, "You cannot decide your own request.")
        elif (earlier := first.setdefault(ident, one)) is not one:
            yield FoundEntry(one.entry, EntryState.REPEATED, why=f"The same person as {earlier.entry.text}.")
        else:
            yield one
