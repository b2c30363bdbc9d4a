"""Sends decisions from the tray when they are due, and syncs with the Hub."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from hf_gate.approvals.service.approval_alarms import raise_approval_alarms
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.desk.app_state import AppState
from hf_gate.errors import HfGateError, StoreBusy, StoreTooNew, UsageError
from hf_gate.hub.client import is_token_refused
from hf_gate.messages.service.message_sending import drain_workspace
from hf_gate.messages.service.notifications import report_token, store_destinations
from hf_gate.requests.service.sync import sync_repo
from hf_gate.requests.sync_schedule import MAX_PAUSE, MIN_PAUSE, choose_sync, minimum_pause, next_pause
from hf_gate.settings.service.workspace import CONFIG_FILE, Workspace
from hf_gate.store.rows.tray import list_begun_decision_runs, list_due_decisions
from hf_gate.verdicts.service.policy_bundle import PolicyBundle
from hf_gate.verdicts.service.policy_watcher import describe_other_files
from hf_gate.workspace.service import bootstrap

from .evaluation_process import EvaluationProcess

_log = logging.getLogger("hf_gate.desk")
# seconds between two syncs while the desk is in use
_DESK_MIN_PAUSE: Final = 15.0
_DESK_MAX_PAUSE: Final = 60.0
_TICK: Final = 0.25  # seconds between two checks of the tray
_NOTICE_PAUSE: Final = 5.0  # seconds between two looks at the outbox
_RECOVER_EVERY: Final = 30.0  # seconds between two attempts to settle decisions that a crash left unknown
_CHECK_EVERY: Final = 5.0  # seconds between two checks of the token, and whether a newer hf-gate changed the store
_REPORT_EVERY: Final = 3600.0  # seconds between two reports of a token that cannot be used
_REFUSED: Final = "the Hub refuses its token."


@dataclass
class BackgroundWorker:
    """The threads of a desk: for the tray, the sync, and notices if there are destinations.

    `repos` returns the repos to sync each time. `follow_token` uses the token that its source holds now. `end` ends the
    desk when it cannot go on, because of `fault`.
    """

    app_state: AppState
    repos: Callable[[], Sequence[Repo]]
    follow_token: Callable[[], None] = lambda: None
    end: Callable[[], None] = lambda: None
    fault: HfGateError | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _sync_requested: threading.Event = field(default_factory=threading.Event)
    _evaluated_bundle: PolicyBundle | None = None
    _reported_problem: str | None = ""  # of the token; empty: none was reported yet, not even that there is none
    _token_reported_at: float = 0.0
    _has_unevaluated: bool = False  # whether a sync found changes that no evaluation has seen
    _evaluation: EvaluationProcess = field(init=False)

    def __post_init__(self) -> None:
        self._evaluation = EvaluationProcess(self.app_state.workspace)

    def start(self) -> None:
        works = [("hf-gate-tray", self._run_tray), ("hf-gate-reader", self._run_sync)]
        if self.app_state.workspace.location.folder is not None:
            works.append(("hf-gate-notices", self._run_notices))
        for name, work in works:
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, wait: float = 10.0) -> None:
        """Finish what is in progress and end; unsent decisions stay in the tray."""
        self._stop.set()
        self._evaluation.stop()
        self._sync_requested.set()
        self.app_state.wake.set()
        end = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.1, end - time.monotonic()))

    def request_sync(self) -> None:
        """Sync as soon as possible."""
        self._sync_requested.set()

    # ---- the tray ----------------------------------------------------------------------------------------------------

    def _run_tray(self) -> None:
        recovered_at = -_RECOVER_EVERY
        checked_at = -_CHECK_EVERY
        workspace = self.app_state.workspace
        service = self.app_state.tray_service
        failure: str | None = None
        while not self._stop.is_set():
            try:
                if time.monotonic() - checked_at >= _CHECK_EVERY:
                    workspace.store.check_program()
                    self.check_token()
                    checked_at = time.monotonic()
                if time.monotonic() - recovered_at >= _RECOVER_EVERY:
                    if list_begun_decision_runs(workspace.store):
                        with workspace.store.hold_write_lock():
                            service.recover()
                    recovered_at = time.monotonic()
                if list_due_decisions(workspace.store, to_ms(workspace.now())):
                    with workspace.store.hold_write_lock():
                        service.send_due(workspace.now())
                if failure is not None and service.problem == failure:
                    service.problem = None
                failure = None
            except StoreTooNew as problem:
                self.fault = problem
                self.end()
                return
            except Exception as problem:  # noqa: BLE001 - without the thread nothing would be sent any more
                failure = service.problem = _describe_failure("sending from the tray", problem)
            self.app_state.wake.wait(_TICK)
            self.app_state.wake.clear()

    def check_token(self) -> None:
        """Use the token that its source holds now, and store as an incident that it cannot be used.

        Raises UsageError if it cannot be read, or belongs to another account: nothing is sent then.
        """
        workspace = self.app_state.workspace
        wrong: UsageError | None = None
        try:
            self.follow_token()
        except UsageError as found:
            wrong = found
        is_refused = is_token_refused(workspace.hub)
        if wrong is not None or is_refused is not None:
            problem = str(wrong) if wrong is not None else _REFUSED if is_refused else None
            self.app_state.token_problem = problem
            is_old = time.monotonic() - self._token_reported_at >= _REPORT_EVERY
            if problem != self._reported_problem or (problem is not None and is_old):
                report_token(workspace.store, problem, to_ms(workspace.now()))
                self._reported_problem = problem
                self._token_reported_at = time.monotonic()
        if wrong is not None:
            raise wrong

    # ---- notices -----------------------------------------------------------------------------------------------------

    def _run_notices(self) -> None:
        workspace = self.app_state.workspace
        location = self.app_state.workspace.location
        known: tuple[int, int] | None = None
        bootstrap.keep_config(workspace.settings, location)
        while not self._stop.is_set():
            try:
                if (now := _fingerprint_config(workspace)) != known:
                    location = bootstrap.read_last_location(workspace.settings)
                    known = now if store_destinations(workspace, location) else None
                if location.config.notify:
                    drain_workspace(workspace, location, should_stop=self._stop.is_set)
            except StoreBusy:  # the process that holds the store sends them
                pass
            except (HfGateError, OSError) as problem:
                _log.warning("notices were not sent: %s", problem)
            except Exception:  # noqa: BLE001 - without the thread nothing would be sent any more
                _log.exception("notices were not sent")
            self._stop.wait(_NOTICE_PAUSE)

    # ---- sync --------------------------------------------------------------------------------------------------------

    def _run_sync(self) -> None:
        pause = _DESK_MIN_PAUSE
        least = _DESK_MIN_PAUSE
        while not self._stop.is_set():
            self.app_state.sync_status.is_syncing = True
            try:
                pause = self._next_pause(pause, found=self.sync_repos())
                least = max(_DESK_MIN_PAUSE, minimum_pause(*self._read_limits()))
            except Exception as problem:  # noqa: BLE001 - without the thread nothing would be synced any more
                self.app_state.sync_status.problem = _describe_failure("the sync", problem)
            self.app_state.sync_status.is_syncing = False
            now = self.app_state.now()
            self.app_state.sync_status.next_at = now + timedelta(seconds=pause)
            self.app_state.sync_status.programs_wait_until = now + timedelta(seconds=least)
            if self._sync_requested.wait(pause):
                self._sync_requested.clear()
                pause = _DESK_MIN_PAUSE

    def _next_pause(self, before: float, *, found: bool) -> float:
        """Return the seconds until the next sync: few while the desk is in use, within a share of the Hub's quota."""
        shortest, longest = (_DESK_MIN_PAUSE, _DESK_MAX_PAUSE) if self.app_state.is_in_use else (MIN_PAUSE, MAX_PAUSE)
        calls, quota, window = self._read_limits()
        return next_pause(
            before, has_news=found, calls=calls, quota=quota, window=window, shortest=shortest, longest=longest
        )

    def _read_limits(self) -> tuple[int, float | None, float | None]:
        """Return the calls of a sync, with those of all processes of this token, and the token's quota and window."""
        workspace = self.app_state.workspace
        outlook = workspace.hub.outlook()
        calls = 4 * max(1, len(workspace.store.repos())) * workspace.store.sharers
        return calls, outlook.quota, outlook.window_s

    def sync_repos(self) -> bool:
        """Sync all repos once, check their acceptances and evaluate the policies; return whether anything was found.

        What fails is done in the next call.
        """
        app_state = self.app_state
        found = False
        problem = None
        repos = self.repos()
        for repo in repos:
            if self._stop.is_set():
                return found
            try:
                with app_state.workspace.store.hold_write_lock():
                    workspace = app_state.workspace
                    store = app_state.workspace.store
                    due = choose_sync(store.repo(repo), to_ms(app_state.now()))
                    synced = sync_repo(workspace.hub, store, workspace.clock, repo, due.kind, actor=app_state.owner)
                found |= bool(synced.change_count)
                self._has_unevaluated |= found
            except HfGateError as trouble:
                problem = f"{repo}: {trouble}"
                self._has_unevaluated = True  # pages before the error are stored
        app_state.sync_status.problem = problem
        if problem is None:
            app_state.sync_status.synced_at = app_state.now()
        try:
            with app_state.workspace.store.hold_write_lock():
                raise_approval_alarms(app_state.workspace, repos, lambda: app_state.policies.current)
        finally:
            self._evaluate_policies()
        return found

    def _evaluate_policies(self) -> None:
        """Store new verdicts, so that the queue can be filtered by them. Nothing is planned or sent."""
        bundle = self.app_state.policies.current
        if bundle is None or (not self._has_unevaluated and self._evaluated_bundle is bundle):
            return
        if describe_other_files(self.app_state.workspace.store, bundle) is not None:
            return
        now = self.app_state.workspace.now()
        self._evaluation.evaluate(bundle, now, is_new=self._evaluated_bundle is not bundle)
        self._evaluated_bundle = bundle
        self._has_unevaluated = False


def _describe_failure(what: str, problem: Exception) -> str:
    """Return what a page says about a failure in a thread; the log has what it does not say."""
    if isinstance(problem, HfGateError):
        return str(problem)
    if isinstance(problem, OSError):  # for example no free file descriptor
        _log.warning("%s failed: %s", what, problem.strerror)
        return f"this machine: {problem.strerror}"
    _log.error("%s failed", what, exc_info=problem)
    return "hf-gate failed; the log has the traceback"


def _fingerprint_config(workspace: Workspace) -> tuple[int, int] | None:
    """Return the time and size of hf-gate.yaml, which the owner may edit while the desk is open."""
    folder = workspace.location.folder
    about = None if folder is None else (folder / CONFIG_FILE).stat()
    return None if about is None else (about.st_mtime_ns, about.st_size)
