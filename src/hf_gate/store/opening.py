"""Opens a store: whose it is, who may write, whether it is whole, and of which shape; nothing is written before all is well."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from ..domain.requests import AccessRequest
from ..errors import ForeignStore, StoreDamaged, StoreTooNew, StoreUnavailable, UsageError
from .locking import FileLock, Lock, ServerLock
from .reading import Store
from .sql import Database, Postgres, Sqlite
from .versions import HEAD, REVISIONS

_WAIT: Final = 5.0
_CHECK_STEPS: Final = 20_000_000  # of SQLite's machine: about a second


def open_store(
    where: str | Path,
    *,
    endpoint: str,
    world: str | None = None,
    create: bool = True,
    read_only: bool = False,
    pid: int | None = None,
    host: str = "",
    wait: float = _WAIT,
    country_of: Callable[[AccessRequest], str | None] = lambda _: None,
) -> Store:
    """The store at a path, `sqlite:///PATH` or `postgresql://...`, of one Hub (`world`: of one run of a local Hub).

    Opened for writing unless `read_only`; then nobody else may write, and whoever tries waits `wait` seconds and gets
    `StoreBusy` naming us. `country_of` reads the country of a request, which `country:` in queries asks for.
    """
    who = f"pid {os.getpid() if pid is None else pid}{' on ' + host if host else ''}"
    text = str(where)
    if text.startswith(("postgresql://", "postgres://")):
        return _open_postgres(
            text, endpoint, world, create=create, read_only=read_only, who=who, wait=wait, country_of=country_of
        )
    path = path_of(where)
    return _open_sqlite(
        path, endpoint, world, create=create, read_only=read_only, who=who, wait=wait, country_of=country_of
    )


def path_of(where: str | Path) -> Path:
    """The file that a store's address means; `sqlite:///desk.db` is relative, `sqlite:////srv/desk.db` is not."""
    text = str(where)
    if text.startswith("sqlite:///"):
        return Path(unquote(text.removeprefix("sqlite:///").partition("?")[0]))
    if "://" in text:
        raise UsageError(
            f"a store is kept at sqlite:///PATH or postgresql://..., not at {text.partition('://')[0]}://."
        )
    return Path(where)


# ---- SQLite ------------------------------------------------------------------------------------------------------------


def _open_sqlite(
    path: Path,
    endpoint: str,
    world: str | None,
    *,
    create: bool,
    read_only: bool,
    who: str,
    wait: float,
    country_of: Callable[[AccessRequest], str | None],
) -> Store:
    is_new = _look_at(path, create=create and not read_only)
    lock: Lock | None = None if read_only else FileLock(path.with_name(path.name + ".lock"), who, wait=wait)
    db: Database | None = None
    try:
        if is_new:
            _make_file(path)
        db = Sqlite(path, writes=not read_only)
        _ready(db, endpoint, world, path=path, read_only=read_only)
        if read_only:
            db.close()
        return Store(
            endpoint,
            lambda: Sqlite(path, writes=False),
            None if read_only else db,
            lock,
            country_of,
            lambda: Sqlite(path, writes=True),
        )
    except BaseException:
        if db is not None:
            db.close()
        if lock is not None:
            lock.release()
        raise


def _look_at(path: Path, *, create: bool) -> bool:
    """Whether a file must be made; refuses whatever is no file of ours."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        if not create:
            raise StoreUnavailable(f"there is no store at {path}.", hint="hf-gate sync REPO makes one.") from None
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return True
    except OSError as problem:
        raise StoreUnavailable(f"{path} cannot be opened: {problem.strerror}.") from problem
    if not stat.S_ISREG(found.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no file"
        raise StoreUnavailable(f"{path} is {kind}; a store is opened where it lies.", hint="Give the path of the file.")
    if found.st_mode & 0o077 and found.st_uid == os.geteuid():
        path.chmod(0o600)
    return found.st_size == 0 and create


def _make_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600))
    except OSError as problem:
        raise StoreUnavailable(f"{path} cannot be made: {problem.strerror}.") from problem


# ---- PostgreSQL --------------------------------------------------------------------------------------------------------


def _open_postgres(
    url: str,
    endpoint: str,
    world: str | None,
    *,
    create: bool,
    read_only: bool,
    who: str,
    wait: float,
    country_of: Callable[[AccessRequest], str | None],
) -> Store:
    db = Postgres(url, writes=not read_only, name=f"hf-gate {who}"[:63])
    try:
        lock = None if read_only else ServerLock(db, wait=wait)
        _ready(db, endpoint, world, path=None, read_only=read_only or not create)
        reader_name = f"hf-gate reader of {who}"[:63]
        if read_only:
            db.close()
        return Store(
            endpoint,
            lambda: Postgres(url, writes=False, name=reader_name),
            None if read_only else db,
            lock,
            country_of,
            lambda: Postgres(url, writes=True, name=reader_name),
        )
    except BaseException:
        db.close()
        raise


# ---- both --------------------------------------------------------------------------------------------------------------


def _ready(db: Database, endpoint: str, world: str | None, *, path: Path | None, read_only: bool) -> None:
    """Makes what is new, brings up what is old, and refuses what is damaged, too new or of another Hub."""
    revision = _revision(db)
    if revision is None:
        if read_only:
            raise StoreUnavailable(f"there is no store in {db.at} yet.", hint="hf-gate sync REPO makes one.")
        from .making import make  # noqa: PLC0415 - SQLAlchemy is slow to import, and most openings need none

        make(db, {"endpoint": endpoint} | ({"world": world} if world else {}))
        return
    if revision not in REVISIONS:
        raise StoreTooNew(f"{db.at} was made by a newer hf-gate (its shape is {revision}, this one knows {HEAD}).")
    if isinstance(db, Sqlite) and not read_only:
        _check(db)
    _belongs(db, endpoint, world)
    if revision != HEAD:
        if read_only:
            raise StoreUnavailable(f"{db.at} has an older shape.", hint="Any command that writes brings it up to date.")
        from .making import upgrade  # noqa: PLC0415 - as above

        upgrade(db, path, revision)


def _revision(db: Database) -> str | None:
    """The shape of the store; None when there is nothing at all."""
    if isinstance(db, Sqlite):
        tables = {row[0] for row in db.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    else:
        tables = {row[0] for row in db.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")}
    if not tables:
        return None
    if "alembic_version" not in tables or "about" not in tables:
        raise StoreDamaged(
            f"{db.at} holds something else than a store of hf-gate; it was left alone.", hint="Name another file."
        )
    found = db.row("SELECT version_num FROM alembic_version")
    return None if found is None else str(found[0])


def _belongs(db: Database, endpoint: str, world: str | None) -> None:
    about: dict[str, str] = dict(db.rows("SELECT key, value FROM about"))
    theirs = about.get("endpoint")
    if theirs != endpoint:
        raise ForeignStore(f"{db.at} belongs to {theirs}, not to {endpoint}; nothing was read or written.")
    if about.get("world") != world:
        raise ForeignStore(f"{db.at} belongs to another local Hub at {endpoint}, one that was started before.")


def _check(db: Sqlite) -> None:
    """Looks for damage as far as a second allows; `hf-gate audit verify` looks at everything."""
    steps = 0

    def enough() -> bool:
        nonlocal steps
        steps += 1
        return steps > _CHECK_STEPS // 100_000

    db.raw.set_progress_handler(enough, 100_000)
    try:
        found = db.interruptible("PRAGMA quick_check(1)")
    finally:
        db.raw.set_progress_handler(None, 0)
    if found is not None and found != "ok":
        raise StoreDamaged(f"{db.at} is damaged: {found}.")
