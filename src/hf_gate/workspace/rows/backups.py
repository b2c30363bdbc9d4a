"""Writes and restores backups of a store."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from msgspec import Struct

from hf_gate.base.private_files import make_private_folder
from hf_gate.core.letters.messages import NOTICE
from hf_gate.core.runs import ALL_RUNS, RunState
from hf_gate.errors import HfGateError, StoreBusy, StoreDamaged, StoreUnavailable, UsageError
from hf_gate.members.rows.members import remove_member
from hf_gate.messages.rows.outbox import LOST
from hf_gate.privacy.rows.erasure_file import FILE_NAME
from hf_gate.privacy.rows.written_files import PARTIAL, record_copy
from hf_gate.settings.setting_keys import OWNER, PROMOTED_POLICIES
from hf_gate.store.removal import BEFORE_RESTORE, RESTORING, fold_in_wal, sole_access
from hf_gate.store.server_dump import dump_schema
from hf_gate.store.sql import Row, Sqlite
from hf_gate.store.store import Store
from hf_gate.store.write_lock import Holder, OnWait, ignore_wait
from hf_gate.store.writing.notice_queue import IS_OPEN

from .opening import open_store

_MAGIC: Final = b"SQLite format 3\0"
_KEPT_ROWS: Final = (
    ("stop_requests", "run, action", f"WHERE run = '{ALL_RUNS}'"),
    ("settings", "key, value", f"WHERE key IN {(OWNER, PROMOTED_POLICIES)}"),
    ("policy_authors", "digest, actor, member, account", ""),
    ("bindings", "owner_table, key, user_id", ""),
)
"""Tables, columns and rows of a replaced store that stay in force. The account of a name in a table is kept, because
the name may have passed to another account since.
"""
_CHUNK: Final = 1 << 20
_CREATE_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_DISARM_SQL: Final = (
    "DELETE FROM settings WHERE key = 'letters'",  # the next turn turns letters on anew
    (
        f"UPDATE messages SET {LOST}, lease = NULL, problem = 'the store was restored from a backup'"
        f" WHERE kind <> '{NOTICE}' AND {IS_OPEN}"
    ),
    "DELETE FROM sessions",
    "DELETE FROM api_keys",
    "DELETE FROM picked",
    "DELETE FROM picks",
    f"UPDATE runs SET starts_at = CASE WHEN state <> '{RunState.QUEUED}' THEN 0 END WHERE starts_at IS NOT NULL",
    "UPDATE repos SET quick_at = NULL, full_at = NULL, is_complete = FALSE, tried_at = NULL",
    "DELETE FROM first_turns",
    "DELETE FROM approvals",  # some may have been taken back since
    "DELETE FROM endorsements",
    "DELETE FROM evaluated_lists",
)

# ---- backup ----------------------------------------------------------------------------------------------------------


def write_backup(store: Path | str, target: Path) -> int:
    """Copy a store as it is now to a new file and return the file's size in bytes.

    `store` is a file, or the address of a store on a server. Other processes may write meanwhile.
    """
    if isinstance(store, Path):
        _check_target(store, target)
    if os.path.lexists(target):
        raise UsageError(f"{target} already exists; nothing was written.", hint="Name a new file.")
    draft = target.with_name(target.name + PARTIAL)
    with _system_errors(target):
        os.close(_new_file(draft))
        try:
            if isinstance(store, Path):
                record_copy(store, target)
                _copy_store(store, draft)
            else:
                dump_schema(store, draft)
            _sync(draft)
            draft.replace(target)
            return target.stat().st_size
        finally:
            draft.unlink(missing_ok=True)


def _check_target(store: Path, target: Path) -> None:
    if target.parent.resolve() == store.parent.resolve() and target.name.startswith(store.name):
        raise UsageError(
            f"{target} is a name that hf-gate itself uses.", hint="Use another name, e.g. backup-2026-11-26.db."
        )


def _new_file(draft: Path) -> int:
    try:
        return os.open(draft, _CREATE_FLAGS, 0o600)
    except FileExistsError:
        raise StoreBusy(
            f"{draft} exists: another backup is being written, or one was interrupted.",
            hint="If no backup is running, remove that file.",
        ) from None


def _copy_store(store: Path, draft: Path) -> None:
    source = Sqlite(store, writes=False)
    try:
        source.run("PRAGMA query_only = OFF")  # it counts the copy as a write
        source.rows("VACUUM INTO ?", (str(draft),))  # one snapshot, in one file
    finally:
        source.close()


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        hint = "Nothing was changed. Check the path, its permissions and the free disk space."
        raise StoreUnavailable(f"{path} cannot be written: {problem.strerror or problem}.", hint=hint) from None


# ---- restore ---------------------------------------------------------------------------------------------------------


class Restore(Struct, frozen=True):
    """A backup and the store that it replaces.

    `settings` are written to the restored store. `prove` raises an error if it is damaged. `actor` and `at` (ms) are
    the person and the time in the ledger entries that end memberships.
    """

    backup: Path
    store: Path
    endpoint: str
    world: str | None
    settings: Mapping[str, str]
    prove: Callable[[Store], None]
    actor: str
    at: int


def restore(job: Restore, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait) -> Path | None:
    """Replace a store with a backup; return the path of the replaced store, or None if there was none.

    The backup is copied next to the store, checked and disarmed first. If any check fails, the store stays as it is.
    """
    if job.store.is_symlink():
        raise StoreUnavailable(f"{job.store} is a symbolic link; nothing was restored.", hint="Remove the link first.")
    with _system_errors(job.store):
        make_private_folder(job.store.parent)
    draft = job.store.with_name(job.store.name + RESTORING)
    with sole_access(job.store, who, wait=wait, on_wait=on_wait) as lock:
        _remove_draft(draft)
        try:
            with _system_errors(draft):
                _copy_file(job.backup, draft)
            with _naming_backup(draft, job.backup):
                _restrict(draft, job)
            with _system_errors(job.store):
                _sync(draft)
                replaced = _put_in_place(draft, job.store)
        finally:
            _remove_draft(draft)
        lock.mark_store_made()
    return replaced


def _remove_draft(draft: Path) -> None:
    for path in draft.parent.glob(f"{draft.name}*"):
        path.unlink()


def _copy_file(backup: Path, draft: Path) -> None:
    """Copy the bytes of a backup.

    SQLite opens only the copy, so it cannot mistake a file beside the backup for its log.
    """
    source = os.open(backup, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(source, "rb") as read:
        is_file = stat.S_ISREG(os.fstat(read.fileno()).st_mode)
        head = read.read(len(_MAGIC)) if is_file else b""
        if head != _MAGIC:
            raise StoreDamaged(
                f"{backup} is not a backup of a store.", hint="Write one with: hf-gate store backup FILE"
            )
        with os.fdopen(os.open(draft, _CREATE_FLAGS, 0o600), "wb") as write:
            write.write(head)
            shutil.copyfileobj(read, write, _CHUNK)


@contextmanager
def _naming_backup(draft: Path, backup: Path) -> Iterator[None]:
    """Raise errors about the copy as errors about the backup."""
    try:
        yield
    except (HfGateError, sqlite3.Error) as problem:
        kind = type(problem) if isinstance(problem, HfGateError) else StoreDamaged
        words = str(problem).replace(str(draft), str(backup)).rstrip(".")
        raise kind(f"{words}. Nothing was restored from {backup}.", hint="Use another backup.") from problem


def _restrict(draft: Path, job: Restore) -> None:
    """Open the copy, which upgrades it and repeats the erasures that it misses; check it, and disarm it."""
    kept = _read_kept_rows(job.store)
    erasures = job.store.with_name(FILE_NAME)
    with open_store(draft, endpoint=job.endpoint, world=job.world, create=False, wait=0, erasures=erasures) as store:
        job.prove(store)
        disarm(store, job.settings, job.actor, job.at)
        with store.writing() as write:
            write.write_setting(OWNER, None)
            for (table, columns, _), rows in zip(_KEPT_ROWS, kept, strict=False):
                values = ", ".join("?" * len(columns.split(",")))
                write.db.run_many(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({values})", rows)
    fold_in_wal(draft)


def disarm(store: Store, settings: Mapping[str, str], actor: str, at: int) -> None:
    """End sessions, remove members, hold letters and unsent decisions, and mark every repo as not synced since then.

    The next turn records a stop of unattended work in the ledger, unless the setting in the backup says that this was
    done.
    """
    for member in store.members():
        remove_member(store, member, actor, at)
    with store.writing() as write:
        db = write.db
        for statement in _DISARM_SQL:
            db.run(statement)
        if store.is_shared:
            db.run("DELETE FROM one_time_links")
            db.run("UPDATE leases SET holder = '', epoch = epoch + 1 WHERE name IN ('loop', 'messages')")
        for key, value in settings.items():
            db.write_setting(key, value)


def _read_kept_rows(path: Path) -> list[list[Row]]:
    """Return what stays in force of the store that is replaced; nothing without a readable store."""
    if not path.is_file():
        return []
    with suppress(HfGateError, sqlite3.Error):  # a damaged store is often why a person restores
        db = Sqlite(path, writes=False)
        try:
            return [db.rows(f"SELECT {columns} FROM {table} {where}") for table, columns, where in _KEPT_ROWS]
        finally:
            db.close()
    return []


def _free_name(store: Path) -> Path:
    """Return an unused path for the replaced store, so that no other replaced store is overwritten."""
    names = (f"{store.name}{BEFORE_RESTORE}{f'-{number}' if number > 1 else ''}" for number in count(1))
    return next(path for name in names if not os.path.lexists(path := store.with_name(name)))


def _put_in_place(draft: Path, store: Path) -> Path | None:
    before = _free_name(store)
    is_there = store.is_file()
    if is_there:
        for log in ("-wal", "-shm"):  # only a damaged store leaves this file; SQLite would apply it to the new store
            with suppress(FileNotFoundError):
                store.with_name(store.name + log).replace(before.with_name(before.name + log))
        try:
            os.link(store, before)  # so that there is a store at every moment
        except OSError:  # for example FAT, which has no hard links
            store.rename(before)
    draft.replace(store)
    return before if is_there else None
