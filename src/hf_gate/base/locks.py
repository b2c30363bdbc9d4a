"""Locks between processes on every operating system, and announcement files of running processes."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any


class ProcessLock:
    """A file lock that one process holds until it releases it or ends.

    The file stays after the release, so that two processes can never lock two different files. Raises OSError if the
    file cannot be created or the file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock, Timeout

        self._timeout: type[Exception] = Timeout
        self._lock = FileLock(path, mode=0o600, thread_local=False, preserve_lock_file=True, fallback_to_soft=False)

    def acquire(self, wait: float = 0.0) -> bool:
        """Acquire the lock; return False if another process held it for `wait` seconds."""
        try:
            self._lock.acquire(timeout=wait, poll_interval=0.05)
        except self._timeout:
            return False
        return True

    def release(self) -> None:
        """Release the lock. Do nothing if this process does not hold it."""
        self._lock.release(force=True)


def is_held(path: Path) -> bool:
    """Return whether a running process may hold the lock at a path. An unreadable lock counts as held."""
    return _probe(path) is not False


def _probe(path: Path) -> bool | None:
    """Return whether a running process holds the lock at a path; None if the lock is unreadable."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        lock = ProcessLock(path)
        is_free = lock.acquire()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    lock.release()
    return not is_free


def read_announcement(path: Path) -> dict[str, Any] | None:
    """Return the content of an announcement file; None if its process has ended (see `bootstrap.publish_process`)."""
    try:
        found = json.loads(path.read_bytes())
        lock = path.with_name(str(found["lock"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return dict(found) if _probe(lock) else None
