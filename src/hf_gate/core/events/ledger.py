"""Links the entries of a repo's ledger into a hash chain, and verifies chains. Nothing here is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from hf_gate.base.ids import Repo, RepoType

from .events import canonical_json

GENESIS: Final = hashlib.sha256(b"hf-gate ledger 1").digest()
WORKSPACE_CHAIN: Final = "desk"
"""The chain of entries that do not belong to a single repo: promotions, approvals, ends of runs."""


class LedgerLink(Struct, frozen=True, gc=False):
    """The public columns of one entry, as stored."""

    chain: str  # `models/ns/name`, `datasets/ns/name`, or `desk`
    seq: int
    at: int
    kind: str
    actor: str
    request: int | None
    body: bytes
    commitment: bytes | None
    hash: bytes = b""


class SealedEntry(NamedTuple):
    """One entry with its private part and the salt of its seal. Both are None if erased or not exported.

    A salt without a private part means that the private part is missing although its person was not erased.
    """

    link: LedgerLink
    salt: bytes | None = None
    private: bytes | None = None


class ChainBreak(Struct, frozen=True):
    """A place where a chain is broken, and why."""

    chain: str
    seq: int
    what: str


class Checkpoint(Struct, frozen=True):
    """The heads of all chains at one time.

    A later comparison reveals whether earlier entries were removed or rewritten.
    """

    at: int
    heads: Mapping[str, tuple[int, str]]  # by chain: (length, hash in hex)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of time and heads."""
        return hashlib.sha256(canonical_json({"at": self.at, "heads": self.heads})).hexdigest()


def chain_of(repo: Repo | None) -> str:
    """Return the name of a repo's chain; None stands for the workspace."""
    return WORKSPACE_CHAIN if repo is None else f"{repo.type.value}s/{repo.id}"


def repo_of_chain(chain: str) -> Repo | None:
    """Return the repo of a chain; None for the workspace's own chain."""
    if chain == WORKSPACE_CHAIN:
        return None
    kind, namespace, name = chain.split("/", 2)
    return Repo(RepoType(kind.removesuffix("s")), namespace, name)


def link_hash(before: bytes, link: LedgerLink) -> bytes:
    """Return the hash of an entry. It covers the previous hash and every public column with its length."""
    number = b"" if link.request is None else str(link.request).encode()
    head = f"{link.chain}\x1f{link.seq}\x1f{link.at}\x1f{link.kind}\x1f{link.actor}\x1f".encode()
    body = link.body
    seal = link.commitment or b""
    text = (  # written out for speed: one check can cover a million entries
        before,
        len(head).to_bytes(4),
        head,
        len(number).to_bytes(4),
        number,
        len(body).to_bytes(4),
        body,
        len(seal).to_bytes(4),
        seal,
    )
    return hashlib.sha256(b"".join(text)).digest()


def verify_chain(links: Iterable[LedgerLink], *, known: int = 0) -> Iterator[ChainBreak | LedgerLink]:
    """Yield a `ChainBreak` at each place where a chain is broken, then its last link.

    The check continues after a break. The chain was verified before up to number `known`, which is then the first link.
    """
    before = GENESIS
    seq = max(known - 1, 0)
    last = None
    for link in links:
        seq += 1
        if link.seq != seq:
            missing = f"entry {seq} is missing" if link.seq > seq else f"entry {link.seq} is duplicated or out of order"
            yield ChainBreak(link.chain, seq, missing)
            seq = link.seq
        elif link.seq != known and link_hash(before, link) != link.hash:
            yield ChainBreak(link.chain, link.seq, "content does not match its hash")
        before = link.hash
        last = link
    if last is not None:
        yield last


def verify_checkpoint(
    checkpoint: Checkpoint, heads: Mapping[str, Sequence[bytes]], lengths: Mapping[str, int]
) -> list[ChainBreak]:
    """Return the breaks that a checkpoint reveals.

    `heads[chain]` holds the hash at the checkpoint's length, if present.
    """
    broken = []
    for chain, (length, known) in sorted(checkpoint.heads.items()):
        found = heads.get(chain, ())
        if not found:
            have = lengths.get(chain, 0)
            broken.append(ChainBreak(chain, have + 1, f"cut off: {length} entries at the checkpoint, {have} now"))
        elif found[0].hex() != known:
            broken.append(ChainBreak(chain, length, "rewritten: its hash differs from the checkpoint"))
    return broken
