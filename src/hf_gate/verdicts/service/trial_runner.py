"""Tries drafts on all waiting requests in the background: one draft of each member, and one at a time."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hf_gate.core.policy_model import Policy
from hf_gate.errors import HfGateError
from hf_gate.settings.service.workspace import Workspace

from .draft_trials import TrialTally, load_draft
from .evaluation import open_fact_sources
from .evaluation_pool import EvaluationPool

_log = logging.getLogger("hf_gate.web")
MIN_REQUESTS: Final = 1_000  # of one list; fewer are tried in this process
MAX_SECONDS: Final = 600.0  # of one trial
_VALID_S: Final = 300.0  # seconds for which the result of the same draft is shown again


class TrialState(StrEnum):
    """How far a trial is."""

    RUNNING = "running"
    DONE = "done"
    LATE = "late"  # it took too long, so some requests were not tried
    REPLACED = "replaced"  # by a newer draft of the same member
    FAILED = "failed"


def key_of_draft(text: str) -> str:
    """Return what recognises the text of a draft."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


@dataclass
class FullTrial:
    """The trial of one draft on all `total` waiting requests. `basis` has the digests of the policies and tables of the
    desk.

    `is_saved`: the draft was saved when the trial began, so that the verdicts of the desk change meanwhile and are not
    compared.
    """

    key: str
    basis: Sequence[str]
    policy: Policy
    part_size: int
    total: int
    is_saved: bool = False
    tally: TrialTally = field(default_factory=TrialTally)
    state: TrialState = TrialState.RUNNING
    problem: str = ""
    thread: threading.Thread | None = None
    _begun: float = field(default_factory=time.monotonic)

    @property
    def is_valid(self) -> bool:
        """Whether there is a result of now that compares the draft with the desk."""
        is_new = time.monotonic() - self._begun < MAX_SECONDS + _VALID_S
        return is_new and self.state is TrialState.DONE and not self.is_saved

    @property
    def is_running(self) -> bool:
        """Whether the result is still to come."""
        return self.state is TrialState.RUNNING


class TrialRunner:
    """Runs the trials of a desk. A newer draft of the same member ends the older trial."""

    def __init__(
        self, workspace: Workspace, *, min_requests: int = MIN_REQUESTS, max_seconds: float = MAX_SECONDS
    ) -> None:
        self._workspace = workspace
        self._max_seconds = max_seconds
        self._min_requests = min_requests
        self._trials: dict[str, FullTrial] = {}
        self._lock = threading.Condition()
        self._is_busy = False  # one trial uses all cores

    def find(self, member: str, key: str) -> FullTrial | None:
        """Return the latest trial of a member if it is of this draft."""
        trial = self._trials.get(member)
        return trial if trial is not None and trial.key == key else None

    def start(self, member: str, trial: FullTrial) -> FullTrial:
        """Start a trial, unless the same draft is being tried."""
        trial.thread = threading.Thread(target=self._work, args=(trial,), name="hf-gate-trial", daemon=True)
        with self._lock:
            known = self._trials.get(member)
            if known is not None and known.is_running:
                if (known.key, known.basis) == (trial.key, trial.basis):
                    return known
                known.state = TrialState.REPLACED
                self._lock.notify_all()
            self._trials[member] = trial
            trial.thread.start()
        return trial

    def stop(self, wait: float = 10.0) -> None:
        """End the trials after their current parts."""
        with self._lock:
            running = [trial for trial in self._trials.values() if trial.is_running]
            for trial in running:
                trial.state = TrialState.REPLACED
            self._lock.notify_all()
        for trial in running:
            if trial.thread is not None:
                trial.thread.join(wait)

    def _work(self, trial: FullTrial) -> None:
        try:
            if self._wait_for_turn(trial):
                self._take_turn(trial)
        except HfGateError as problem:
            self._fail(trial, f"{problem} {problem.hint or ''}".strip())
        except BrokenProcessPool:
            self._fail(trial, "A process that tries the draft ended. Try again.")
        except Exception:  # noqa: BLE001 - the page shows that it failed; the log has the traceback
            _log.exception("trying a draft failed")
            self._fail(trial, "hf-gate failed; the log has the traceback.")

    def _wait_for_turn(self, trial: FullTrial) -> bool:
        """Wait until no other trial runs, and take the turn; return False if the trial was replaced meanwhile."""
        with self._lock:
            self._lock.wait_for(lambda: not self._is_busy or not trial.is_running)
            self._is_busy = self._is_busy or trial.is_running
            return trial.is_running

    def _take_turn(self, trial: FullTrial) -> None:
        try:
            self._try_all(trial)
        finally:
            with self._lock:
                self._is_busy = False
                self._lock.notify_all()

    def _fail(self, trial: FullTrial, problem: str) -> None:
        trial.problem = problem
        trial.state = TrialState.FAILED

    def _try_all(self, trial: FullTrial) -> None:
        workspace = self._workspace
        bundle = load_draft(workspace, trial.policy)
        policy_sets = bundle.for_repos(workspace.store, open_fact_sources(workspace))
        now = workspace.now()
        end = time.monotonic() + self._max_seconds
        with EvaluationPool(
            workspace, bundle, threshold=self._min_requests, part_size=trial.part_size, draft=trial.policy
        ) as pool:
            for policy_set in policy_sets:
                with closing(pool.try_draft(policy_set, now)) as parts:
                    for part in parts:
                        trial.tally.merge(part)
                        if trial.is_running and time.monotonic() >= end:
                            trial.state = TrialState.LATE
                        if not trial.is_running:
                            return
        trial.state = TrialState.DONE
