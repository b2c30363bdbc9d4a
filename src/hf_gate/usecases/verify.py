"""Proves the ledger: every chain unbroken, no checkpoint contradicted, each private part the one that was sealed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..domain import events as e
from ..domain.ledger import Break, Checkpoint, Link, against, prove
from ..domain.state import RequestState, evolve
from .ports import StorePort


class Sealed(NamedTuple):
    """One entry with its private part and the salt that seals it; both None once they were erased, or not exported."""

    link: Link
    salt: bytes | None = None
    private: bytes | None = None


@dataclass(slots=True)
class Verified:
    """What a proof found. `broken` in the order in which it was met; `private` counts the seals that were checked."""

    entries: int = 0
    private: int = 0
    chains: dict[str, int] = field(default_factory=dict)
    broken: list[Break] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.broken


class Proof:
    """Walks chains one after the other and holds them against checkpoints."""

    def __init__(self, checkpoints: Sequence[Checkpoint] = ()) -> None:
        self.result = Verified()
        self.checkpoints = checkpoints
        self._wanted: dict[str, set[int]] = {}
        for checkpoint in checkpoints:
            for chain, (length, _) in checkpoint.heads.items():
                self._wanted.setdefault(chain, set()).add(length)
        self._found: dict[tuple[str, int], bytes] = {}

    def walk(self, chain: str, entries: Iterable[Sealed], head: tuple[int, bytes] | None = None) -> None:
        """One chain from its beginning; `head` is how long it should be, and its last hash."""
        last: Link | None = None
        for found in prove(self._looked_at(chain, entries)):
            if isinstance(found, Break):
                self.result.broken.append(found)
            else:
                last = found
        length = 0 if last is None else last.seq
        self.result.chains[chain] = length
        if head is not None and head != (length, b"" if last is None else last.hash):
            what = f"its head is entry {head[0]}, and the last one that is there is entry {length}"
            self.result.broken.append(Break(chain, length + 1, what))

    def end(self) -> Verified:
        """What was found, once all chains were walked."""
        for checkpoint in self.checkpoints:
            heads = {
                chain: [self._found[chain, length]]
                for chain, (length, _) in checkpoint.heads.items()
                if (chain, length) in self._found
            }
            self.result.broken += against(checkpoint, heads, self.result.chains)
        return self.result

    def _looked_at(self, chain: str, entries: Iterable[Sealed]) -> Iterator[Link]:
        """Each link on its way to the proof of the chain; what a chain does not cover is looked at here."""
        wanted = self._wanted.get(chain, frozenset[int]())
        for entry in entries:
            link = entry.link
            self.result.entries += 1
            # Names of kinds are in no other place of a body: quotes within its texts are written as \".
            if f'"type":"{link.kind}"'.encode() not in link.body:
                self._say(link, f"its body is none of a {link.kind}")
            if entry.private is not None:  # else it was erased, or kept back: the rest can still be proved
                self._check_seal(link, entry.private, entry.salt)
            if link.seq in wanted:
                self._found[chain, link.seq] = link.hash
            yield link

    def _check_seal(self, link: Link, private: bytes, salt: bytes | None) -> None:
        self.result.private += 1
        if salt is None or e.commitment_of(salt, private) != link.commitment:
            self._say(link, "its private part is not the one that was sealed")

    def _say(self, link: Link, what: str) -> None:
        self.result.broken.append(Break(link.chain, link.seq, what))


def verify(store: StorePort, checkpoints: Sequence[Checkpoint] = (), *, fold: bool = False) -> Verified:
    """Every chain of the store, its seals, and the checkpoints that it keeps besides those that are handed in.

    With `fold` also that each request stands where its events say; that takes memory for every request.
    """
    proof = Proof([*store.checkpoints(), *checkpoints])
    for chain, head in sorted(store.chains().items()):
        proof.walk(chain, map(Sealed._make, store.sealed(chain)), head)
    result = proof.end()
    if fold:
        for chain in sorted(result.chains):
            result.broken += _refolded(store, chain)
    return result


def _refolded(store: StorePort, chain: str) -> Iterator[Break]:
    """Where the table of requests says something else than the events do."""
    states: dict[int, RequestState] = {}
    for link in store.links(chain):
        if link.request is None:
            continue
        state = evolve(states.get(link.request), e.event_of(link.body), link.at)
        if state is not None:
            states[link.request] = state
    numbers = sorted(states)
    for start in range(0, len(numbers), 1000):
        some = numbers[start : start + 1000]
        rows = store.requests(some)
        for number in some:
            row = rows.get(number)
            if row is None or row.state != states[number]:
                where = "is not there" if row is None else f"says {row.state.status}, version {row.state.version}"
                told = f"{states[number].status}, version {states[number].version}"
                yield Break(chain, 0, f"request {number} {where}; its events say {told}")
