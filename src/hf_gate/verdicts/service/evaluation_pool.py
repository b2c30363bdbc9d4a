"""Evaluates long lists of requests with one process per core.

The results and their order are the same as in one process.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime
from typing import Final, Self

import msgspec
from msgspec import Struct

from hf_gate.base.decoding import make_msgpack_decoder
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.stored_rows import ListRange
from hf_gate.errors import Guarded
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.rows.evaluations import count_due

from .evaluated_parts import EvaluatedPart, PlanBuffer, evaluate_part
from .evaluation import RepoPolicies, open_fact_sources
from .policy_bundle import PolicyBundle, load_policies

POOL_THRESHOLD: Final = 20_000  # requests in one list; below this, starting processes costs more than it saves
PART_SIZE: Final = 5_000  # requests that a process evaluates before it returns results
_AHEAD: Final = 2  # parts in flight per process; limits the memory for results
_MAX_PROCESSES: Final = 8
NICENESS: Final = 5  # of processes of the desk: pages come first where all cores are busy; not 19, because people wait


class EvaluationPool:
    """Evaluates the lists of one workspace with one policy bundle. The processes start at the first long list."""

    def __init__(
        self,
        workspace: Workspace,
        bundle: PolicyBundle,
        *,
        processes: int | None = None,
        threshold: int = POOL_THRESHOLD,
        part_size: int = PART_SIZE,
    ) -> None:
        """`processes` defaults to the number of cores.

        Lists of fewer than `threshold` requests are evaluated in this process.
        """
        self._workspace = workspace
        self._bundle = bundle
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._count = min(_MAX_PROCESSES, processes or cores or 1)
        self._threshold = threshold
        self._part_size = part_size
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes after their current parts. Without this call, they end with this process."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def evaluate(
        self, policy_set: RepoPolicies, status: str, now: datetime, buffer: PlanBuffer
    ) -> Iterator[EvaluatedPart]:
        """Yield the results of one list part by part, the oldest requests first."""
        workspace = self._workspace
        reopen = workspace.reopen
        parts = self._split(policy_set.repo, status)
        if not parts or reopen is None:
            yield from evaluate_part(
                workspace.store, policy_set, open_fact_sources(workspace), status, now, buffer=buffer
            )
            return
        tasks = (_Task(str(policy_set.repo), status, now, part, buffer.newest, buffer.should_record) for part in parts)
        for packed in self._in_order(_evaluate_part, tasks, reopen):
            yield from _unpack(packed)

    def _split(self, repo: Repo, status: str) -> list[ListRange]:
        """Return the parts of a list; none if this process evaluates it."""
        row = self._workspace.store.repo(repo)
        is_short = row is None or row.counts.get(status, 0) < self._threshold
        if is_short or self._count < 2:
            return []
        cuts = self._workspace.store.split_points(repo, status, self._part_size)
        return list(zip((None, *cuts), (*cuts, None), strict=True))

    def _in_order(
        self, work: Callable[[_Task], bytes], tasks: Iterable[_Task], reopen: Callable[[], Workspace]
    ) -> Iterator[bytes]:
        if self._pool is None:  # reused for the next list
            context = multiprocessing.get_context("spawn")
            arguments = (reopen, self._bundle.digest)
            self._pool = ProcessPoolExecutor(self._count, context, _start_worker, arguments)
        waiting: deque[Future[bytes]] = deque()
        for task in tasks:
            waiting.append(self._pool.submit(work, task))
            if len(waiting) > self._count * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def count_to_evaluate(workspace: Workspace, bundle: PolicyBundle, now: datetime, *, is_new: bool) -> int:
    """Return how many requests must be evaluated: all that these policies judge if they are new, which
    may be too many.
    """
    store = workspace.store
    found = 0
    statuses = {status for policy in bundle.policies for status in policy.judges}
    for row in store.repos():
        for status in statuses if bundle.is_governed(row.repo) else ():
            waiting = row.counts.get(status, 0)
            found += waiting if is_new else count_due(store, row.id, status, to_ms(now), most=waiting)
    return found


class _Task(Struct, frozen=True):
    """A part of a list, to be evaluated as of one moment."""

    repo: str
    status: str
    now: datetime
    part: ListRange
    newest: int | None  # time in ms; the plan has no room for changes of newer requests
    should_record: bool  # whether new verdicts are recorded in the ledger


class _EvaluationWorker:
    """Evaluates parts in another process. Forms are reread for each moment, because a sync may have changed them."""

    def __init__(self, reopen: Callable[[], Workspace], digest: str) -> None:
        self._workspace = reopen()
        self._bundle = load_policies(self._workspace)
        self._is_same = self._bundle.digest == digest
        self._policy_sets: dict[str, RepoPolicies] = {}
        self._now: datetime | None = None

    def evaluate(self, task: _Task) -> list[EvaluatedPart]:
        store = self._workspace.store
        sources = open_fact_sources(self._workspace)
        buffer = PlanBuffer(newest=task.newest, should_record=task.should_record)
        return list(evaluate_part(store, self._policies_of(task), sources, task.status, task.now, task.part, buffer))

    def _policies_of(self, task: _Task) -> RepoPolicies:
        if not self._is_same:
            raise Guarded("the policies changed during the evaluation; nothing was planned.", hint="Run it again.")
        if self._now != task.now:
            sources = open_fact_sources(self._workspace)
            self._policy_sets = {
                str(policy_set.repo): policy_set
                for policy_set in self._bundle.for_repos(self._workspace.store, sources)
            }
            self._now = task.now
        return self._policy_sets[task.repo]


_workers: list[_EvaluationWorker] = []  # at most one bundle per process


def _start_worker(reopen: Callable[[], Workspace], digest: str) -> None:
    gc.set_threshold(100_000, *gc.get_threshold()[1:])  # requests form no cycles, and GC takes time
    _workers.append(_EvaluationWorker(reopen, digest))


def _evaluate_part(task: _Task) -> bytes:
    return _pack(_workers[0].evaluate(task))


_pack = msgspec.msgpack.Encoder().encode  # pickle would take a third of the evaluation's time
_unpack = make_msgpack_decoder(list[EvaluatedPart]).decode
