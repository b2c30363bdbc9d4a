"""Stores that fail at a chosen step, and run executors that omit one duty, so that checks are seen to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events import events as e
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.requests import AccessRequest, Decision, Target
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.service.runs.run_executor import RunExecutor
from hf_gate.errors import StoreUnavailable

if TYPE_CHECKING:
    from hf_gate.store.store import Store
else:
    Store = object  # these wrap a store and hand on what they do not override


class KilledError(BaseException):
    """Stands for a process that is no more: nobody handles it."""


def disk_full() -> StoreUnavailable:
    """What the store raises when the disk is full."""
    return StoreUnavailable("the disk is full; nothing was written.")


class FailingStore(Store):
    """A store whose n-th transaction from now (1, 2, ...) and all after it fail: `before`, `in` it just before its commit,
    or `after` it. `times` 1: that one only, as on a disk where somebody made room.
    """

    def __init__(
        self,
        store: Any,
        at: int,
        when: str = "in",
        error: Callable[[], BaseException] = KilledError,
        *,
        times: int = 1_000_000,
    ) -> None:
        self._store, self._at, self._when, self._error, self._last = store, at, when, error, at + times - 1
        self.count, self.is_dead = 0, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def die(self) -> None:
        """From now on nothing is written, as by a process that is no more."""
        self.is_dead = True
        raise self._error()

    @property
    def has_failed(self) -> bool:
        return self.count >= self._at

    @contextmanager
    def writing(self, *, is_short: bool = False, wait: float | None = None) -> Iterator[Any]:
        self.count += 1
        bad = self._at <= self.count <= self._last
        if self.is_dead or (bad and (self._when == "before" or self.count > self._at)):
            raise self._error()
        with self._store.writing(is_short=is_short, wait=wait) as write:
            yield write
            if bad and self._when == "in":
                raise self._error()
        if bad and self._when == "after":
            raise self._error()


class HalfSettlingStore(Store):
    """A store whose process dies in the transaction that settles: when the outcome is in the ledger, and the change is not."""

    def __init__(self, store: Any, die: Callable[[], None]) -> None:
        self._store, self._die = store, die

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def writing(self, *, is_short: bool = False, wait: float | None = None) -> Iterator[Any]:
        with self._store.writing(is_short=is_short, wait=wait) as write:
            yield _HalfSettlingWriter(write, self._die)


class _HalfSettlingWriter:
    def __init__(self, write: Any, die: Callable[[], None]) -> None:
        self._write, self._die = write, die

    def __getattr__(self, name: str) -> Any:
        return getattr(self._write, name)

    def append(self, repo: Repo | None, entries: Sequence[e.LedgerEntry]) -> None:
        self._write.append(repo, entries)
        if any(isinstance(entry.event, e.ChangeSettled) and entry.event.kind == OutcomeKind.DONE for entry in entries):
            self._die()


# ---- executors that omit a duty -----------------------------------------------------------------------------------------------


class AssumingExecutor(RunExecutor):
    """Does not read what became of started changes: takes them all for done."""

    def settle_started(self, run: RunRow) -> None:
        self._mark(run, "done")

    def _mark(self, run: RunRow, kind: str) -> None:
        at, left = to_ms(self.clock.now()), self.store.changes(run.id, ("started", "open"))
        if not left:  # as the real one, which writes nothing then: both die at the same write
            return
        known = self.store.requests([row.request for row in left if row.request])
        with self.store.writing() as write:
            for row in left:
                request = known[row.request or 0]
                event = e.ChangeSettled(run=run.id, kind=kind, after=request.state.open_after or "")
                entry = e.LedgerEntry(event=event, at=at, actor=run.actor, request=request.id, person=request.person.id)
                write.append(row.repo, [entry])
            write.set_change_states(run.id, [(row.n, "planned" if kind == "deferred" else kind, "") for row in left])


class ResendingExecutor(AssumingExecutor):
    """Sends again whatever was started, without a look at where people stand by now."""

    def __init__(self, store: Any, hub: Any, *more: Any, **named: Any) -> None:
        super().__init__(store, _StaleHub(hub), *more, **named)

    def settle_started(self, run: RunRow) -> None:
        self._mark(run, "deferred")


@dataclass(frozen=True)
class _FoundRequests:
    requests: Mapping[int, AccessRequest] = field(default_factory=dict)
    complete: bool = True


class WrappedHub:
    """A Hub that is handed on as it is."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)


class _StaleHub(WrappedHub):
    """A Hub of which one believes that everybody stands where they stood."""

    def find_many(self, repo: Repo, targets: Sequence[Target]) -> _FoundRequests:  # noqa: ARG002 - the place of a Hub's
        return _FoundRequests({n: target.request for n, target in enumerate(targets) if target.request is not None})


class OptimisticExecutor(RunExecutor):
    """Takes a lost answer for a good one."""

    def __init__(self, store: Any, hub: Any, *more: Any, **named: Any) -> None:
        super().__init__(store, _OptimisticHub(hub), *more, **named)


class _OptimisticHub(WrappedHub):
    def decide_many(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]:
        for outcome in self._hub.decide_many(repo, decisions):
            yield replace(outcome, kind=OutcomeKind.DONE, error=None) if outcome.kind is OutcomeKind.OPEN else outcome


class UnrecordedExecutor(RunExecutor):
    """Writes no intents."""

    def __init__(self, store: Any, *more: Any, **named: Any) -> None:
        super().__init__(_WithoutIntents(store), *more, **named)


class _WithoutIntents(Store):
    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def writing(self, *, is_short: bool = False, wait: float | None = None) -> Iterator[Any]:
        with self._store.writing(is_short=is_short, wait=wait) as write:
            yield _WriteWithoutIntents(write)


class _WriteWithoutIntents:
    def __init__(self, write: Any) -> None:
        self._write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._write, name)

    def append(self, repo: Repo | None, entries: Sequence[e.LedgerEntry]) -> None:
        self._write.append(repo, [entry for entry in entries if not isinstance(entry.event, e.ChangeStarted)])

    def set_change_states(self, run: str, states: Sequence[tuple[int, str, str]]) -> None:
        self._write.set_change_states(run, [one for one in states if one[1] != "started"])


WRONG_EXECUTORS = {
    "believing": AssumingExecutor,
    "blind": ResendingExecutor,
    "hopeful": OptimisticExecutor,
    "hasty": UnrecordedExecutor,
}
"""Each must be caught by the checks of `invariants`."""
