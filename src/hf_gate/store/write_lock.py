"""The right to write to a store: one process has it, and everybody else is told which."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from ..errors import StoreBusy, StoreUnavailable
from ..locks import ProcessLock
from .sql import Postgres

_KEY: Final = 0x68665F67617465  # "hf_gate", for PostgreSQL's advisory locks; the schema is the other half
_STEP: Final = 0.05
_QUIET: Final = 1.0  # seconds of waiting that nobody is told of
_SIZE: Final = 4096  # bytes of a holder file: it is always written whole, by one call


OnWait: TypeAlias = Callable[[str, float], None]
"""Told once, when a lock is not free soon: who holds it, and how many seconds it is waited for."""


def ignore_wait(holder: str, seconds: float) -> None:
    """Tell nobody."""


class Lock(Protocol):
    """A right that is held until it is given back, or until the process ends, however it ends. `wait`: how long to wait for it."""

    wait: float

    def busy_error(self) -> StoreBusy: ...
    def acquire(self, wait: float | None = None) -> bool: ...
    def hand_back(self) -> None: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lock, for the message to others. `command`: such as `hf-gate run`, without arguments."""

    pid: int
    host: str = ""
    command: str = ""

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        return f"pid {self.pid}{where}{f' ({self.command})' if self.command else ''}"


def lock_files(store: Path) -> tuple[Path, Path]:
    """The files beside a store's: the lock, and who holds it. Windows lets nobody read a file that is locked."""
    return store.with_name(f"{store.name}.lock"), store.with_name(f"{store.name}.holder")


class FileLock:
    """A lock file beside the store's, with a second file that names the holder and remembers that a store was made."""

    def __init__(self, store: Path, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait) -> None:
        path, holder = lock_files(store)
        self._store, self._who, self.wait, self._on_wait = store, who, wait, on_wait
        self._turn = secrets.token_hex(8)  # two containers may both be pid 1 of one host
        self._lock = ProcessLock(path)
        try:
            self._acquire(wait)
            self._holder = _open_lock_file(holder)
        except OSError as problem:
            self._lock.release()
            raise StoreUnavailable(f"{path} cannot be locked: {problem.strerror}.") from problem
        self._write_holder(has_store=self.has_store)

    def acquire(self, wait: float | None = None) -> bool:
        """Waits for it, as long as was said in the beginning unless `wait` says otherwise; whether anybody else
        had it since it was given back. StoreBusy when they keep it.
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
        """That somebody else keeps it, and who."""
        return StoreBusy(f"{self._store} is being written by {self._holder_name()}.")

    @property
    def has_store(self) -> bool:
        """Whether a store was opened under it before, by this process or an earlier one. A damaged file counts as yes."""
        return self._read_holder().get("has_store") is not False

    def mark_store_made(self) -> None:
        """From now on it knows of a store."""
        if not self.has_store:
            self._write_holder(has_store=True)

    def _write_holder(self, *, has_store: bool) -> None:
        about = {"pid": self._who.pid, "host": self._who.host[:128], "command": self._who.command[:128]}
        text = json.dumps({**about, "turn": self._turn, "has_store": has_store})
        os.lseek(self._holder, 0, os.SEEK_SET)
        os.write(self._holder, text.encode().ljust(_SIZE - 1) + b"\n")

    def _read_holder(self) -> dict[str, Any]:
        os.lseek(self._holder, 0, os.SEEK_SET)
        return _parse_holder(os.read(self._holder, _SIZE))

    def hand_back(self) -> None:
        """Lets others have it until the next `take`."""
        self._lock.release()

    def release(self) -> None:
        os.close(self._holder)
        self._lock.release()


def read_holder(store: Path) -> Holder | None:
    """The process that holds the lock of a store, or held it last; None when that is not known."""
    try:
        with lock_files(store)[1].open("rb") as file:
            found = _parse_holder(file.read(_SIZE))
        return Holder(int(found["pid"]), str(found["host"]), str(found["command"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _open_lock_file(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o600)


def _parse_holder(data: bytes) -> dict[str, Any]:
    """The content of a holder file; an empty one says that no store was made."""
    if not data:
        return {"has_store": False}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class ServerLock:
    """An advisory lock of the writer's own session; the name of the session says who holds it."""

    _WHICH: Final = "hashtextextended(current_database() || '.' || current_schema(), ?)"

    def __init__(self, db: Postgres, *, wait: float, on_wait: OnWait = ignore_wait) -> None:
        self._db, self.wait, self._on_wait = db, wait, on_wait
        self.acquire()

    def acquire(self, wait: float | None = None) -> bool:
        """As that of a file does; here nobody knows whether others had it, so they may have."""
        limit = self.wait if wait is None else wait
        start, is_told = time.monotonic(), False
        take = f"SELECT pg_try_advisory_lock({self._WHICH})"
        while not (found := self._db.row(take, (_KEY,))) or not found[0]:
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
            (_KEY,),
        )
        return str(holder[0]) if holder else "another process"

    def busy_error(self, holder: str = "another process") -> StoreBusy:
        """That somebody else keeps it."""
        return StoreBusy(f"{self._db.at} is being written by {holder}.")

    def hand_back(self) -> None:
        """Lets others have it until the next `take`."""
        self._db.row(f"SELECT pg_advisory_unlock({self._WHICH})", (_KEY,))

    def release(self) -> None:
        """Ends with the session."""
