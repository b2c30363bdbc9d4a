"""Writes and restores backups of a store."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from hf_gate.base.private_files import make_private_folder
from hf_gate.core.letters.messages import NOTICE
from hf_gate.core.runs import ALL_RUNS, RunState
from hf_gate.errors import HfGateError, StoreBusy, StoreDamaged, StoreUnavailable, UsageError
from hf_gate.members.rows.members import remove_member
from hf_gate.privacy.rows.erasure_file import FILE_NAME
from hf_gate.privacy.rows.erasure_repetition import repeat_erasures
from hf_gate.privacy.rows.written_files import PARTIAL, record_copy
from hf_gate.requests.rows.initial_load import finish_loading
from hf_gate.store.database.schema import (
    check_program,
    list_revisions,
    read_about_schema,
    read_revision,
    upgrade_schema,
)
from hf_gate.store.database.schema_check import find_foreign_objects
from hf_gate.store.removal import BEFORE_RESTORE, RESTORING, files_of, sole_access
from hf_gate.store.server_dump import dump_schema
from hf_gate.store.sql import Row, Sqlite
from hf_gate.store.store import Store
from hf_gate.store.write_lock import Holder, OnWait, ignore_wait
from hf_gate.store.writing.notice_queue import IS_OPEN

from .opening import check_owner

_MAGIC: Final = b"SQLite format 3\0"
_CHUNK: Final = 1 << 20
_CREATE_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_DISARM_SQL: Final = (
    "DELETE FROM settings WHERE key = 'letters'",  # the next turn turns letters on anew
    (
        "UPDATE messages SET state = 'unknown', lease = NULL, problem = 'the store was restored from a backup'"
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
            _link_unless_exists(draft, target)
            return target.stat().st_size
        finally:
            draft.unlink(missing_ok=True)


def _link_unless_exists(draft: Path, target: Path) -> None:
    """Give the draft its final name, unless another process has created a file with that name meanwhile."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # for example FAT, which has no hard links
        if os.path.lexists(target):
            raise
        draft.rename(target)


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

    `settings` are written to the restored store; None deletes one. `prove` raises an error if its ledger is broken.
    `actor` and `at` (ms) are the person and the time in the ledger entries that end sign-in links. `kept_settings` are
    the keys of settings that stay as they are in the replaced store, if it has them; they take precedence over
    `settings`.
    """

    backup: Path
    store: Path
    endpoint: str
    world: str | None
    settings: Mapping[str, str | None]
    prove: Callable[[Store], None]
    actor: str
    at: int
    kept_settings: tuple[str, ...] = ()


class _KeptRows(NamedTuple):
    """What stays in force of the replaced store: its stop of all unattended work, some settings, authors, and matched
    names.
    """

    stop: str | None = None
    settings: Sequence[Row] = ()
    authors: Sequence[Row] = ()
    bindings: Sequence[Row] = ()


_NOTHING_KEPT: Final = _KeptRows()


def restore(job: Restore, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait) -> Path | None:
    """Replace a store with a backup; return the path of the replaced store, or None if there was none.

    The backup is copied next to the store, checked and disarmed first. If any check fails, the store stays as it is. A
    stop of all unattended work stays in force, and so do the settings that `job` names, the authors of policies, and
    the accounts of names in tables, because a name may have passed to another account since.
    """
    if job.store.is_symlink():
        raise StoreUnavailable(f"{job.store} is a symbolic link; nothing was restored.", hint="Remove the link first.")
    with _system_errors(job.store):
        make_private_folder(job.store.parent)
    draft = job.store.with_name(job.store.name + RESTORING)
    with sole_access(job.store, who, wait=wait, on_wait=on_wait) as lock:
        _remove_draft(job.store, RESTORING)
        try:
            with _system_errors(draft):
                _copy_file(job.backup, draft)
            with _refusing_damage(draft, job.backup):
                _check_file(draft, job)
                _restrict(draft, job)
            with _system_errors(job.store):
                replaced = _put_in_place(draft, job.store)
        finally:
            _remove_draft(job.store, RESTORING)
        lock.mark_store_made()
    return replaced


def _remove_draft(store: Path, suffix: str) -> None:
    for path in files_of(store):
        if path.name.startswith(store.name + suffix):
            path.unlink(missing_ok=True)


def _copy_file(backup: Path, draft: Path) -> None:
    """Copy the bytes of a backup.

    SQLite opens only the copy, so it cannot mistake a file beside the backup for its log.
    """
    source = os.open(backup, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(source, "rb") as read:
        about = os.fstat(read.fileno())
        head = read.read(len(_MAGIC)) if stat.S_ISREG(about.st_mode) else b""
        if head != _MAGIC:
            raise StoreDamaged(
                f"{backup} is not a backup of a store.", hint="Write one with: hf-gate store backup FILE"
            )
        if about.st_size > shutil.disk_usage(draft.parent).free:
            raise StoreUnavailable(f"the disk has no space for {about.st_size:,} bytes; nothing was changed.", hint="")
        with os.fdopen(os.open(draft, _CREATE_FLAGS, 0o600), "wb") as write:
            write.write(head)
            shutil.copyfileobj(read, write, _CHUNK)


@contextmanager
def _refusing_damage(draft: Path, backup: Path) -> Iterator[None]:
    try:
        yield
    except StoreDamaged as problem:
        words = str(problem).replace(str(draft), str(backup)).rstrip(".")
        raise StoreDamaged(f"{words}. Nothing was restored.", hint="Use another backup.") from None
    except HfGateError:
        raise
    except Exception as problem:  # a crafted file can contain values that no code expects
        words = f"{backup} contains data that no store has ({type(problem).__name__}). Nothing was restored."
        raise StoreDamaged(words, hint="Use another backup.") from problem


def _check_file(draft: Path, job: Restore) -> None:
    """Refuse a backup that is damaged, crafted, too new or of another Hub; upgrade an older one."""
    db = Sqlite(draft, writes=True)
    try:
        for word in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            db.run(f"PRAGMA {word}")
        if (found := db.rows("PRAGMA integrity_check(1)")) != [("ok",)]:
            raise StoreDamaged(f"{draft} is damaged: {found[0][0]}.")
        if faults := find_foreign_objects(db):
            raise StoreDamaged(f"{draft} is not a store as hf-gate makes it: {faults[0]}.")
        revision = read_revision(db)
        if revision is None:
            raise StoreDamaged(f"{draft} is empty.")
        check_program({**read_about_schema(db), "oldest": revision}, str(job.backup))
        check_owner(db, job.endpoint, job.world, at=str(job.backup))
        if revision != list_revisions()[-1]:
            upgrade_schema(db, None, revision)
        finish_loading(db)
    except sqlite3.Error as problem:
        raise StoreDamaged(f"{draft} is damaged: {problem}.") from problem
    finally:
        db.close()


def _restrict(draft: Path, job: Restore) -> None:
    """Check the ledger of the copy, disarm it, and repeat the erasures that it misses."""
    read = partial(Sqlite, draft, writes=False)
    write = partial(Sqlite, draft, writes=True)
    erasures = job.store.with_name(FILE_NAME)
    with Store(job.endpoint, read, write(), None, lambda _: None, write, erasures=erasures) as store:
        job.prove(store)
        disarm(store, job.settings, job.actor, job.at, _read_kept_rows(job))
        repeat_erasures(store, erasures)
    db = write()
    try:
        db.rows("PRAGMA journal_mode = DELETE")  # so that no log file is left beside the draft
    finally:
        db.close()
    _sync(draft)


def disarm(
    store: Store, settings: Mapping[str, str | None], actor: str, at: int, kept: _KeptRows = _NOTHING_KEPT
) -> None:
    """End sessions, remove members, hold letters and unsent decisions, and mark every repo as not synced since then.

    `kept` is written after that. The next turn records a stop of unattended work in the ledger, unless the setting in
    the backup says that this was done.
    """
    for member in store.members():
        remove_member(store, member, actor, at)
    with store.writing() as write:
        db = write.db
        for statement in _DISARM_SQL:
            db.run(statement)
        if store.is_shared:
            db.run("DELETE FROM shared_values")
            db.run("UPDATE leases SET holder = '', epoch = epoch + 1 WHERE name IN ('loop', 'messages')")
        if kept.stop is not None:
            db.run("DELETE FROM stop_requests WHERE run = ?", (ALL_RUNS,))
            db.run("INSERT INTO stop_requests (run, action) VALUES (?, ?)", (ALL_RUNS, kept.stop))
        sql = "INSERT INTO policy_authors (digest, actor, member, account) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        db.run_many(sql, kept.authors)
        sql = (
            "INSERT INTO bindings (owner_table, key, user_id) VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET user_id = excluded.user_id"
        )
        db.run_many(sql, kept.bindings)
        for key, value in {**settings, **dict(kept.settings)}.items():
            db.write_setting(key, value)


def _read_kept_rows(job: Restore) -> _KeptRows:
    """Return what stays in force of the store that is replaced; nothing without a readable store."""
    if not job.store.is_file():
        return _NOTHING_KEPT
    with suppress(HfGateError):  # a damaged store is often why a person restores
        db = Sqlite(job.store, writes=False)
        try:
            stop = db.row("SELECT action FROM stop_requests WHERE run = ?", (ALL_RUNS,))
            among, keys = db.in_clause(job.kept_settings)
            settings = db.rows(f"SELECT key, value FROM settings WHERE key {among}", (keys,))
            authors = db.rows("SELECT digest, actor, member, account FROM policy_authors")
            bindings = db.rows("SELECT owner_table, key, user_id FROM bindings")
        finally:
            db.close()
        return _KeptRows(None if stop is None else str(stop[0]), settings, authors, bindings)
    return _NOTHING_KEPT


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
        _link_unless_exists(store, before)
    draft.replace(store)
    return before if is_there else None
