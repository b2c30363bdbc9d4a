"""The right to write to a store: one process has it, and everybody else is told which."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Final, Protocol

from ..errors import StoreBusy, StoreUnavailable
from .sql import Postgres

_KEY: Final = 0x68665F67617465  # "hf_gate", for PostgreSQL's advisory locks; the schema is the other half
_STEP: Final = 0.05
_MADE: Final = b"a store is here\n"


class Lock(Protocol):
    """A right that is held until it is given back, or until the process ends, however it ends. `wait`: how long to wait for it."""

    wait: float

    def busy(self) -> StoreBusy: ...
    def take(self, wait: float | None = None) -> bool: ...
    def give(self) -> None: ...
    def release(self) -> None: ...


class FileLock:
    """A lock file beside the store's. It stays when the lock goes, so that two can never lock two different files."""

    def __init__(self, path: Path, who: str, *, wait: float) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        self._path, self._who, self.wait = path, f"{who}\n".encode("ascii", "replace"), wait
        self._sign = f"{secrets.token_hex(8)}\n".encode()  # two containers may both be pid 1 of one host
        try:
            self._file = os.open(path, flags, 0o600)
        except OSError as problem:
            raise StoreUnavailable(f"{path} cannot be made: {problem.strerror}.") from problem
        try:
            self.take()
        except BaseException:
            os.close(self._file)
            raise

    def take(self, wait: float | None = None) -> bool:
        """Waits for it, as long as was said in the beginning unless `wait` says otherwise; whether anybody else
        had it since it was given back. StoreBusy when they keep it.
        """
        import fcntl  # noqa: PLC0415 - not everywhere

        end = time.monotonic() + (self.wait if wait is None else wait)
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise self.busy() from None
                time.sleep(_STEP)
        if self._rest().endswith(self._sign):
            return False
        self._write(has_store=self.has_store)
        return True

    def busy(self) -> StoreBusy:
        """That somebody else keeps it, and who."""
        holder = self._holder().decode("ascii", "replace").strip()
        return StoreBusy(f"{self._path.with_suffix('')} is being written by {holder or 'another process'}.")

    @property
    def has_store(self) -> bool:
        """Whether a store was opened under it before, now or by whoever had it."""
        return self._rest().startswith(_MADE)

    def mark(self) -> None:
        """From now on it knows of a store."""
        if not self.has_store:
            self._write(has_store=True)

    def _write(self, *, has_store: bool) -> None:
        text = self._who + (_MADE if has_store else b"") + self._sign
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))

    def _holder(self) -> bytes:
        """Who has it, or had it last."""
        return os.pread(self._file, 400, 0).partition(b"\n")[0] + b"\n"

    def _rest(self) -> bytes:
        return os.pread(self._file, 400, 0).partition(b"\n")[2]

    def give(self) -> None:
        """Lets others have it until the next `take`."""
        import fcntl  # noqa: PLC0415 - as above

        fcntl.flock(self._file, fcntl.LOCK_UN)

    def release(self) -> None:
        os.close(self._file)


class ServerLock:
    """An advisory lock of the writer's own session; the name of the session says who holds it."""

    _WHICH: Final = "hashtextextended(current_database() || '.' || current_schema(), ?)"

    def __init__(self, db: Postgres, *, wait: float) -> None:
        self._db, self.wait = db, wait
        self.take()

    def take(self, wait: float | None = None) -> bool:
        """As that of a file does; here nobody knows whether others had it, so they may have."""
        end = time.monotonic() + (self.wait if wait is None else wait)
        take = f"SELECT pg_try_advisory_lock({self._WHICH})"
        while not (found := self._db.row(take, (_KEY,))) or not found[0]:
            if time.monotonic() >= end:
                holder = self._db.row(
                    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
                    " WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32) + l.objid::bigint"
                    f" = {self._WHICH}",
                    (_KEY,),
                )
                raise self.busy(holder[0] if holder else "another process")
            time.sleep(_STEP)
        return True

    def busy(self, holder: str = "another process") -> StoreBusy:
        """That somebody else keeps it."""
        return StoreBusy(f"{self._db.at} is being written by {holder}.")

    def give(self) -> None:
        """Lets others have it until the next `take`."""
        self._db.row(f"SELECT pg_advisory_unlock({self._WHICH})", (_KEY,))

    def release(self) -> None:
        """Ends with the session."""
