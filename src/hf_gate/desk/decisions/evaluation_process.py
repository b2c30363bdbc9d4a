"""Evaluates many requests in a process of its own and stores the verdicts there, so that pages do not wait for it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from contextlib import suppress
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, NamedTuple

from hf_gate.config import Settings
from hf_gate.decisions.service.plans.planning import propose_plan
from hf_gate.errors import Guarded, HfGateError
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.rows.processes import find_leader
from hf_gate.verdicts.service.evaluated_parts import RecordOnly
from hf_gate.verdicts.service.evaluation import open_fact_sources
from hf_gate.verdicts.service.evaluation_pool import NICENESS, EvaluationPool, count_to_evaluate
from hf_gate.verdicts.service.policy_bundle import PolicyBundle, load_policies
from hf_gate.workspace.service import bootstrap

MIN_REQUESTS: Final = 1_000  # below this, starting a process costs more than it saves
_END_S: Final = 5.0  # seconds that a process may take to end before it is killed
_FAILED: Final = "hf-gate failed; the log has the traceback."

_log = logging.getLogger("hf_gate.desk")


class _Failure(NamedTuple):
    """Why an evaluation failed. `trace` is for the log, if the error is one of hf-gate itself."""

    message: str
    hint: str = ""
    trace: str = ""


class EvaluationProcess:
    """Evaluates the requests of a desk for which something changed: many in another process, few in this one.

    The other process ends with the evaluation, or with the desk.
    """

    def __init__(self, workspace: Workspace, *, min_requests: int = MIN_REQUESTS) -> None:
        self._workspace = workspace
        self._min_requests = min_requests
        self._process: BaseProcess | None = None
        self._is_stopped = False
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The id of the process that evaluates now; None if there is none."""
        return None if self._process is None else self._process.pid

    def evaluate(self, bundle: PolicyBundle, now: datetime, *, is_new: bool) -> None:
        """Store the verdicts of these policies. Nothing is planned or sent. `is_new`: this desk did not evaluate them
        yet. If a loop leads, it evaluates many requests.

        Raises HfGateError if the evaluation failed or its process ended; what is missing is still to be evaluated then.
        """
        workspace = self._workspace
        if count_to_evaluate(workspace, bundle, now, is_new=is_new) >= self._min_requests:
            if find_leader(workspace.store) is None:
                self._evaluate_apart(bundle, now)
            return
        with workspace.store.hold_write_lock():
            store_verdicts(workspace, bundle, now)

    def stop(self) -> None:
        """End the process, and start no other."""
        with self._lock:
            self._is_stopped = True
            process = self._process
        if process is not None:
            process.terminate()

    def _evaluate_apart(self, bundle: PolicyBundle, now: datetime) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, self._workspace.settings, bundle.digest, now)
        process = context.Process(target=_run, args=arguments, name="hf-gate-evaluation", daemon=True)
        with self._lock:
            if self._is_stopped:
                return
            process.start()
            self._process = process
        theirs.close()
        try:
            failure = ours.recv()
        except EOFError:
            failure = _Failure("the process that evaluates requests ended before it was done.", "It is started again.")
        finally:
            ours.close()
            process.join(_END_S)
            process.kill()
            process.join()
            with self._lock:
                self._process = None
        if failure is not None:
            if failure.trace:
                _log.error("evaluating requests failed: %s", failure.trace)
            raise HfGateError(failure.message, hint=failure.hint)


def store_verdicts(workspace: Workspace, bundle: PolicyBundle, now: datetime) -> None:
    """Evaluate the requests for which something changed, in this process, and store their verdicts."""
    propose_plan(
        workspace.store,
        bundle.for_repos(workspace.store, open_fact_sources(workspace)),
        EvaluationPool(workspace, bundle, processes=1).evaluate,
        now=now,
        policies=bundle.policies,
        sources=open_fact_sources(workspace),
        change_filter=RecordOnly(),
    )


# ---- the other process -----------------------------------------------------------------------------------------------


def _run(pipe: Connection, settings: Settings, digest: str, now: datetime) -> None:
    """Evaluate, and send None, or why it failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the desk, which ends this process
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _evaluate(settings, digest, now)
    except HfGateError as problem:
        pipe.send(_Failure(problem.message, problem.hint))
    except Exception as problem:  # noqa: BLE001 - the desk logs it
        where = "".join(traceback.format_tb(problem.__traceback__))  # the message may quote a request
        pipe.send(_Failure(_FAILED, "Please report it.", f"{type(problem).__name__}\n{where}"))
    else:
        pipe.send(None)


def _evaluate(settings: Settings, digest: str, now: datetime) -> None:
    location = bootstrap.read_location(settings)
    with (
        bootstrap.Connection(settings) as connection,
        bootstrap.connect_workspace(connection, location, lends=True, command="hf-gate ui, evaluation") as workspace,
    ):
        bundle = load_policies(workspace)
        if bundle.digest != digest:
            raise Guarded("the policies changed before their evaluation.", hint="They are evaluated again.")
        store_verdicts(workspace, bundle, now)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        with suppress(OSError):
            parent.join()
        os._exit(1)  # a transaction that is under way is rolled back
