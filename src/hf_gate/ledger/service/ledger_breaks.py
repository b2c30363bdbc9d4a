"""How far turns have verified the ledger, and which breaks they found, as stored."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field

from hf_gate.base.decoding import decode_json
from hf_gate.settings.setting_keys import LEDGER_CHECK
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer

MAX_BREAKS: Final = 1000
"""How many breaks are stored."""

Position: TypeAlias = tuple[int, str]
"""The number of an entry and its hash in hex."""


class LedgerCheck(Struct):
    """How far the ledger was verified. Positions are by chain.

    `new` has the last entries that turns verified, `daily` how far the check of the whole ledger has come. A person has
    accepted the breaks in `accepted`, and not yet those in `broken`.
    """

    new: dict[str, Position] = field(default_factory=dict)
    daily: dict[str, Position] = field(default_factory=dict)
    began_at: int = 0  # ms; when the daily check began
    broken: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)


def read_check(store: Store) -> LedgerCheck:
    """Return how far the ledger was verified, and which breaks were found."""
    text = store.setting(LEDGER_CHECK)
    return LedgerCheck() if text is None else decode_json(text, LedgerCheck)


def write_check(write: Writer, check: LedgerCheck) -> None:
    """Store how far the ledger was verified."""
    write.write_setting(LEDGER_CHECK, msgspec.json.encode(check).decode())


def accept_breaks(write: Writer, check: LedgerCheck) -> None:
    """Store that a person accepts the breaks that were found, so that they stop nothing again."""
    check.accepted = [*check.accepted, *check.broken][-MAX_BREAKS:]
    check.broken = []
    write_check(write, check)
