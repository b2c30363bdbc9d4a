"""Checks policy drafts in separate processes with limits of time and memory, one at a time for each member."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, cast

from ..errors import UsageError
from . import draft_worker
from .draft_worker import Draft, DraftReport, T, WorkerFault, WorkerTask

_log = logging.getLogger("hf_gate.web")
_MAX_DRAFTS: Final = 20  # drafts that one process checks in turn
_MAX_REPORTS: Final = 100  # versions of saved policies whose report is cached
_RETRY_STOPPED_AFTER: Final = 300.0  # seconds until a saved policy that was stopped is checked again
_MAX_START: Final = 60.0  # seconds that a process may take to start, on a busy machine


class DraftBusy(UsageError):
    """Another draft of the same member is still being checked."""

    default_hint = "Wait for it, then try again."


class DraftStopped(UsageError):
    """A draft was stopped because it exceeded a limit."""

    default_hint = "Use fewer lists inside lists, fewer names of `let`, or fewer tests."


class DraftFailed(DraftStopped):
    """A draft failed because of an error in hf-gate."""

    default_hint = "Please report it."


class _FileReport(NamedTuple):
    """The result of checking a saved policy; a stopped one is not checked again before `until` (monotonic)."""

    result: DraftReport | DraftStopped
    until: float


class DraftPool:
    """A pool of draft processes. `seconds` and `memory` (bytes) are the limits of one draft."""

    def __init__(self, seconds: float = 10.0, memory: int = 512 << 20) -> None:
        self.seconds, self.memory = seconds, memory
        self._lock, self._busy = threading.Lock(), set[str]()
        self._file_turn, self._reports = threading.Lock(), dict[bytes, _FileReport]()
        self._spare: DraftProcess | None = None  # starting a process takes longer than most drafts

    @contextmanager
    def acquire(self, member: str) -> Iterator[DraftProcess]:
        """Provide a process for a draft of a member. Raises DraftBusy while another draft of theirs is checked."""
        with self._lock:
            if member in self._busy:
                raise DraftBusy("Another draft of yours is still being checked.")
            self._busy.add(member)
            spare, self._spare = self._spare, None
        try:
            process = self._start(spare)
            try:
                process.begin()
                yield process
            finally:
                self._put_back(process)
        finally:
            with self._lock:
                self._busy.discard(member)

    def check_saved_policy(self, draft: Draft) -> DraftReport:
        """Check a saved policy within the limits of a draft, once for each version.

        Raises DraftStopped, for some minutes without checking again: each visitor would wait for the time limit.
        """
        key = hashlib.sha256(repr(draft).encode()).digest()
        with self._file_turn:
            known = self._reports.get(key)
            if known is None or (isinstance(known.result, DraftStopped) and time.monotonic() > known.until):
                known = self._reports[key] = _FileReport(
                    self._check_file(draft), time.monotonic() + _RETRY_STOPPED_AFTER
                )
                while len(self._reports) > _MAX_REPORTS:
                    self._reports.pop(next(iter(self._reports)))
        if isinstance(known.result, DraftStopped):
            raise known.result
        return known.result

    def _check_file(self, draft: Draft) -> DraftReport | DraftStopped:
        try:
            with self.acquire("") as process:
                return process.perform(draft)
        except DraftStopped as stopped:
            return stopped

    def close(self) -> None:
        """End the process that is kept for the next draft."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.end()

    def _start(self, spare: DraftProcess | None) -> DraftProcess:
        if spare is not None and spare.is_usable(self.seconds, self.memory):
            return spare
        if spare is not None:
            spare.end()
        return DraftProcess(self.seconds, self.memory)

    def _put_back(self, process: DraftProcess) -> None:
        """Keep one usable process for the next draft, and end the others."""
        with self._lock:
            if self._spare is None and process.is_usable(self.seconds, self.memory):
                self._spare = process
                return
        process.end()


class DraftProcess:
    """One process. Each method raises DraftStopped when time or memory have run out."""

    def __init__(self, seconds: float, memory: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, (round(seconds) + 1) * _MAX_DRAFTS + 10, memory)
        self._process = context.Process(target=draft_worker.serve, args=arguments, name="hf-gate-draft", daemon=True)
        self._process.start()
        theirs.close()
        self._seconds, self._memory, self._until = seconds, memory, time.monotonic() + _MAX_START
        self._drafts, self._is_stopped, self._used_at = 0, False, time.monotonic()

    def is_usable(self, seconds: float, memory: int) -> bool:
        """Return whether the process can check another draft within these limits."""
        is_fresh = self._drafts < _MAX_DRAFTS and time.monotonic() - self._used_at < draft_worker.MAX_IDLE / 2
        is_same = (self._seconds, self._memory) == (seconds, memory)
        return is_same and is_fresh and not self._is_stopped and self._process.is_alive()

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()

    def begin(self) -> None:
        """Wait until the process is ready, then start the time limit of a draft."""
        if not self._drafts and self._receive() != draft_worker.READY:
            raise AssertionError("a process first reports that it is ready")
        self._drafts += 1
        self._until = time.monotonic() + self._seconds

    def perform(self, task: WorkerTask[T]) -> T:
        """Return the answer to a task."""
        try:
            self._pipe.send(task)
        except OSError:
            self._is_stopped = True
            raise DraftStopped("The draft needed too much memory or time and was stopped.") from None
        return cast("T", self._receive())

    def _receive(self) -> object:
        if not self._pipe.poll(max(0.0, self._until - time.monotonic())):
            self._is_stopped = True
            raise DraftStopped(f"The draft took longer than {self._seconds:g} s and was stopped.")
        try:
            self._used_at = time.monotonic()
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._is_stopped = True
            raise DraftStopped("The draft needed too much memory or time and was stopped.") from None
        if isinstance(answer, WorkerFault):
            _log.error("checking a draft failed: %s", answer.where)
            raise DraftFailed("hf-gate failed to try the draft; the log has the traceback.")
        return answer
