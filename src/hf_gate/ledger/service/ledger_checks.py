"""Verifies the ledger in turns: what was added since the last turn, and once a day everything; a break stops unattended
work.

Guarantees:
1. A turn verifies the entries that were added since the last one, so its work is proportional to what is new.
2. Once a day a turn verifies the whole ledger and the stored checkpoints.
3. A break stops all unattended work before the turn reads, plans or sends anything. It stays stopped until a person
   starts it again, who thereby accepts the breaks that were found.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct, field

from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.events.ledger import Checkpoint
from hf_gate.core.ports import ClockPort
from hf_gate.settings.service.unattended_stop import StopCause, UnattendedStop, read_stop, write_stop
from hf_gate.settings.setting_keys import LEDGER_CHECK
from hf_gate.store.sql import decode_stored
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer

from .ledger_verification import verify_ledger

MAX_BREAKS: Final = 1000
"""How many breaks are stored."""

_ACTOR: Final = "hf-gate run"  # of a stop that no person made


class LedgerCheck(Struct):
    """How far turns have verified each chain (length and hash), and when a turn verified all of them (ms).

    A person has accepted the breaks in `accepted`, and not yet those in `broken`.
    """

    reached: dict[str, tuple[int, str]] = field(default_factory=dict)
    all_at: int = 0
    broken: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)


def read_check(store: Store) -> LedgerCheck:
    """Return how far the ledger was verified, and which breaks were found."""
    text = store.setting(LEDGER_CHECK)
    return LedgerCheck() if text is None else decode_stored(text, LedgerCheck)


def _write_check(write: Writer, check: LedgerCheck) -> None:
    write.write_setting(LEDGER_CHECK, msgspec.json.encode(check).decode())


def accept_breaks(write: Writer, check: LedgerCheck) -> None:
    """Store that a person accepts the breaks that were found, so that they stop nothing again."""
    check.accepted = [*check.accepted, *check.broken][-MAX_BREAKS:]
    check.broken = []
    _write_check(write, check)


def stop_if_broken(store: Store, clock: ClockPort) -> UnattendedStop | None:
    """Verify what is due, and stop all unattended work if the ledger is broken; return the stop that is in force."""
    stop = read_stop(store)
    if stop is not None and stop.cause is StopCause.LEDGER_BROKEN:
        return stop
    now = to_ms(clock.now())
    if verify_due_entries(store, now).broken:
        write_stop(store, UnattendedStop(_ACTOR, now, StopCause.LEDGER_BROKEN))
    return read_stop(store)


def verify_due_entries(store: Store, now: int) -> LedgerCheck:
    """Verify new entries, or everything if that was not done for a day; store and return the result."""
    check = read_check(store)
    before = msgspec.json.encode(check)
    heads = store.chains()
    last = Checkpoint(check.all_at, check.reached)
    if 0 <= now - check.all_at < DAY_MS:
        found = verify_ledger(store, since=last).broken
    else:
        found = verify_ledger(store, [last]).broken
        check.all_at = now
    check.reached = {chain: (length, digest.hex()) for chain, (length, digest) in heads.items() if length}
    known = {*check.accepted, *check.broken}
    texts = dict.fromkeys(f"{one.chain}#{one.seq}: {one.what}" for one in found)
    check.broken += [text for text in texts if text not in known][: MAX_BREAKS - len(check.broken)]
    if msgspec.json.encode(check) != before:
        with store.writing() as write:
            _write_check(write, check)
    return check
