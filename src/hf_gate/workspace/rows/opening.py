"""Opens a store after checking its owner, lock, integrity and schema. Nothing is written before all checks pass."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from hf_gate.base.private_files import make_private_folder
from hf_gate.core.events.classification import RequestClassifier
from hf_gate.core.requests import AccessRequest
from hf_gate.errors import ForeignStore, StoreDamaged, StoreMissing, StoreUnavailable
from hf_gate.privacy.rows.erasure_file import FILE_NAME, find_pending, needs_erasures
from hf_gate.store.database.schema import (
    MIGRATIONS,
    check_program,
    create_schema,
    list_revisions,
    read_about_schema,
    read_revision,
    upgrade_schema,
)
from hf_gate.store.leases import LeaseKeeper, LeaseLock, hold_work_lock
from hf_gate.store.sql import Database, Postgres, Sqlite
from hf_gate.store.store import Store
from hf_gate.store.store_path import is_on_server, parse_path
from hf_gate.store.write_lock import FileLock, Holder, Lock, OnWait, ignore_wait, lock_files

WAIT_S: Final = 5.0
_MAX_CHECK_S: Final = 0.3  # enough for about 100 MB


class _OpenOptions(Struct, frozen=True):
    """The arguments of `open_store`."""

    endpoint: str
    world: str | None
    can_create: bool
    is_read_only: bool
    lends_lock: bool
    who: Holder
    wait: float
    on_wait: OnWait
    on_upgrade: Callable[[str], None]
    country_of: Callable[[AccessRequest], str | None]
    load_classifier: Callable[[], RequestClassifier] | None
    migrations: Path
    erasures: Path | None
    keeper: LeaseKeeper | None


def open_store(
    where: str | Path,
    *,
    endpoint: str,
    world: str | None = None,
    create: bool = True,
    read_only: bool = False,
    lends: bool = False,
    pid: int | None = None,
    host: str = "",
    command: str = "",
    wait: float = WAIT_S,
    on_wait: OnWait = ignore_wait,
    on_upgrade: Callable[[str], None] = lambda _: None,
    country_of: Callable[[AccessRequest], str | None] = lambda _: None,
    load_classifier: Callable[[], RequestClassifier] | None = None,
    migrations: Path = MIGRATIONS,
    erasures: Path | None = None,
    keeper: LeaseKeeper | None = None,
) -> Store:
    """Open the store at a path, `sqlite:///PATH` or `postgresql://...`, of one Hub.

    `world` identifies one run of a local Hub. Unless `read_only`, only this process may write. If another process holds
    the lock, opening waits `wait` seconds, then raises a `StoreBusy` that names the holder. With `lends`, others may
    write while this process does not (`Store.hold_write_lock`). `on_upgrade` gets one line if the store was upgraded.
    `country_of` reads the country of a request for
    `country:` in queries; `load_classifier` is called when the first request is written, for `quality:`, `mail:` and
    `same:`. `erasures` is the file with the hashes of erased people; by default, it is beside the file of the store.
    Erasures that the store does not contain are repeated. On PostgreSQL, `keeper` has leases that outlive this store.
    """
    who = Holder(os.getpid() if pid is None else pid, host, command)
    options = _OpenOptions(
        endpoint,
        world,
        create and not read_only,
        read_only,
        lends,
        who,
        wait,
        on_wait,
        on_upgrade,
        country_of,
        load_classifier,
        migrations,
        erasures,
        keeper,
    )
    if is_on_server(where):
        return _open_postgres(str(where), options)
    return _open_sqlite(parse_path(where), options)


# ---- SQLite ----------------------------------------------------------------------------------------------------------


def _open_sqlite(path: Path, options: _OpenOptions) -> Store:
    is_new = _check_path(path, create=options.can_create)
    lock: FileLock | None = None
    db: Database | None = None
    try:
        if not options.is_read_only:
            lock = FileLock(path, options.who, wait=options.wait, on_wait=options.on_wait)
            is_new = _check_path(
                path, create=options.can_create
            )  # the previous holder of the lock may have removed the store
        if is_new:
            _make_file(path)
        db = Sqlite(path, writes=not options.is_read_only)
        _prepare(db, path, options, had_store=lock is not None and lock.has_store)
        if lock is not None:
            lock.mark_store_made()
        erasures = options.erasures or path.with_name(FILE_NAME)
        if options.is_read_only:
            _refuse_pending_erasures(db, erasures)
            db.close()
            db = None
        read = partial(Sqlite, path, writes=False)
        write = partial(Sqlite, path, writes=True)
        return _finish_opening(str(path), options, read, db, lock, write, erasures)
    except BaseException:
        if db is not None:
            db.close()
        if lock is not None:
            lock.release()
        raise


def _check_path(path: Path, *, create: bool) -> bool:
    """Return whether the file must be created; refuse anything but a regular file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        if not create:
            raise StoreMissing(f"there is no store at {path}.") from None
        make_private_folder(path.parent)
        return True
    except OSError as problem:
        raise StoreUnavailable(f"{path} cannot be opened: {problem.strerror}.") from problem
    if not stat.S_ISREG(found.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a file"
        raise StoreUnavailable(f"{path} is {kind}.", hint="Give the path of the store's file itself.")
    if found.st_mode & 0o077 and hasattr(os, "geteuid") and found.st_uid == os.geteuid():
        path.chmod(0o600)
    return found.st_size == 0 and create


def _make_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    except OSError as problem:
        raise StoreUnavailable(f"{path} cannot be created: {problem.strerror}.") from problem


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------


def _open_postgres(url: str, options: _OpenOptions) -> Store:
    db = Postgres(url, writes=not options.is_read_only, name=f"hf-gate {options.who}"[:63])
    lock: LeaseLock | None = None
    try:
        _prepare(db, None, options)
        if options.is_read_only:
            _refuse_pending_erasures(db, options.erasures)
            db.close()
        else:
            keeper = options.keeper or LeaseKeeper(url, options.who)
            is_own = options.keeper is None
            lock = LeaseLock(keeper, db.at, wait=options.wait, on_wait=options.on_wait, is_own=is_own)
            if not options.lends_lock or needs_erasures(db, options.erasures):
                lock.acquire()

        def connect(*, writes: bool) -> Database:
            return Postgres(url, writes=writes, name=f"hf-gate beside {options.who}"[:63])

        read = partial(connect, writes=False)
        write = partial(connect, writes=True)
        own = None if options.is_read_only else db
        return _finish_opening(url, options, read, own, lock, write, options.erasures)
    except BaseException:
        db.close()
        if lock is not None:
            lock.release()
        raise


# ---- both databases --------------------------------------------------------------------------------------------------


def _finish_opening(
    place: str,
    options: _OpenOptions,
    read: Callable[[], Database],
    writes: Database | None,
    lock: Lock | None,
    aside: Callable[[], Database],
    erasures: Path | None,
) -> Store:
    """Return the open store, after the erasures that an older copy of the store misses."""
    store = Store(
        options.endpoint,
        read,
        writes,
        lock,
        options.country_of,
        aside,
        lends=options.lends_lock,
        load_classifier=options.load_classifier,
        erasures=erasures,
        work_lock=lock.hold_work if isinstance(lock, LeaseLock) else partial(hold_work_lock, place, options.who),
    )
    if writes is not None and needs_erasures(writes, erasures):
        from hf_gate.privacy.rows.erasure_repetition import repeat_erasures

        try:
            repeat_erasures(store, erasures)
        except BaseException:
            store.close()
            raise
    return store


def _refuse_pending_erasures(db: Database, erasures: Path | None) -> None:
    if find_pending(db, erasures):
        hint = "A command that writes deletes it, e.g. hf-gate sync."
        raise StoreUnavailable(f"{db.at} is an older copy that still has data of erased people.", hint=hint)


def _prepare(db: Database, path: Path | None, options: _OpenOptions, *, had_store: bool = False) -> None:
    """Create a new store or upgrade an old one. Refuse a store that is damaged, too new, of another Hub, or lost."""
    revision = read_revision(db)
    if revision is None:
        if not options.can_create:
            raise StoreMissing(f"there is no store in {db.at} yet.")
        if had_store:  # a new store would not know who has access until when
            raise StoreDamaged(
                f"{db.at} is empty, but there was a store here before, with the record of all decisions.",
                hint=f"Restore a backup. To start a new store without that record: rm {lock_files(path)[1]}"
                if path
                else "",
            )
        about = {"endpoint": options.endpoint} | ({"world": options.world} if options.world else {})
        create_schema(db, about, options.migrations)
        return
    check_program(read_about_schema(db), db.at, options.migrations)
    if isinstance(db, Sqlite) and not options.is_read_only:
        _check_damage(db)
        db.rows("PRAGMA journal_mode = WAL")  # a copied file may have another mode
    _check_owner(db, options.endpoint, options.world)
    if revision < list_revisions(options.migrations)[-1]:
        if options.is_read_only:
            raise StoreUnavailable(f"{db.at} has an older schema.", hint="Any command that writes upgrades it.")
        options.on_upgrade(upgrade_schema(db, path, revision, options.migrations))


def _check_owner(db: Database, endpoint: str, world: str | None) -> None:
    """Refuse a store of another Hub, or of another run of a local Hub."""
    about: dict[str, str] = dict(db.rows("SELECT key, value FROM about"))
    theirs = about.get("endpoint")
    if theirs != endpoint:
        raise ForeignStore(f"{db.at} belongs to {theirs}, not to {endpoint}; nothing was read or written.")
    if about.get("world") != world:
        raise ForeignStore(f"{db.at} belongs to an earlier local Hub at {endpoint}.")


def _check_damage(db: Sqlite) -> None:
    """Check for damage for at most 0.3 s, which covers a small store completely; `hf-gate audit verify` checks
    everything.
    """
    end = time.monotonic() + _MAX_CHECK_S
    # Without Python code: SQLite clears what a handler raises, and Python raises a Ctrl-C in the first code that runs.
    is_over = map(end.__lt__, iter(time.monotonic, None)).__next__
    db.raw.set_progress_handler(is_over, 1_000)
    try:
        found = db.read_until_interrupted("PRAGMA quick_check(1)")
    finally:
        db.raw.set_progress_handler(None, 0)
    if found is not None and found != "ok":
        raise StoreDamaged(f"{db.at} is damaged: {found}.")
