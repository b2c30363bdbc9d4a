"""Remembers the backups, exports and plans of a store, and erases people in the copies beside it."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from hf_gate.errors import HfGateError, StoreDamaged
from hf_gate.store.database.schema import list_revisions, read_revision
from hf_gate.store.removal import BEFORE_RESTORE, RESTORING, files_of
from hf_gate.store.sql import Sqlite
from hf_gate.store.store import Store

from .erasure_file import find_pending
from .erasure_repetition import repeat_erasures

PARTIAL: Final = ".partial"
"""Added to the name of a backup until it is complete."""
_LIST: Final = ".copies"  # added to the name of the store
_LOGS: Final = ("-wal", "-shm", "-journal")


class CopyResult(NamedTuple):
    """What became of one copy of the store. `problem` is empty if nothing is left in it."""

    path: Path
    problem: str = ""


class Backup(NamedTuple):
    """A backup, and when it was written (ms); None if it was moved or deleted."""

    path: Path
    made_at: int | None


def record_copy(store: Path, target: Path) -> None:
    """Remember a backup, so that a later erasure names it."""
    _add_line(store, str(target.absolute()))


def record_file(store: Path, target: Path) -> None:
    """Remember an export or a plan, so that whoever removes the store learns of it."""
    _add_line(store, {"file": str(target.absolute())})


def _add_line(store: Path, entry: object) -> None:
    if entry in _read_list(store):
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    file = os.open(store.with_name(store.name + _LIST), flags, 0o600)
    try:
        os.write(file, json.dumps(entry).encode() + b"\n")
    finally:
        os.close(file)


def find_copies(store: Path) -> list[Path]:
    """Return the copies that hf-gate keeps beside a store."""
    return [
        path
        for path in files_of(store)
        if path.name.startswith((store.name + BEFORE_RESTORE, store.name + ".before-"))
        and not path.name.endswith(_LOGS)
    ]


def find_backups(store: Path) -> list[Backup]:
    """Return the backups that were made of a store, also interrupted ones."""
    names = dict.fromkeys(name for name in _read_list(store) if isinstance(name, str))
    drafts = [name + PARTIAL for name in names if os.path.lexists(name + PARTIAL)]
    return [Backup(Path(name), _read_age(name)) for name in (*names, *drafts)]


def _read_age(name: str) -> int | None:
    try:
        return int(os.lstat(name).st_mtime * 1000)
    except OSError:
        return None


def find_written_files(store: Path) -> list[Path]:
    """Return the backups, exports and plans of a store that still exist where they were written."""
    names = [one.get("file") if isinstance(one, dict) else one for one in _read_list(store)]
    paths = dict.fromkeys(Path(name) for name in names if isinstance(name, str))
    return [path for path in paths if os.path.lexists(path)]


def _read_list(store: Path) -> list[object]:
    try:
        lines = store.with_name(store.name + _LIST).read_bytes().splitlines()
    except OSError:
        return []
    entries: list[object] = []
    for line in lines:
        with suppress(ValueError):
            entries.append(json.loads(line))
    return entries


def erase_in_copies(store: Path, endpoint: str, erasures: Path) -> list[CopyResult]:
    """Repeat all erasures in the copies beside a store; return the copies with what prevented it.

    The caller holds the lock of the store, so a draft of a restore was left by an interrupted one, and is deleted.
    """
    for path in files_of(store):
        if path.name.startswith(store.name + RESTORING):
            path.unlink(missing_ok=True)
    return [CopyResult(path, _erase_in(path, endpoint, erasures)) for path in find_copies(store)]


def _erase_in(path: Path, endpoint: str, erasures: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "it is not a regular file"
    try:
        repeat_in_copy(path, endpoint, erasures)
    except (HfGateError, OSError, sqlite3.Error) as problem:
        return str(problem).rstrip(".")
    return ""


def repeat_in_copy(path: Path, endpoint: str, erasures: Path) -> None:
    """Repeat all erasures in one copy, which nothing else has open."""
    db = Sqlite(path, writes=True)
    try:
        if read_revision(db) != list_revisions()[-1]:
            raise StoreDamaged(f"{path} was made by another version of hf-gate.", hint="Delete it.")
        if not find_pending(db, erasures):
            return
    finally:
        db.close()
    read = partial(Sqlite, path, writes=False)
    write = partial(Sqlite, path, writes=True)
    with Store(endpoint, read, write(), None, lambda _: None, write, erasures=erasures) as copy:
        repeat_erasures(copy, erasures)
    db = Sqlite(path, writes=True)
    try:
        db.rows("PRAGMA journal_mode = DELETE")  # so that the copy is one file
    finally:
        db.close()
