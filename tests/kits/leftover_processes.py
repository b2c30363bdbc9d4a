"""Finds the processes that a test run started and that still run, by a mark in their environment; needs /proc."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MARK: Final = "PYTEST_HF_GATE_RUN"
_PATIENCE: Final = 50  # tenths of a second for a process that is ending anyway
_OWN: Final = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")  # they end with the interpreter


@dataclass(frozen=True, slots=True)
class Leftover:
    """One process. `test`: which test was running when it was started."""

    pid: int
    command: str
    test: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.command}), started in {self.test}"


def mark_children() -> None:
    """Puts a mark of this process into the environment, so that all programs that are started from it carry it."""
    os.environ[_MARK] = f"{os.getpid()}-{uuid.uuid4().hex}"


def end_leftovers() -> list[Leftover]:
    """Ends the processes that are left, after a moment in which they may end by themselves; returns whom that took."""
    left = _list_leftovers()
    if not left:
        threading.Event().wait(0.1)  # a process that has just been started has no environment yet
        left = _list_leftovers()
    for _ in range(_PATIENCE):
        if not left:
            break
        threading.Event().wait(0.1)
        left = _list_leftovers()
    for one in left:
        with suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)
    return left


def _list_leftovers() -> list[Leftover]:
    folders = (folder for folder in Path("/proc").glob("[0-9]*") if folder.name != str(os.getpid()))
    return [one for folder in folders if (one := _leftover(folder)) is not None]


def _leftover(folder: Path) -> Leftover | None:
    """This process, if it is ours and runs. A process may end, or be another user's, while it is looked at."""
    try:
        found = dict(pair.split(b"=", 1) for pair in (folder / "environ").read_bytes().split(b"\0") if b"=" in pair)
        state, parent = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        command = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    is_ours = found.get(_MARK.encode()) == os.environ[_MARK].encode() or int(parent) == os.getpid()
    if state == "Z" or not is_ours or any(name in command for name in _OWN):
        return None
    return Leftover(int(folder.name), command.replace(b"\0", b" ").decode("utf-8", "replace")[:200], _test_of(found))


def _test_of(environment: Mapping[bytes, bytes]) -> str:
    return environment.get(b"PYTEST_CURRENT_TEST", b"no test that is known").decode("utf-8", "replace")
