"""Keeps the hashes of erased people in a file beside the store, and finds those that an older copy of the store holds.

A backup that was made before an erasure still holds the person. The file survives the restore, so that each opening of
the store can delete the person again (`erasure_repetition`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from hf_gate.base.decoding import decode_json
from hf_gate.core.events.erasure import hash_account, hash_person, hash_request, hash_store
from hf_gate.errors import StoreDamaged, StoreUnavailable
from hf_gate.requests.rows.identity import read_full_identity
from hf_gate.store.sql import Database, Reader
from hf_gate.store.writing.erased import TO_SCRUB, find_erased_hashes, read_hash_key

FILE_NAME: Final = "erasures.jsonl"
_BEGINNING: Final = b'{"store":"'
_MAX_BYTES: Final = 1 << 30


class ErasureHashes(msgspec.Struct, frozen=True):
    """One erasure as hashes: of the store, of the person, of their account, of their usernames and of
    their requests.
    """

    store: str
    at: int  # ms
    person: str
    requests: tuple[str, ...] = ()
    account: str = ""  # empty if neither the id nor the name was known
    names: tuple[str, ...] = ()


def make_record(reader: Reader, person: int, at: int) -> ErasureHashes:
    """Return the record of the erasure of a person."""
    secret = read_hash_key(reader)
    identity = read_full_identity(reader, person)
    rows = reader.reads.rows("SELECT asked_at, hub_request FROM requests WHERE person_id = ? ORDER BY id", (person,))
    keys = [
        key.hex()
        for asked_at, hub_request in rows
        for key in hash_request(
            secret,
            asked_at,
            user_id=identity.user_id,
            username=identity.username,
            hub_request=hub_request,
        )
    ]
    is_known = identity.user_id or identity.username
    account = hash_account(secret, identity.user_id, identity.username).hex() if is_known else ""
    names = tuple(hash_account(secret, None, name).hex() for name in sorted(identity.usernames))
    own = hash_person(secret, identity.pseudonym).hex()
    return ErasureHashes(hash_store(secret), at, own, tuple(keys), account, names)


# ---- the file --------------------------------------------------------------------------------------------------------


def append_record(path: Path, record: ErasureHashes) -> None:
    """Add a record to the file, durably, before anything is deleted from the store."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            is_cut = size > 0 and file.read(1) != b"\n"  # by a crash in the middle of a line
            file.write((b"\n" if is_cut else b"") + msgspec.json.encode(record) + b"\n")
            os.fsync(file.fileno())
        path.chmod(0o600)
    except OSError as problem:
        hint = "Nothing was erased. Check the path, its permissions and the free disk space."
        raise StoreUnavailable(f"{path} cannot be written: {problem.strerror or problem}.", hint=hint) from None


def read_records(path: Path) -> list[ErasureHashes]:
    """Return the records of all stores. Raise StoreDamaged for a line that is not a record, except a cut last line."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise StoreUnavailable(f"{path} is not a regular file.", hint="Replace it with the original file.")
        if path.stat().st_size > _MAX_BYTES:
            raise StoreDamaged(f"{path} is too large to be the list of erasures.", hint="Restore the original file.")
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise StoreUnavailable(f"{path} cannot be read: {problem.strerror or problem}.") from None
    return [
        record
        for number, line in enumerate(data.split(b"\n"), 1)
        if (record := _parse_line(line, f"{path}: line {number}")) is not None
    ]


def _parse_line(line: bytes, place: str) -> ErasureHashes | None:
    """Return the record of a line; None for an empty line, or one that was cut before its erasure began."""
    if not line.strip():
        return None
    try:
        record = decode_json(line, ErasureHashes)
        bytes.fromhex(record.person + record.account + "".join((*record.requests, *record.names)))
    except ValueError:
        if _BEGINNING.startswith(line[: len(_BEGINNING)]) and not line.endswith(b"}"):
            return None
        hint = "Restore the original file; without it, data of erased people could come back."
        raise StoreDamaged(f"{place} is not an erasure.", hint=hint) from None
    return record


# ---- pending erasures ------------------------------------------------------------------------------------------------


def find_pending(db: Database, path: Path | None) -> list[ErasureHashes]:
    """Return the erasures of this store that its tables do not contain yet."""
    records = [] if path is None else read_records(path)
    if not records:
        return []
    tag = hash_store(read_hash_key(db))
    own = {record.person: record for record in records if record.store == tag}
    known = find_erased_hashes(db, [bytes.fromhex(person) for person in own])
    return [one for person, one in own.items() if bytes.fromhex(person) not in known]


def needs_erasures(db: Database, path: Path | None) -> bool:
    """Return whether erasures are pending, or deleted data may still be in the files of the database."""
    return db.setting(TO_SCRUB) is not None or bool(find_pending(db, path))
