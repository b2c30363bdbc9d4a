"""Converts the state of a request to and from the columns of its row."""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import attrgetter
from typing import Final, TypeAlias

import msgspec

from hf_gate.base.decoding import decode_json
from hf_gate.base.ids import Repo, RepoType
from hf_gate.core.events.request_state import RequestState
from hf_gate.core.people.access_end import HandTerms
from hf_gate.store.sql import Database, Row

StoredVerdict: TypeAlias = tuple[
    tuple[str, str | None, str, str | None] | None, tuple[tuple[str, str, str], ...], HandTerms | None
]
"""Verdict, shadow verdicts and terms by hand of a state. Equal ones are stored once for many requests."""

NO_VERDICT: Final[StoredVerdict] = (None, (), None)

_RENAMED: Final = {"after": "after_id", "until": "until_at"}
_VERDICT: Final = ("verdict", "shadow", "hand_terms")  # in one column, `verdict_id`
_FIELDS: Final = [name for name in RequestState.__struct_fields__ if name != "person" and name not in _VERDICT]
_VERDICT_AT: Final = RequestState.__struct_fields__.index(_VERDICT[0]) - 1
_LAPSES: Final = _FIELDS.index("lapses")
_read_fields: Final = attrgetter(*_FIELDS)

COLUMNS: Final = (*(_RENAMED.get(name, name) for name in _FIELDS), "verdict_id", "ends_at")
"""The columns of a state: its fields in their order, so a new field of `RequestState` only needs its column in
`schema.sql`.
"""
SELECT_STATE: Final = ", ".join(["p.pseudonym", *(f"r.{name}" for name in COLUMNS)])
"""The columns of a state, from `requests r` and `people p`; there are `WIDTH` of them."""
WIDTH: Final = len(COLUMNS) + 1


def values_of(state: RequestState, verdict_id: int | None) -> Row:
    """Return the values of a state for `COLUMNS`."""
    values = [*_read_fields(state), verdict_id, state.ends_at]
    values[_LAPSES] = json.dumps(state.lapses) if state.lapses else None
    return tuple(values)


def state_of(row: Row, start: int, verdict_of: Callable[[int | None], StoredVerdict]) -> RequestState:
    """Build the state whose `SELECT_STATE` columns start at index `start`."""
    person, *values, verdict_id, _ = row[start : start + WIDTH]
    values[_LAPSES] = _decode_lapses(values[_LAPSES])
    values[_VERDICT_AT:_VERDICT_AT] = verdict_of(verdict_id) if verdict_id is not None else NO_VERDICT
    return RequestState(person, *values)


def _decode_lapses(stored: str | None) -> tuple[int | None, ...]:
    return () if stored is None else tuple(json.loads(stored))


def encode_hand_terms(terms: HandTerms | None) -> str | None:
    """Return terms by hand as stored."""
    return None if terms is None else msgspec.json.encode(terms).decode()


def decode_hand_terms(stored: str | None) -> HandTerms | None:
    """Return terms by hand from their stored form."""
    return None if stored is None else decode_json(stored, HandTerms)


class VerdictCache:
    """The distinct verdicts of the store by number; reloaded when an unknown number is looked up."""

    def __init__(self) -> None:
        self._by_id: dict[int, StoredVerdict] = {}
        self.ids: dict[StoredVerdict, int] = {}

    def load(self, db: Database) -> None:
        """Load all verdicts."""
        found = db.rows("SELECT id, action, policy, rule, digest, shadow, hand_terms FROM verdicts")
        self._by_id = {
            ident: (
                (action, policy, rule, digest),
                tuple((a, b, c) for a, b, c in json.loads(shadow)),
                decode_hand_terms(terms),
            )
            for ident, action, policy, rule, digest, shadow, terms in found
        }
        self.ids = {verdict: ident for ident, verdict in self._by_id.items()}

    def lookup(self, db: Database) -> Callable[[int | None], StoredVerdict]:
        """Return a function that finds a verdict by number and reloads from `db` if necessary."""

        def look(ident: int | None) -> StoredVerdict:
            if ident is None:
                return NO_VERDICT
            if ident not in self._by_id:
                self.load(db)
            return self._by_id[ident]

        return look

    def add(self, ident: int, verdict: StoredVerdict) -> None:
        """Add a verdict that was just written."""
        self._by_id[ident] = verdict
        self.ids[verdict] = ident


def repo_of(kind: str, namespace: str, name: str) -> Repo:
    """Build a repo from its columns."""
    return Repo(RepoType(kind), namespace, name)
