"""Writes the ledger and its checkpoints to files, and verifies such files without the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

import msgspec

from hf_gate.base.decoding import decode_json
from hf_gate.base.timestamps import ms_to_iso, to_iso, to_ms
from hf_gate.core.events.ledger import ChainBreak, Checkpoint, LedgerLink, SealedEntry
from hf_gate.errors import UsageError
from hf_gate.ledger.records import CheckpointRecord
from hf_gate.store.store import Store

from .ledger_verification import LedgerReport, LedgerVerifier

SCHEMA: Final = 1

# ---- checkpoints -----------------------------------------------------------------------------------------------------


def read_heads(store: Store, now: datetime) -> Checkpoint:
    """Return a checkpoint of the current heads of all chains."""
    return Checkpoint(to_ms(now), {chain: (length, last.hex()) for chain, (length, last) in store.chains().items()})


def store_checkpoint(store: Store, now: datetime) -> Checkpoint:
    """Return a checkpoint of the current heads, and store it."""
    checkpoint = read_heads(store, now)
    with store.writing() as write:
        write.write_checkpoint(checkpoint)
    return checkpoint


def checkpoint_record(checkpoint: Checkpoint, endpoint: str) -> CheckpointRecord:
    """Return a checkpoint as it is kept in a file."""
    return CheckpointRecord(
        endpoint=endpoint,
        at=ms_to_iso(checkpoint.at),
        heads=dict(sorted(checkpoint.heads.items())),
        digest=checkpoint.digest,
    )


class _CheckpointFile(msgspec.Struct):
    at: datetime
    heads: dict[str, tuple[int, str]]
    digest: str
    schema_version: int = SCHEMA


def read_checkpoint(text: bytes, source: str) -> Checkpoint:
    """Parse a checkpoint file. Raises UsageError if the file is not a checkpoint, or if its digest does not match."""
    try:
        read = decode_json(text, _CheckpointFile)
        checkpoint = Checkpoint(to_ms(read.at), read.heads)
    except (msgspec.DecodeError, ValueError, OverflowError) as problem:
        hint = "Write one: hf-gate audit checkpoint --out FILE."
        raise UsageError(f"{source} is not a checkpoint: {problem}.", hint=hint) from None
    if checkpoint.digest != read.digest:
        raise UsageError(f"{source} was changed: its digest does not match.", hint="Use the original file.")
    return checkpoint


# ---- exported ledgers ------------------------------------------------------------------------------------------------


class ExportHeader(msgspec.Struct, frozen=True):
    """The first line of an exported ledger."""

    ledger: str
    endpoint: str
    made_at: str
    personal: bool
    heads: Mapping[str, tuple[int, str]]
    schema_version: int = SCHEMA


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    chain: str
    seq: int
    at: str
    kind: str
    actor: str
    request: int | None
    body: str
    commitment: str | None
    hash: str
    private: str | None = None
    salt: str | None = None


def export_ledger(store: Store, now: datetime, *, personal: bool = False) -> Iterator[bytes]:
    """Yield the ledger as JSON lines, the header first. `body` and `private` are the exact texts that were hashed."""
    heads = {chain: (length, last.hex()) for chain, (length, last) in sorted(store.chains().items())}
    yield msgspec.json.encode(ExportHeader("hf-gate", store.endpoint, to_iso(now), personal, heads)) + b"\n"
    for chain, (length, _) in heads.items():
        for entry in store.links_with_private_parts(chain):
            if entry.link.seq > length:
                break  # this entry was stored after the header was written
            yield msgspec.json.encode(_make_line(entry, personal=personal)) + b"\n"


def _make_line(entry: SealedEntry, *, personal: bool) -> _Line:
    link = entry.link
    has_private = personal and entry.private is not None
    return _Line(
        link.chain,
        link.seq,
        ms_to_iso(link.at),
        link.kind,
        link.actor,
        link.request,
        link.body.decode(),
        None if link.commitment is None else link.commitment.hex(),
        link.hash.hex(),
        entry.private.decode() if has_private and entry.private is not None else None,
        entry.salt.hex() if has_private and entry.salt is not None else None,
    )


def verify_exported_ledger(lines: Iterable[bytes], source: str, checkpoints: Sequence[Checkpoint] = ()) -> LedgerReport:
    """Verify an exported ledger without its store.

    An unreadable line counts as a break, and the verification continues after it.
    """
    rest = iter(lines)
    header = _parse_header(next(rest, b""), source)
    proof = LedgerVerifier(checkpoints, has_private=header.personal)
    entries = _parse_entries(rest, proof.result, source)
    for chain, some in groupby(entries, lambda entry: entry.link.chain):
        head = header.heads.get(chain)
        is_new = chain not in proof.result.chains
        if not is_new or head is None:
            what = "the header does not list this chain" if is_new else "the chain continues after another chain"
            proof.result.broken.append(ChainBreak(chain, 1, what))
        proof.add_chain(chain, some, None if head is None else (head[0], bytes.fromhex(head[1])))
    for chain, (length, _) in sorted(header.heads.items()):
        if length and chain not in proof.result.chains:
            proof.result.broken.append(ChainBreak(chain, 1, f"all {length} entries are missing"))
    return proof.finish()


def _parse_entries(lines: Iterable[bytes], result: LedgerReport, source: str) -> Iterator[SealedEntry]:
    for number, line in enumerate(lines, 2):
        entry = _parse_entry(line)
        if entry is None:
            result.broken.append(ChainBreak(source, number, "the line is not an exported entry"))
        else:
            yield entry


def _parse_header(line: bytes, source: str) -> ExportHeader:
    try:
        header = decode_json(line, ExportHeader)
        for _, last in header.heads.values():
            bytes.fromhex(last)
    except (msgspec.DecodeError, ValueError):
        raise UsageError(
            f"{source} is not an exported audit log: its first line is not a header.",
            hint="Write one: hf-gate audit export.",
        ) from None
    return header


def _parse_entry(line: bytes) -> SealedEntry | None:
    try:
        read = decode_json(line, _Line)
        at = to_ms(datetime.fromisoformat(read.at))
        commitment = None if read.commitment is None else bytes.fromhex(read.commitment)
        body = read.body.encode()
        last = bytes.fromhex(read.hash)
        private = None if read.private is None else read.private.encode()
        salt = None if read.salt is None else bytes.fromhex(read.salt)
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None
    link = LedgerLink(read.chain, read.seq, at, read.kind, read.actor, read.request, body, commitment, last)
    entry = SealedEntry(link, salt, private)
    # The decoder accepts several spellings of the same entry, but an export uses only one. Any other is not authentic.
    return entry if msgspec.json.encode(_make_line(entry, personal=True)) == line.rstrip(b"\n") else None
