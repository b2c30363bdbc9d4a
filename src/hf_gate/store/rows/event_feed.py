"""The event feed: pages of the ledger for other systems, oldest first, each with the cursor of the next page.

A cursor names the generation of the store, the number of an entry, and the start of that entry's hash. Numbers grow in
the order of commits, because one transaction at a time writes and takes its numbers while it does. So a reader that
continues after a number misses no entry and gets none twice.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from hf_gate.core.events.ledger import LedgerLink
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.store.sql import Reader

from .ledger import read_entries_after

GENERATION: Final = "generation"
"""The setting that a restore changes, so that cursors of before are refused. A store that was never restored has none.
"""
_FIRST: Final = "0"
_CURSOR: Final = re.compile(r"([0-9a-f]{1,16})-([0-9]{1,15})-([0-9a-f]{16}|)\Z", re.ASCII)
_HASH_BYTES: Final = 8


class EventPage(NamedTuple):
    """Entries in their order, each with its cursor. `next` continues after them.

    `has_more`: there are later entries already, maybe at repos that the caller cannot see.
    """

    entries: list[tuple[LedgerLink, str]]
    next: str
    has_more: bool


def is_cursor(text: str) -> bool:
    """Return whether a text has the form of a cursor."""
    return _CURSOR.match(text) is not None


def read_events(reader: Reader, after: str | None, limit: int, wanted: TimelineFilter) -> EventPage | None:
    """Return the entries after a cursor, from the first one without a cursor.

    Return None if this store has no such place any more: it was restored, or made anew.
    """
    generation = _read_generation(reader)
    match = _CURSOR.match(f"{generation}-0-" if after is None else after)
    if match is None or match[1] != generation or match[0] != make_cursor(reader, int(match[2])):
        return None
    rows, until, has_more = read_entries_after(reader, int(match[2]), limit, wanted)
    entries = [(row.link, _join_cursor(generation, row.id, row.link.hash)) for row in rows]
    return EventPage(entries, make_cursor(reader, until), has_more)


def make_cursor(reader: Reader, number: int) -> str:
    """Return the cursor after the entry with this number, or after the last one before it."""
    found = reader.reads.row("SELECT hash FROM ledger WHERE id <= ? ORDER BY id DESC LIMIT 1", (number,))
    return _join_cursor(_read_generation(reader), number, b"" if found is None else bytes(found[0]))


def _join_cursor(generation: str, number: int, last: bytes) -> str:
    return f"{generation}-{number}-{last[:_HASH_BYTES].hex()}"


def _read_generation(reader: Reader) -> str:
    return reader.reads.setting(GENERATION) or _FIRST
