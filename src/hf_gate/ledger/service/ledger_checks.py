"""Verifies the ledger in turns: what was added since the last turn, and once a day everything; a break stops unattended
work.

Guarantees:
1. A turn verifies the entries that were added since the last one, so its work is proportional to what is new.
2. Once a day a turn verifies the whole ledger and the stored checkpoints.
3. A break stops all unattended work before the turn reads, plans or sends anything. It stays stopped until a person
   starts it again, who thereby accepts the breaks that were found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import takewhile
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field

from hf_gate.base.decoding import decode_json
from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.events.events import PrivatePartsDeleted, kind_of
from hf_gate.core.events.ledger import GENESIS, ChainBreak, Checkpoint
from hf_gate.core.ports import ClockPort
from hf_gate.settings.service.unattended_stop import StopCause, UnattendedStop, read_stop, write_stop
from hf_gate.settings.setting_keys import LEDGER_CHECK
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer

from .ledger_verification import LedgerVerifier, find_entries_after_head, is_within, verify_ledger

MAX_BREAKS: Final = 1000
"""How many breaks are stored."""

_ACTOR: Final = "hf-gate run"  # of a stop that no person made

Position: TypeAlias = tuple[int, str]
"""The number of an entry and its hash in hex."""


class LedgerCheck(Struct):
    """How far turns have verified the ledger, by chain, and when a turn verified all of it (ms).

    A person has accepted the breaks in `accepted`, and not yet those in `broken`.
    """

    reached: dict[str, Position] = field(default_factory=dict)
    all_at: int = 0
    broken: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)


def read_check(store: Store) -> LedgerCheck:
    """Return how far the ledger was verified, and which breaks were found."""
    text = store.setting(LEDGER_CHECK)
    return LedgerCheck() if text is None else decode_json(text, LedgerCheck)


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
    if 0 <= now - check.all_at < DAY_MS:
        found = list(_verify_new_entries(store, check.reached, heads))
    else:
        found = verify_ledger(store, [Checkpoint(check.all_at, check.reached)]).broken
        check.all_at = now
    check.reached = {chain: (length, digest.hex()) for chain, (length, digest) in heads.items() if length}
    known = {*check.accepted, *check.broken}
    texts = dict.fromkeys(f"{one.chain}#{one.seq}: {one.what}" for one in found)
    check.broken += [text for text in texts if text not in known][: MAX_BREAKS - len(check.broken)]
    if msgspec.json.encode(check) != before:
        with store.writing() as write:
            _write_check(write, check)
    return check


def _verify_new_entries(
    store: Store, reached: Mapping[str, Position], heads: Mapping[str, tuple[int, bytes]]
) -> Iterator[ChainBreak]:
    """Verify each chain from where the last turn ended to its head, and yield the breaks."""
    for chain in sorted(reached.keys() - heads.keys()):
        yield ChainBreak(chain, 1, f"cut off: {reached[chain][0]} entries at the last check, 0 now")
    moved = []
    for chain, head in sorted(heads.items()):
        start, digest = reached.get(chain, (0, GENESIS.hex()))
        if head[0] < start:
            yield ChainBreak(chain, head[0] + 1, f"cut off: {start} entries at the last check, {head[0]} now")
        elif head[0] == start and start:
            if head[1].hex() != digest:
                yield ChainBreak(chain, start, "rewritten: its hash differs from the last check")
        else:
            moved.append((chain, head))
            entries = takewhile(partial(is_within, head[0]), store.links_with_private_parts(chain, start + 1))
            later = partial(store.links, chain, head[0] + 1, kind_of(PrivatePartsDeleted))
            proof = LedgerVerifier()
            proof.add_chain(chain, entries, head, later, (start, bytes.fromhex(digest) if start else GENESIS))
            yield from proof.result.broken
    yield from find_entries_after_head(store, moved)
