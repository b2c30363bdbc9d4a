"""The locks of a store: one process at a time writes to it, and one does each kind of work; others
see which one it is.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from hf_gate.base.locks import ProcessLock
from hf_gate.errors import StoreBusy, StoreUnavailable

from .sql import Database

QUIET_S: Final = 1.0  # seconds to wait before `on_wait` is called
_SIZE: Final = 4096  # bytes of a holder file; fixed, so that one call writes the whole file


OnWait: TypeAlias = Callable[[str, float], None]
"""Called once if a lock is not free after a second, with the holder and the longest time to wait in seconds."""


def ignore_wait(holder: str, seconds: float) -> None:
    """Do nothing while a lock is waited for."""


class Lock(Protocol):
    """The right to write several transactions in a row, until it is handed back or the process ends.

    `wait` is the number of seconds to wait for it. `begin` begins a write transaction and returns whether another
    process may have written since the last one; `is_holder`: this thread holds the lock. If `is_shared`, short
    transactions pass beside the process that holds the lock. `seconds_to_call` says how long a call to the Hub may last
    that starts now.
    """

    wait: float
    is_shared: bool

    def busy_error(self) -> StoreBusy: ...
    def acquire(self, wait: float | None = None) -> bool: ...
    def hand_back(self) -> None: ...
    def release(self) -> None: ...
    def begin(self, db: Database, *, is_holder: bool) -> bool: ...
    def seconds_to_call(self) -> float: ...


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

    is_shared = False

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
        if self._lock.acquire(min(wait, QUIET_S)):
            return
        if wait > QUIET_S:
            self._on_wait(self._holder_name(), wait)
            if self._lock.acquire(wait - QUIET_S):
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

    def begin(self, db: Database, *, is_holder: bool) -> bool:  # noqa: ARG002 - whoever writes holds the lock
        """Begin a write transaction. Return False: `acquire` tells whether another process wrote."""
        db.begin()
        return False

    def seconds_to_call(self) -> float:
        """Return how long a call may last: without limit, because the lock cannot be lost."""
        return math.inf


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


# ---- kinds of work ---------------------------------------------------------------------------------------------------


class Work(StrEnum):
    """A kind of work that one process at a time does with a store.

    On SQLite, a process does it while it holds a lock of a file; on PostgreSQL, while it holds a lease
    (`leases.hold_work_lock`).
    """

    STORE = "store"  # several transactions in a row, such as a sync or a run
    MESSAGES = "messages"
    LOOP = "loop"


DOING: Final[Mapping[Work, str]] = {
    Work.STORE: "the store is being written",
    Work.MESSAGES: "messages are being sent",
    Work.LOOP: "`hf-gate run` was already started in this workspace",
}
