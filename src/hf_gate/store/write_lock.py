"""The locks of a store: one process at a time writes to it, and one does each kind of work; others
see which one it is.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from hf_gate.base.locks import ProcessLock
from hf_gate.base.private_files import make_private_folder
from hf_gate.errors import StoreBusy, StoreUnavailable

from .sql import Postgres
from .store_path import is_on_server, parse_path

_KEY: Final = 0x68665F67617465  # "hf_gate", the seed of PostgreSQL's lock key; database and schema are hashed with it
_STEP: Final = 0.05
_QUIET: Final = 1.0  # seconds to wait before `on_wait` is called
_SIZE: Final = 4096  # bytes of a holder file; fixed, so that one call writes the whole file


OnWait: TypeAlias = Callable[[str, float], None]
"""Called once if a lock is not free after a second, with the holder and the longest time to wait in seconds."""


def ignore_wait(holder: str, seconds: float) -> None:
    """Do nothing while a lock is waited for."""


class Lock(Protocol):
    """A lock that is held until it is handed back or the process ends.

    `wait` is the number of seconds to wait for it.
    """

    wait: float

    def busy_error(self) -> StoreBusy: ...
    def acquire(self, wait: float | None = None) -> bool: ...
    def hand_back(self) -> None: ...
    def release(self) -> None: ...


class Holder(Struct, frozen=True):
    """The process that holds the lock, as shown to others.

    `command` is for example `hf-gate run`, without arguments.
    """

    pid: int
    host: str = ""
    command: str = ""

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        return f"pid {self.pid}{where}{f' ({self.command})' if self.command else ''}"


def lock_files(store: Path) -> tuple[Path, Path]:
    """Return the lock file and the holder file of a store.

    There are two, because Windows lets nobody read a locked file.
    """
    return store.with_name(f"{store.name}.lock"), store.with_name(f"{store.name}.holder")


class FileLock:
    """A lock file next to the store. A second file names the holder and records that a store has been made."""

    def __init__(
        self, store: Path, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait, what: str | None = None
    ) -> None:
        path, holder = lock_files(store)
        self._store = store
        self._who = who
        self.wait = wait
        self._on_wait = on_wait
        self._what = f"{store} is being written" if what is None else what
        self._turn = secrets.token_hex(8)  # a pid is not enough: two containers on one host may both have pid 1
        self._lock = ProcessLock(path)
        try:
            self._acquire(wait)
            self._holder = _open_lock_file(holder)
        except OSError as problem:
            self._lock.release()
            raise StoreUnavailable(f"{path} cannot be locked: {problem.strerror}.") from problem
        try:
            self._write_holder(has_store=self.has_store)
        except StoreUnavailable:
            os.close(self._holder)
            raise

    def acquire(self, wait: float | None = None) -> bool:
        """Acquire the lock, waiting at most `wait` seconds (default: those of the constructor).

        Return whether another process had the lock since it was handed back. Raise StoreBusy on timeout.
        """
        self._acquire(self.wait if wait is None else wait)
        if self._read_holder().get("turn") == self._turn:
            return False
        self._write_holder(has_store=self.has_store)
        return True

    def _acquire(self, wait: float) -> None:
        if self._lock.acquire(min(wait, _QUIET)):
            return
        if wait > _QUIET:
            self._on_wait(self._holder_name(), wait)
            if self._lock.acquire(wait - _QUIET):
                return
        raise self.busy_error()

    def _holder_name(self) -> str:
        return str(read_holder(self._store) or "another process")

    def busy_error(self) -> StoreBusy:
        """Build the error that names the holder."""
        return StoreBusy(f"{self._what} by {self._holder_name()}.")

    @property
    def has_store(self) -> bool:
        """Whether a process opened a store under this lock before. A damaged holder file counts as yes."""
        return self._read_holder().get("has_store") is not False

    def mark_store_made(self) -> None:
        """Record that a store has been made."""
        if not self.has_store:
            self._write_holder(has_store=True)

    def _write_holder(self, *, has_store: bool) -> None:
        about = {"pid": self._who.pid, "host": self._who.host[:128], "command": self._who.command[:128]}
        text = json.dumps({**about, "turn": self._turn, "has_store": has_store})
        try:
            os.lseek(self._holder, 0, os.SEEK_SET)
            os.write(self._holder, text.encode().ljust(_SIZE - 1) + b"\n")
        except OSError as problem:  # a full disk, for example
            self._lock.release()
            raise StoreUnavailable(f"{self._store} cannot be written: {problem.strerror}.") from problem

    def _read_holder(self) -> dict[str, Any]:
        os.lseek(self._holder, 0, os.SEEK_SET)
        return _parse_holder(os.read(self._holder, _SIZE))

    def hand_back(self) -> None:
        """Let others have the lock until the next `acquire`."""
        self._lock.release()

    def release(self) -> None:
        os.close(self._holder)
        self._lock.release()


def read_holder(store: Path) -> Holder | None:
    """Return the process that holds or last held the lock of a store; None if unknown."""
    try:
        with lock_files(store)[1].open("rb") as file:
            holder = _parse_holder(file.read(_SIZE))
        return Holder(int(holder["pid"]), str(holder["host"]), str(holder["command"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _open_lock_file(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o600)


def _parse_holder(data: bytes) -> dict[str, Any]:
    """Return the content of a holder file. An empty file means that no store was made."""
    if not data:
        return {"has_store": False}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class ServerLock:
    """An advisory lock of the writer's database session. The name of the session identifies the holder."""

    _WHICH: Final = "hashtextextended(current_database() || '.' || current_schema() || ?, ?)"

    def __init__(
        self, db: Postgres, *, wait: float, on_wait: OnWait = ignore_wait, name: str = "", what: str | None = None
    ) -> None:
        self._db = db
        self.wait = wait
        self._on_wait = on_wait
        self._key = (name and f".{name}", _KEY)
        self._what = f"{db.at} is being written" if what is None else what
        self.acquire()

    def acquire(self, wait: float | None = None) -> bool:
        """Acquire the lock. Return True: the server does not record whether another process had the lock meanwhile."""
        limit = self.wait if wait is None else wait
        start = time.monotonic()
        is_told = False
        take = f"SELECT pg_try_advisory_lock({self._WHICH})"
        while not (found := self._db.row(take, self._key)) or not found[0]:
            waited = time.monotonic() - start
            if waited >= limit:
                raise self.busy_error(self._holder_name())
            if waited >= _QUIET and not is_told:
                is_told = True
                self._on_wait(self._holder_name(), limit)
            time.sleep(_STEP)
        return True

    def _holder_name(self) -> str:
        holder = self._db.row(
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32) + l.objid::bigint"
            f" = {self._WHICH}",
            self._key,
        )
        return str(holder[0]) if holder else "another process"

    def busy_error(self, holder: str = "another process") -> StoreBusy:
        """Build the error that names the holder."""
        return StoreBusy(f"{self._what} by {holder}.")

    def hand_back(self) -> None:
        """Let others have the lock until the next `acquire`."""
        self._db.row(f"SELECT pg_advisory_unlock({self._WHICH})", self._key)

    def release(self) -> None:
        """Do nothing: the lock ends with the session."""


# ---- kinds of work ---------------------------------------------------------------------------------------------------


class Work(StrEnum):
    """A kind of work that one process at a time does with a store, whatever the clock says."""

    MESSAGES = "messages"
    LOOP = "loop"


_DOING: Final[Mapping[Work, str]] = {
    Work.MESSAGES: "messages are being sent",
    Work.LOOP: "`hf-gate run` was already started in this workspace",
}


@contextmanager
def hold_work_lock(place: str, who: Holder, work: Work, wait: float = 0.0) -> Iterator[None]:
    """Keep other processes from this work within the block; raise StoreBusy if one has done it for `wait` seconds.

    A process that lives keeps the lock, and the lock of a process that died is free at once.
    """
    if is_on_server(place):
        with closing(Postgres(place, writes=False, name=f"hf-gate {who}"[:63])) as db:
            ServerLock(db, wait=wait, name=work, what=_DOING[work])
            yield
        return
    path = parse_path(place)
    make_private_folder(path.parent)
    lock = FileLock(path.with_name(f"{path.name}.{work}"), who, wait=wait, what=_DOING[work])
    try:
        yield
    finally:
        lock.release()
