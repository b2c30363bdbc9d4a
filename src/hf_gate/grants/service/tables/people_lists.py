"""Finds whom the entries of a pasted list, or the rows of a table, mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.lifecycle import Status
from hf_gate.core.stored_rows import PersonRow, RequestRow
from hf_gate.grants.people_files import ListEntry
from hf_gate.policies.facts.email_addresses import parse_address
from hf_gate.policies.facts.tables import KEYS
from hf_gate.store.store import Store


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
    if not entry.kind:
        return ListMatch(entry, "not readable", why="This is not a username, e-mail address or id.")
    found = {row.id: row for text in (entry.key, entry.text) for row in store.find_by_identity(None, text)}
    rows = [row for row in found.values() if can_see(row.repo)]
    people = PeopleIndex(row.person for row in rows).find(entry.kind, entry.key)
    if len(people) > 1:
        return ListMatch(entry, "unclear", why="Several people have this name or address.")
    asked = [row for row in rows if entry.kind == "user_id" and row.state.hub_request == entry.key]
    theirs = asked or [row for row in rows if row.person in people]
    for status, state in _STATES.items():
        if here := [row for row in theirs if row.state.status == status]:
            return ListMatch(entry, state, here)
    return ListMatch(entry, "not found", why="No request that you can see is by this person.")
