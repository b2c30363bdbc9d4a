"""Removes a store (all its files, or its tables on a server) while no other process has it open."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hf_gate.base.display_text import pluralize
from hf_gate.base.environment import require_writes
from hf_gate.core.lifecycle import Status
from hf_gate.core.runs import UNSETTLED
from hf_gate.errors import Guarded, StoreBusy, StoreDamaged
from hf_gate.store.database.schema import list_schema_tables, read_revision

from .leases import LeaseKeeper
from .sql import Database, Postgres, Sqlite, raise_sqlite_error
from .store_path import file_of_store
from .write_lock import FileLock, Holder, OnWait, Work, ignore_wait, lock_files

RESTORING: Final = ".restoring"
BEFORE_RESTORE: Final = ".before-restore"
_COPY: Final = rf"{re.escape(RESTORING)}|{re.escape(BEFORE_RESTORE)}(?:-\d+)?|\.before-\d{{4}}"
_COUNT_ENDS: Final = "SELECT count(*) FROM requests WHERE is_current AND status = ? AND ends_at IS NOT NULL"
_FUNCTIONS: Final = ("ledger_only_added_to()", "trigrams_of(text)")


def files_of(store: Path) -> list[Path]:
    """Return every existing file of a store.

    The main file is first, so that an interrupted removal leaves no older state. Backups, whatever their names, are
    never included.
    """
    locks = rf"(?:\.(?:{'|'.join(Work)}))?(?:\.lock|\.holder)"
    own = re.compile(rf"{re.escape(store.name)}(?:{_COPY})?(?:-wal|-shm|-journal|{locks}|\.copies)?")
    try:
        found = [path for path in store.parent.iterdir() if own.fullmatch(path.name) and not _is_folder(path)]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda path: (path in lock_files(store), len(path.name), path.name))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


@contextmanager
def sole_access(store: Path, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait) -> Iterator[FileLock]:
    """Hold the lock of a store within the block, and ensure that no other process has it open, even for reading.

    The write-ahead log is merged and deleted. Raise StoreBusy on a conflict. The caller handles a file that is not a
    store.
    """
    require_writes("the store")
    lock = FileLock(store, who, wait=wait, on_wait=on_wait)
    try:
        if store.is_file() and not store.is_symlink():
            with suppress(StoreDamaged):
                fold_in_wal(store)
        yield lock
    finally:
        lock.release()


def fold_in_wal(store: Path) -> None:
    """Merge the write-ahead log of a file into it. Raise StoreBusy if another process has the file open."""
    raw = sqlite3.connect(store, isolation_level=None, timeout=1.0)
    try:
        raw.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.Error as problem:
        if (getattr(problem, "sqlite_errorname", "") or "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            hint = "Stop the desk and every other hf-gate that uses this store, then repeat the command."
            raise StoreBusy(f"another process has {store} open.", hint=hint) from None
        raise_sqlite_error(problem, str(store))
    finally:
        raw.close()


def remove_files(store: Path, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait) -> list[Path]:
    """Delete the files of a store and return them.

    Links are deleted and never followed. Raise Guarded while changes are unsettled.
    """
    with sole_access(store, who, wait=wait, on_wait=on_wait):
        if store.is_file() and not store.is_symlink():
            with suppress(StoreDamaged):  # a store that cannot be read settles nothing
                _check_settled(store)
        found = files_of(store)
        remove_paths(found)
        with suppress(OSError):  # so that the deletion is durable
            folder = os.open(store.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    if os.name == "nt":  # Windows cannot delete locked files; on other systems, a new store may exist by now
        remove_paths(found)
    return found


def remove_paths(paths: Iterable[Path]) -> None:
    """Delete files, also those that are links."""
    for path in paths:
        with suppress(PermissionError if os.name == "nt" else FileNotFoundError):
            path.unlink(missing_ok=True)


def _check_settled(store: Path) -> None:
    db = Sqlite(store, writes=False)
    try:
        if read_revision(db) is not None:
            refuse_unsettled(db)
    finally:
        db.close()


def refuse_unsettled(db: Database) -> None:
    """Raise Guarded if the outcome of a change is unknown, because only the store can settle it."""
    if count := db.count("SELECT count(*) FROM changes WHERE state IN (?, ?)", UNSETTLED):
        raise Guarded(
            f"{db.at}: {pluralize(count, 'change')} may have been sent, with an unknown outcome; nothing was removed.",
            hint="Find the run with `hf-gate runs ls`; settle it with `hf-gate runs continue RUN`.",
        )


def count_stored_ends(url: str) -> int | None:
    """Return how many people have access that a store ends later; None if it cannot be read. Creates no file."""
    path = file_of_store(url)
    if path is not None and not path.is_file():
        return 0
    try:
        db = Postgres(url, writes=False, name="hf-gate") if path is None else Sqlite(path, writes=False)
        try:
            return 0 if read_revision(db) is None else db.count(_COUNT_ENDS, (Status.ACCEPTED,))
        finally:
            db.close()
    except StoreDamaged:
        return None


def remove_tables(url: str, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait) -> None:
    """Drop the tables and functions of a store from a server's schema, all or none; the schema itself stays."""
    db = Postgres(url, writes=True, name=f"hf-gate {who}"[:63])
    keeper = LeaseKeeper(url, who)
    try:
        if read_revision(db) is not None:
            keeper.acquire(Work.STORE, wait, f"{db.at} is being written", on_wait)
            with suppress(StoreDamaged):  # as above
                refuse_unsettled(db)
            _drop_tables(db)
    finally:
        keeper.close()
        db.close()


def _drop_tables(db: Postgres) -> None:
    others = db.rows(
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND application_name LIKE 'hf-gate beside %'"
    )
    if others:
        raise StoreBusy(f"{db.at} is open in {others[0][0].removeprefix('hf-gate beside ')}.")
    with db.transaction():
        db.run(f"DROP TABLE IF EXISTS {', '.join(sorted(list_schema_tables()))}")
        db.run(f"DROP FUNCTION IF EXISTS {', '.join(_FUNCTIONS)}")
