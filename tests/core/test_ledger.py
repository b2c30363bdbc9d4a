"""A chain that was touched says so; what touching can hide from a chain, a checkpoint still shows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hf_gate.core.events.ledger import (
    GENESIS,
    ChainBreak,
    Checkpoint,
    LedgerLink,
    link_hash,
    verify_chain,
    verify_checkpoint,
)

CHAIN = "datasets/acme/eeg"


def chained(links: Sequence[LedgerLink], start: bytes = GENESIS) -> list[LedgerLink]:
    """The same entries, each with the hash that belongs to it."""
    done, before = [], start
    for link in links:
        before = link_hash(before, link)
        done.append(replace(link, hash=before))
    return done


def chain(count: int, name: str = CHAIN) -> list[LedgerLink]:
    return chained([
        LedgerLink(name, seq, 1_790_000_000_000 + seq, "NoteWritten", f"actor{seq % 3}", seq if seq % 2 else None,
             b'{"n":%d,"type":"NoteWritten"}' % seq, bytes([seq % 256]) * 32 if seq % 4 else None)
        for seq in range(1, count + 1)
    ])  # fmt: skip


def breaks(links: Sequence[LedgerLink]) -> list[ChainBreak]:
    return [found for found in verify_chain(links) if isinstance(found, ChainBreak)]


def checkpoint_of(links: Sequence[LedgerLink]) -> Checkpoint:
    return Checkpoint(1_790_000_000_000, {CHAIN: (len(links), links[-1].hash.hex())})


def found_against(checkpoint: Checkpoint, links: Sequence[LedgerLink]) -> list[ChainBreak]:
    length = checkpoint.heads[CHAIN][0]
    heads = {CHAIN: [link.hash for link in links if link.seq == length][:1]}
    return verify_checkpoint(checkpoint, heads, {CHAIN: len(links)})


@given(st.integers(0, 40))
def test_an_untouched_chain_holds_and_ends_with_its_head(count: int) -> None:
    links = chain(count)
    assert list(verify_chain(links)) == links[-1:]


@given(st.integers(1, 30), st.integers(0, 30))
def test_a_chain_is_proved_on_from_any_entry_that_is_known(count: int, cut: int) -> None:
    links, cut = chain(count), min(cut, count - 1)
    assert list(verify_chain(links[max(cut - 1, 0) :], known=cut)) == links[-1:]


# ---- a thousand ways to touch it ----------------------------------------------------------------------------------------

Touch = Callable[[list[LedgerLink], random.Random], list[LedgerLink]]


def _with(links: list[LedgerLink], index: int, **columns: object) -> list[LedgerLink]:
    return [*links[:index], replace(links[index], **columns), *links[index + 1 :]]


def one_column(links: list[LedgerLink], rng: random.Random) -> list[LedgerLink]:
    index = rng.randrange(len(links))
    link = links[index]
    at = rng.randrange(len(link.body))
    flipped = link.body[:at] + bytes([link.body[at] ^ (1 << rng.randrange(8))]) + link.body[at + 1 :]
    columns: list[dict[str, object]] = [
        {"body": flipped},
        {"at": link.at + rng.choice([-1, 1, 1000])},
        {"kind": "RequestSeen"},
        {"actor": link.actor + "x"},
        {"request": None if link.request else 3},
        {"commitment": None if link.commitment else b"\0" * 32},
        {"chain": "models/acme/eeg"},
        {"seq": link.seq + rng.choice([-1, 1])},
        {"hash": rng.randbytes(32)},
    ]
    return _with(links, index, **rng.choice(columns))


def one_out(links: list[LedgerLink], rng: random.Random) -> list[LedgerLink]:
    index = rng.randrange(len(links))
    return links[:index] + links[index + 1 :]


def one_twice(links: list[LedgerLink], rng: random.Random) -> list[LedgerLink]:
    index = rng.randrange(len(links))
    return [*links[: index + 1], *links[index:]]


def two_swapped(links: list[LedgerLink], rng: random.Random) -> list[LedgerLink]:
    a, b = sorted(rng.sample(range(len(links)), 2))
    other = list(links)
    other[a], other[b] = links[b], links[a]
    return other


def tail_cut(links: list[LedgerLink], rng: random.Random) -> list[LedgerLink]:
    return links[: rng.randrange(len(links))]


def rewritten(links: list[LedgerLink], rng: random.Random) -> list[LedgerLink]:
    """Somebody who knows how: one entry changed, and every hash after it made to fit."""
    index = rng.randrange(len(links))
    return chained(_with(links, index, actor="somebody else"))


def renumbered(links: list[LedgerLink], rng: random.Random) -> list[LedgerLink]:
    """One entry taken out, the rest numbered and hashed anew."""
    fewer = one_out(links, rng)
    return chained([replace(link, seq=seq) for seq, link in enumerate(fewer, 1)])


def topped_up(links: list[LedgerLink], rng: random.Random) -> list[LedgerLink]:
    """As renumbered, and filled up with an invented entry to the old length."""
    fewer = renumbered(links, rng)
    return chained([*fewer, replace(links[-1], actor="invented")])


TOUCHES: tuple[Touch, ...] = (one_column, one_out, one_twice, two_swapped, tail_cut, rewritten, renumbered, topped_up)


def test_a_thousand_ways_of_touching_a_chain_are_all_found_with_a_checkpoint() -> None:
    rng = random.Random(20261125)
    links = chain(40)
    checkpoint = checkpoint_of(links)
    assert not breaks(links)
    assert not found_against(checkpoint, links)
    for n in range(1000):
        touch = TOUCHES[n % len(TOUCHES)]
        touched = touch(links, rng)
        assert breaks(touched) or found_against(checkpoint, touched), (n, touch.__name__)


def test_an_entry_that_is_missing_is_named_once() -> None:
    links = chain(9)
    (found,) = breaks(links[:3] + links[4:])
    assert (found.seq, found.what) == (4, "entry 4 is missing")


# ---- checkpoints --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(0, 20))
def test_a_checkpoint_stays_true_of_a_chain_that_grows(length: int, more: int) -> None:
    links = chain(length + more)
    assert not found_against(checkpoint_of(links[:length]), links)


def test_a_cut_chain_is_told_with_what_the_checkpoint_had() -> None:
    links = chain(8)
    (found,) = found_against(checkpoint_of(links), links[:5])
    assert (found.seq, found.what) == (6, "cut off: 8 entries at the checkpoint, 5 now")


def test_the_digest_of_a_checkpoint_covers_its_time_and_every_head() -> None:
    links = chain(3)
    whole = checkpoint_of(links)
    assert whole.digest == checkpoint_of(links).digest
    assert whole.digest != replace(whole, at=whole.at + 1).digest
    assert whole.digest != replace(whole, heads={**whole.heads, "desk": (1, "00")}).digest
