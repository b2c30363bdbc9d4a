"""Verifies the ledger in turns: what was added since the last turn, and once a day everything; a break stops unattended
work.

Guarantees:
1. A turn verifies the entries that were added since the last one, so its work is proportional to what is new.
2. Once a day the whole ledger is verified again, in parts of bounded time.
3. A break stops all unattended work before the turn reads, plans or sends anything. It stays stopped until a person
   starts it again, who thereby accepts the breaks that were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Final

import msgspec

from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.events.events import PrivatePartsDeleted, kind_of
from hf_gate.core.events.ledger import GENESIS, ChainBreak, Checkpoint, LedgerLink, SealedEntry, verify_checkpoint
from hf_gate.core.ports import ClockPort
from hf_gate.settings.service.unattended_stop import StopCause, UnattendedStop, read_stop, write_stop
from hf_gate.store.store import Store

from .ledger_breaks import MAX_BREAKS, LedgerCheck, Position, read_check, write_check
from .ledger_verification import LedgerVerifier, find_entries_after_head

NEW_BUDGET_S: Final = 10.0
"""How long one turn verifies new entries. The rest is left to the next turn."""

DAILY_BUDGET_S: Final = 5.0
"""How long one turn verifies the whole ledger. The next turn continues there."""

_ACTOR: Final = "hf-gate run"  # of a stop that no person made
_PAGE: Final = 500  # entries between two looks at the clock


def stop_if_broken(store: Store, clock: ClockPort) -> UnattendedStop | None:
    """Verify what is due, and stop all unattended work if the ledger is broken; return the stop that is in force."""
    stop = read_stop(store)
    if stop is not None and stop.cause is StopCause.LEDGER_BROKEN:
        return stop
    now = to_ms(clock.now())
    if verify_due_parts(store, now, partial(_make_deadline, clock)).broken:
        write_stop(store, UnattendedStop(_ACTOR, now, StopCause.LEDGER_BROKEN))
    return read_stop(store)


def verify_due_parts(store: Store, now: int, make_deadline: Callable[[float], Callable[[], bool]]) -> LedgerCheck:
    """Verify new entries and a part of the whole ledger; store and return the result.

    `make_deadline` returns a function that tells whether so many seconds are over.
    """
    check = read_check(store)
    heads = store.chains()
    before = msgspec.json.encode(check)
    is_first = not check.began_at
    # a daily check is over when it has reached what turns had verified
    is_daily_over = all(check.daily.get(chain, (0, ""))[0] >= length for chain, (length, _) in check.new.items())
    checkpoints = store.checkpoints() if is_first else ()
    found = list(_verify_on(store, check.new, heads, checkpoints, make_deadline(NEW_BUDGET_S)))
    if is_first or (is_daily_over and not 0 <= now - check.began_at < DAY_MS):
        check.began_at = now
        check.daily = {}
        is_daily_over = is_first
    if is_daily_over:
        check.daily = dict(check.new)  # the new entries were verified just now
    else:
        found += _verify_on(store, check.daily, heads, store.checkpoints(), make_deadline(DAILY_BUDGET_S))
    known = {*check.accepted, *check.broken}
    texts = dict.fromkeys(f"{one.chain}#{one.seq}: {one.what}" for one in found)
    check.broken += [text for text in texts if text not in known][: MAX_BREAKS - len(check.broken)]
    if msgspec.json.encode(check) != before:
        with store.writing() as write:
            write_check(write, check)
    return check


def _make_deadline(clock: ClockPort, seconds: float) -> Callable[[], bool]:
    began = clock.now()
    return lambda: not 0 <= (clock.now() - began).total_seconds() < seconds


def _verify_on(
    store: Store,
    positions: dict[str, Position],
    heads: Mapping[str, tuple[int, bytes]],
    checkpoints: Sequence[Checkpoint],
    is_over: Callable[[], bool],
) -> Iterator[ChainBreak]:
    """Verify chains from their positions on until the time is over; yield breaks, and move the positions."""
    for chain in sorted(positions.keys() - heads.keys()):
        length, _ = positions.pop(chain)
        yield ChainBreak(chain, 1, f"cut off: {length} entries at the last check, 0 now")
    reached = []
    for chain, (length, digest) in heads.items():
        head = (length, digest.hex())
        if positions.get(chain) == head:
            continue
        if is_over():
            break
        yield from _verify_part(store, chain, head, positions, checkpoints, is_over)
        if positions.get(chain) == head:
            reached.append((chain, (length, digest)))
    if reached:
        yield from find_entries_after_head(store, reached)


def _verify_part(
    store: Store,
    chain: str,
    head: Position,
    positions: dict[str, Position],
    checkpoints: Sequence[Checkpoint],
    is_over: Callable[[], bool],
) -> Iterator[ChainBreak]:
    """Verify a chain from its position to its head, or to where the time is over."""
    start = positions.get(chain, (0, GENESIS.hex()))
    if head[0] < start[0] or (head[0] == start[0] and chain in positions):
        positions[chain] = head
        what = "rewritten: its hash differs from the last check"
        if head[0] < start[0]:
            what = f"cut off: {start[0]} entries at the last check, {head[0]} now"
        yield ChainBreak(chain, head[0] + (head[0] < start[0]), what)
        return
    proof = LedgerVerifier(checkpoints)
    is_stopped = False

    def is_within(entry: SealedEntry) -> bool:
        nonlocal is_stopped
        is_stopped = entry.link.seq <= head[0] and proof.result.entries % _PAGE == _PAGE - 1 and is_over()
        return entry.link.seq <= head[0] and not is_stopped

    entries = store.links_with_private_parts(chain, start[0] + 1)
    begin = (start[0], bytes.fromhex(start[1]) if start[0] else GENESIS)

    def read_later() -> Iterator[LedgerLink]:
        return store.links(chain, proof.result.chains[chain] + 1, kind_of(PrivatePartsDeleted))

    length, digest = proof.add_chain(chain, takewhile(is_within, entries), later=read_later, start=begin)
    yield from proof.result.broken
    end = (length, digest.hex())
    if not is_stopped and end != head and (head[0] or length):
        yield ChainBreak(chain, length + 1, f"its head is entry {head[0]}, but its last entry is {length}")
    positions[chain] = end if is_stopped else head
    for checkpoint in checkpoints:
        wanted = checkpoint.heads.get(chain)
        if wanted is not None and start[0] < wanted[0] and (wanted[0] <= length or not is_stopped):
            one = Checkpoint(checkpoint.at, {chain: wanted})
            yield from verify_checkpoint(one, proof.find_heads(one), {chain: head[0]})
