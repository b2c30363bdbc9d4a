"""Keeps the hashes of erased people in a file beside the store, and repeats their erasure in an older copy of the store.

A backup that was made before an erasure still holds the person. The file survives the restore, so that each opening of the
store can delete the person again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ..domain.erasure import hash_account, hash_person, hash_request, hash_store
from ..errors import StoreDamaged, StoreUnavailable
from .erased import find_keys, read_secret, write_keys
from .erasure import TO_SCRUB, Eraser
from .identity import read_full_identity
from .sql import Database, Postgres, Sqlite

if TYPE_CHECKING:
    from .connections import StoreConnections

FILE_NAME: Final = "erasures.jsonl"
_REPLAYED_BY: Final = "hf-gate"  # the actor of an erasure that is repeated in an older copy
_BEGINNING: Final = b'{"store":"'
_MAX_BYTES: Final = 1 << 30
_IN_MEMORY: Final = 1 << 26  # bytes; a larger store is rewritten through a temporary file
VACUUMED: Final = (
    "people", "requests", "private", "texts", "profiles", "bindings", "views", "plans", "changes", "tray", "hits", "picked",
    "approvals", "approval_alarms", "letters", "table_versions",
)  # fmt: skip
"""The tables from which an erasure deletes, or in which it changes rows."""


class ErasureHashes(msgspec.Struct, frozen=True):
    """One erasure as hashes: of the store, of the person, of their account, of their usernames and of their requests."""

    store: str
    at: int  # ms
    person: str
    requests: tuple[str, ...] = ()
    account: str = ""  # empty if neither the id nor the name was known
    names: tuple[str, ...] = ()


def make_record(db: Database, person: int, at: int) -> ErasureHashes:
    """Return the record of the erasure of a person."""
    secret, identity = read_secret(db), read_full_identity(db, person)
    rows = db.rows("SELECT asked_at, hub_request FROM requests WHERE person_id = ? ORDER BY id", (person,))
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
        record = msgspec.json.decode(line, type=ErasureHashes)
        bytes.fromhex(record.person + record.account + "".join((*record.requests, *record.names)))
    except ValueError:
        if _BEGINNING.startswith(line[: len(_BEGINNING)]) and not line.endswith(b"}"):
            return None
        hint = "Restore the original file; without it, data of erased people could come back."
        raise StoreDamaged(f"{place} is not an erasure.", hint=hint) from None
    return record


# ---- repetition ------------------------------------------------------------------------------------------------------


def find_pending(db: Database, path: Path | None) -> list[ErasureHashes]:
    """Return the erasures of this store that its tables do not contain yet."""
    records = [] if path is None else read_records(path)
    if not records:
        return []
    tag = hash_store(read_secret(db))
    own = {one.person: one for one in records if one.store == tag}
    known = find_keys(db, [bytes.fromhex(person) for person in own])
    return [one for person, one in own.items() if bytes.fromhex(person) not in known]


def needs_erasures(db: Database, path: Path | None) -> bool:
    """Return whether erasures are pending, or deleted data may still be in the files of the database."""
    return db.setting(TO_SCRUB) is not None or bool(find_pending(db, path))


def repeat_erasures(store: StoreConnections, path: Path | None, actor: str = _REPLAYED_BY) -> bool:
    """Delete the people of all pending erasures; return whether no trace is left in the files of the database."""
    pending = find_pending(store.reads, path)
    if pending:
        with store.writing() as write:
            _repeat(write.db, Eraser(write, max(one.at for one in pending), actor), pending)
    return scrub(store)


def _repeat(db: Database, eraser: Eraser, pending: Sequence[ErasureHashes]) -> None:
    wanted, secret = {bytes.fromhex(one.person) for one in pending}, read_secret(db)
    accounts = {bytes.fromhex(one.account) for one in pending if one.account}
    for person, pseudonym, user_id, username in db.rows("SELECT id, pseudonym, user_id, username FROM people"):
        is_known = (user_id or username) and hash_account(secret, user_id, username) in accounts
        if is_known or hash_person(secret, pseudonym) in wanted:
            eraser.erase_person(person)
    for table, name, user_id in db.rows("SELECT owner_table, key, user_id FROM bindings"):
        if hash_account(secret, user_id or None, name) in accounts:  # of somebody who is not in this copy yet
            db.run("DELETE FROM bindings WHERE owner_table = ? AND key = ?", (table, name))
    keys = [
        (bytes.fromhex(key), None)
        for one in pending
        for key in (one.person, *one.requests, *one.names, one.account)
        if key
    ]
    write_keys(db, keys)


# ---- traces in the files of the database -----------------------------------------------------------------------------


def scrub(store: StoreConnections) -> bool:
    """Remove deleted data from free pages, the log and dead rows; return False if another process prevents it now."""
    if store.reads.setting(TO_SCRUB) is None:
        return True
    with store.maintaining() as db:
        is_clean = _scrub_sqlite(db) if isinstance(db, Sqlite) else _scrub_postgres(db)
    if is_clean:
        with store.writing() as write:
            write.write_setting(TO_SCRUB, None)
    return is_clean


def _scrub_sqlite(db: Sqlite) -> bool:
    size = db.rows("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")[0][0]
    try:
        if size > _IN_MEMORY:
            db.run("PRAGMA temp_store = FILE")
        db.run("VACUUM")
    finally:
        db.run("PRAGMA temp_store = MEMORY")
    return bool(db.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0)


def _scrub_postgres(db: Postgres) -> bool:
    db.run(f"VACUUM {', '.join(VACUUMED)}")
    return True
