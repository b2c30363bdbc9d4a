"""Executes runs one after the other in a thread, and keeps their progress for pages.

Only two things about a run are not in the store: that this process executes it, and which error ended it. Only these
are lost if the process dies.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

from hf_gate.approvals.service.approvals import ApprovalCheck
from hf_gate.core.people.members import Member
from hf_gate.core.runs import ChangeState, RunEvent, RunState
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.service.runs.run_executor import make_executor
from hf_gate.errors import HfGateError
from hf_gate.hub.credentials import name_token_source
from hf_gate.members.service.members import Membership
from hf_gate.settings.service.workspace import Workspace

_log = logging.getLogger("hf_gate.desk")
_MAX_JOBS: Final = 100  # ended runs whose errors are kept


class RunJob(Struct):
    """A run in this process."""

    run: str
    begin: Callable[[], RunRow] | None = None  # stores the run
    has_started: bool = False
    stop_request: str | None = None
    problem: str | None = None
    hint: str = ""
    is_over: bool = False
    stored: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


class RunWorker:
    """Executes queued runs one at a time, since they share the limits of one token."""

    def __init__(self, workspace: Workspace, membership: Membership) -> None:
        self._workspace = workspace
        self._membership = membership
        self._jobs: OrderedDict[str, RunJob] = OrderedDict()
        self._waiting: deque[RunJob] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_ending = False

    # ---- used by pages -----------------------------------------------------------------------------------------------

    def find_job(self, run: str) -> RunJob | None:
        """Return the job of a run, even if the run has ended; None if this process no longer has it or never had it."""
        return self._jobs.get(run)

    def is_live(self, run: str) -> bool:
        """Return whether a run is executed or queued in this process."""
        job = self._jobs.get(run)
        return job is not None and not job.is_over

    def describe_state(self, run: RunRow) -> str:
        """Return the state of a run, also if a dead process could not store it."""
        if self.is_live(run.id):
            return "running"
        if run.state is not RunState.READY:
            return run.state
        counts = self._workspace.store.count_changes(run.id)
        return "not begun" if set(counts) <= {ChangeState.PLANNED} else RunState.INTERRUPTED

    def enqueue(self, run: str, begin: Callable[[], RunRow] | None = None) -> RunJob:
        """Queue a run; `begin` stores it first. A run that is queued or executed already is returned as it is."""
        with self._changed:
            known = self._jobs.get(run)
            if known is not None and not known.is_over:
                return known
            job = self._jobs[run] = RunJob(run, begin)
            self._jobs.move_to_end(run)
            while len(self._jobs) > _MAX_JOBS and next(iter(self._jobs.values())).is_over:
                self._jobs.popitem(last=False)
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="hf-gate-runs", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return job

    def stop_runs_of(self, member: Member) -> None:
        """Stop the runs of a member: nothing more is sent, but unknown outcomes are read back."""
        for run in self._workspace.store.runs_of(member.id):
            self._workspace.store.request_stop(run.id, RunEvent.STOP)
            self.enqueue(run.id)

    def stop(self, wait: float = 10.0) -> None:
        """Pause the current run after its batch and start no other."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(wait)

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_ending)
                if self._is_ending:
                    return
                job = self._waiting.popleft()
            try:
                with self._workspace.store.hold_write_lock():  # others must not take this run for an interrupted one
                    self._execute(job)
            except HfGateError as problem:
                job.problem = str(problem)
                job.hint = name_token_source(problem.hint, "the desk")
            except Exception:  # noqa: BLE001 - without the thread no further run would be executed
                _log.exception("run %s failed", job.run)
                job.problem = "hf-gate failed; the log has the traceback."
                job.hint = "Please report it."
            job.is_over = True
            job.stored.set()
            job.ended.set()

    def _execute(self, job: RunJob) -> None:
        store = self._workspace.store
        run = job.begin() if job.begin is not None else store.run(job.run)
        job.begin = None
        job.stored.set()
        if run is None or run.id != job.run or run.is_over or self._is_ending:
            return
        job.has_started = True

        def read_stop_request() -> str | None:
            job.stop_request = RunEvent.PAUSE if self._is_ending else store.stop_request(job.run)
            if job.stop_request != RunEvent.PAUSE and not self._membership.can_continue(run):
                job.stop_request = RunEvent.STOP
            return job.stop_request

        make_executor(
            self._workspace,
            ApprovalCheck(self._workspace),
            read_stop_request=read_stop_request,
        ).execute(run)
