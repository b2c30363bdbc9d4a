"""The right to write to a store: one process has it, and everybody else is told which."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, Protocol

from ..errors import StoreBusy, StoreUnavailable
from .sql import Postgres

_KEY: Final = 0x68665F67617465  # "hf_gate", for PostgreSQL's advisory locks; the schema is the other half
_STEP: Final = 0.05


class Lock(Protocol):
    """A right that is held until it is given back, or until the process ends, however it ends."""

    def release(self) -> None: ...


class FileLock:
    """A lock file beside the store's. It stays when the lock goes, so that two can never lock two different files."""

    def __init__(self, path: Path, who: str, *, wait: float) -> None:
        import fcntl  # noqa: PLC0415 - not everywhere

        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._file = os.open(path, flags, 0o600)
        except OSError as problem:
            raise StoreUnavailable(f"{path} cannot be made: {problem.strerror}.") from problem
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    holder = os.pread(self._file, 200, 0).decode("ascii", "replace").strip()
                    os.close(self._file)
                    raise StoreBusy(
                        f"{path.with_suffix('')} is being written by {holder or 'another process'}."
                    ) from None
                time.sleep(_STEP)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{who}\n".encode("ascii", "replace"), 0)

    def release(self) -> None:
        os.close(self._file)


class ServerLock:
    """An advisory lock of the writer's own session; the name of the session says who holds it."""

    def __init__(self, db: Postgres, *, wait: float) -> None:
        end = time.monotonic() + wait
        take = "SELECT pg_try_advisory_lock(hashtextextended(current_database() || '.' || current_schema(), ?))"
        while not (found := db.row(take, (_KEY,))) or not found[0]:
            if time.monotonic() >= end:
                holder = db.row(
                    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
                    " WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32) + l.objid::bigint"
                    " = hashtextextended(current_database() || '.' || current_schema(), ?)",
                    (_KEY,),
                )
                raise StoreBusy(f"{db.at} is being written by {holder[0] if holder else 'another process'}.")
            time.sleep(_STEP)

    def release(self) -> None:
        """Ends with the session."""
