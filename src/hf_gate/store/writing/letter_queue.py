"""Queues letters to applicants in the transaction of the event that they report.

Nobody who asked before letters were on gets one.
"""

from __future__ import annotations

import secrets
from functools import cached_property
from typing import Final

import msgspec

from hf_gate.core.events import events as e
from hf_gate.core.letters.letters import ON_HOLD, LetterKind
from hf_gate.core.letters.messages import APPLICANTS
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.store.sql import Database, decode_stored

SETTING: Final = "letters"
"""The setting that holds `LetterSubscription` as JSON; there is none while letters are off."""


class LetterSubscription(msgspec.Struct, frozen=True):
    """The kinds of letters that are on, since when (ms), and the rules for which something is needed."""

    since: dict[str, int]
    rules: tuple[str, ...] = ()


class LetterCollector:
    """Collects the letters of one transaction, and writes them at its end."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._found: dict[tuple[int, LetterKind, str], int] = {}  # request, kind and key; the time

    @cached_property
    def _subscription(self) -> LetterSubscription | None:
        """The kinds that are on, read once in a transaction; None while letters are off."""
        setting = self._db.setting(SETTING)
        return None if setting is None else decode_stored(setting, LetterSubscription)

    def add_event(self, event: e.AnyEvent, at: int, request: int | None) -> None:
        """Add the letters that an entry of the ledger causes."""
        if request is None or self._subscription is None:
            return
        for kind in _kinds_of(event):
            key = event.rule if isinstance(event, e.VerdictReached) else ""
            if isinstance(event, e.GrantNoticed):
                key = f"{event.until} {event.step}"
            self._found[request, kind, key] = at

    def flush(self) -> None:
        """Write the collected letters of kinds that are on, to people who asked since then."""
        on = self._subscription if self._found else None
        if on is None:
            return
        found = self._found
        self._found = {}
        wanted = {
            key: at
            for key, at in found.items()
            if key[1] in on.since and (key[1] is not LetterKind.NEEDED or key[2] in on.rules)
        }
        among, value = self._db.in_clause(list({request for request, _, _ in wanted}))
        sql = (
            "SELECT r.id, r.person_id, r.asked_at FROM requests r JOIN people p ON p.id = r.person_id"
            f" WHERE r.id {among} AND r.record_id IS NOT NULL AND p.email IS NOT NULL"
        )
        about = {ident: (person, asked_at) for ident, person, asked_at in self._db.rows(sql, (value,))}
        rows = [
            (f"l_{secrets.token_hex(12)}", kind.value, request, about[request][0], key, at, at, at)
            for (request, kind, key), at in wanted.items()
            if request in about and about[request][1] >= on.since[kind]
        ]
        self._db.run_many(
            "INSERT INTO messages (id, kind, destination, state, request_id, person_id, key, made_at, queued_at, "
            "next_at)"
            f" VALUES (?, ?, '{APPLICANTS}', 'waiting', ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            rows,
        )


def _kinds_of(event: e.AnyEvent) -> tuple[LetterKind, ...]:
    match event:
        case e.RequestSeen(status=Status.PENDING):
            return (LetterKind.RECEIVED,)
        case e.VerdictReached(action=action) if action == ON_HOLD:
            return (LetterKind.NEEDED,)
        case e.GrantNoticed():
            return (LetterKind.ENDS,)
        case e.ChangeSettled(kind=OutcomeKind.DONE, after=Status.RESET, is_end=True):
            return (LetterKind.ENDED,)
        case _:
            return ()
