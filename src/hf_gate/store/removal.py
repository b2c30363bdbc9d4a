"""Removes a store (all its files, or its tables on a server) while no other process has it open."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hf_gate.base.environment import require_writes
from hf_gate.base.locks import is_held
from hf_gate.core.runs import UNSETTLED
from hf_gate.errors import StoreBusy, StoreDamaged, UsageError
from hf_gate.store.database.schema import list_schema_tables, read_revision

from .leases import LeaseKeeper
from .sql import Database, Postgres, Sqlite, raise_sqlite_error
from .write_lock import FileLock, Holder, OnWait, Work, ignore_wait, lock_files

RESTORING: Final = ".restoring"
BEFORE_RESTORE: Final = ".before-restore"
_COPY: Final = rf"{re.escape(RESTORING)}|{re.escape(BEFORE_RESTORE)}(?:-\d+)?|\.before-\d{{4}}"
_FUNCTIONS: Final = ("ledger_only_added_to()", "trigrams_of(text)")


def files_of(store: Path) -> list[Path]:
    """Return every existing file of a store.

    The main file is first, so that an interrupted removal leaves no older state. Backups, whatever their names, are
    never included.
    """
    locks_of = rf"(?:\.(?:{'|'.join(Work)}))?(?:\.lock|\.holder)"
    own = re.compile(rf"{re.escape(store.name)}(?:(?:{_COPY})?(?:-wal|-shm|-journal)?|{locks_of}|\.copies)")
    try:
        found = [path for path in store.parent.iterdir() if own.fullmatch(path.name) and not _is_folder(path)]
    except FileNotFoundError:
        return []
    locks = lock_files(store)
    return sorted(found, key=lambda path: (path in locks, len(path.name), path.name))


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
                _fold_in_wal(store)
        yield lock
    finally:
        lock.release()


def _fold_in_wal(store: Path) -> None:
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


def remove_files(
    store: Path, who: Holder, *, wait: float, check: Callable[[], None], on_wait: OnWait = ignore_wait
) -> list[Path]:
    """Delete the files of a store and return them.

    Links are deleted and never followed. `check` may still refuse once access is exclusive.
    """
    with sole_access(store, who, wait=wait, on_wait=on_wait):
        check()
        found = files_of(store)
        for path in found:
            _unlink(path)
        with suppress(OSError):  # so that the deletion is durable
            folder = os.open(store.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    if os.name == "nt":  # Windows cannot delete locked files; on other systems, a new store may exist by now
        for path in found:
            _unlink(path)
    return found


def _unlink(path: Path) -> None:
    with suppress(PermissionError if os.name == "nt" else FileNotFoundError):
        path.unlink(missing_ok=True)


def remove_empty_folders(folders: Sequence[Path]) -> list[Path]:
    """Remove those of these folders that are empty, and return them."""
    gone = []
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
            gone.append(folder)
    return gone


def remove_tables(
    url: str, who: Holder, *, wait: float, check: Callable[[int], None], on_wait: OnWait = ignore_wait
) -> None:
    """Drop the tables and functions of a store from a server's schema, all or none; the schema itself stays."""
    db = Postgres(url, writes=True, name=f"hf-gate {who}"[:63])
    keeper = LeaseKeeper(url, who)
    try:
        if read_revision(db) is not None:
            with suppress(StoreDamaged):  # a store that was made before there were leases
                keeper.acquire(Work.STORE, wait, f"{db.at} is being written", on_wait)
            check(count_unsettled_changes(db))
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


def count_unsettled(store: Path) -> int:
    """Return how many changes of a SQLite store were sent without a known outcome.

    Raise StoreDamaged if the store cannot be read, and UsageError for a database of another program.
    """
    db = Sqlite(store, writes=False)
    try:
        tables = {row[0] for row in db.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not {"about", "ledger"} <= tables:
            raise UsageError(f"{store} is a database of another program; nothing was removed.")
        return count_unsettled_changes(db) if tables else 0
    except sqlite3.Error as problem:
        raise StoreDamaged(f"{store} is not a store of hf-gate: {problem}.") from problem
    finally:
        db.close()


def count_unsettled_changes(db: Database) -> int:
    """Return how many changes were sent without a known outcome, including those of people without a request."""
    return db.count("SELECT count(*) FROM changes WHERE state IN (?, ?)", UNSETTLED)


# ---- other files of hf-gate ------------------------------------------------------------------------------------------


def remove_traces(state: Path, caches: Sequence[Path]) -> list[Path]:
    """Delete the caches, and the files of ended processes in the state folder. Files of running processes stay."""
    found = [path for path in caches if not _is_folder(path) and os.path.lexists(path)]
    for folder in ("ui", "profiles"):
        files = sorted(path for path in (state / folder).glob("*") if not _is_folder(path))
        held = [path for path in files if path.suffix == ".lock" and is_held(path)]
        found += [path for path in files if not any(lock.name.startswith(path.name) for lock in held)]
    for path in found:
        _unlink(path)
    return found


def find_mode_faults(store: Path) -> list[str]:
    """Return problems of a store's files: readable by others, links, or left by an interrupted restore."""
    faults = []
    for path in files_of(store):
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            faults.append(f"{path} is a symbolic link")
        elif os.name != "nt" and about.st_mode & 0o077:
            faults.append(f"{path} can be read by others (mode {stat.S_IMODE(about.st_mode):04o})")
        elif path.name.startswith(store.name + RESTORING):
            faults.append(f"{path} was left by an interrupted restore")
    return faults
