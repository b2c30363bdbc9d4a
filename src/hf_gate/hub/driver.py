"""Runs a flow, blocking: sends what it asks for, sleeps when it waits, hands on what it emits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ..errors import HubError, OutcomeUnknown
from ..protocol.flows.calling import Flow, T
from ..protocol.messages import (
    Answer,
    AwaitCall,
    AwaitSlot,
    EmitValue,
    FailureReason,
    HubCall,
    NoReply,
    Pause,
    StartCall,
    TakeItems,
)
from .budget import Budget, seconds_left
from .clock import Clock
from .errors import dressed
from .halt import GRACE_S, Halt
from .transport import BlockingTransport


class Driver:
    """The blocking end of one `Hub`."""

    def __init__(self, transport: BlockingTransport, budget: Budget, clock: Clock, max_wait: float | None) -> None:
        self.transport, self.budget, self.clock, self.max_wait = transport, budget, clock, max_wait
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()
        self._halt = Halt()  # set by close

    def run(
        self,
        flow: Flow[Any],
        source: Iterable[Any] = (),
        *,
        done: Callable[[Any], None] | None = None,
        before_change: Callable[[], None] = lambda: None,
    ) -> Generator[Any, None, Any]:
        """What the flow emits, as the caller takes it; its result goes to `done` and is returned.

        `before_change` runs before each call that may change something. After Ctrl-C no further change is sent; the
        flow settles and tells what is under way for at most `GRACE_S`, and then the KeyboardInterrupt is raised.
        """
        self.check_fork()
        if self._halt.is_set:
            raise ValueError("this Hub is closed.")
        run, answer = _Run(self, iter(source), before_change), None
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    if done is not None:
                        done(end.value)
                    run.raise_if_stopped()
                    return end.value
                if isinstance(step, EmitValue):
                    yield step.value
                    answer = None
                else:
                    answer = run.take(step)
        except HubError as error:
            run.raise_if_stopped()
            raise dressed(error) from None
        finally:
            flow.close()
            run.drop()

    def result(self, flow: Flow[T]) -> T:
        """The result of a flow that emits nothing."""
        results: list[T] = []
        for _ in self.run(flow, done=results.append):
            pass
        return results[0]

    def begin(self, send: HubCall, halt: Halt, ticket: Future[Answer]) -> None:
        """Make the call in a thread of its own, made at the first need; the ticket is told the answer."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(16, thread_name_prefix="hf-gate")
        try:
            self._pool.submit(self._carry, send, halt, ticket)
        except RuntimeError:  # closed meanwhile
            ticket.set_result(self._unsent())

    def _carry(self, send: HubCall, halt: Halt, ticket: Future[Answer]) -> None:
        if not ticket.set_running_or_notify_cancel():
            return
        try:
            ticket.set_result(self.exchange(send, halt))
        except BaseException as problem:  # noqa: BLE001 - raised where the ticket is awaited
            ticket.set_exception(problem)

    def exchange(self, send: HubCall, halt: Halt) -> Answer:
        """One paced call."""
        self.check_fork()
        began = self.clock.now()
        answer = self._exchange(send, halt)
        return replace(answer, elapsed=self.clock.now() - began)

    def _exchange(self, send: HubCall, halt: Halt) -> Answer:
        start, limit = time.monotonic(), self._limit(send)
        unsent = self._pace(send, halt)
        if unsent is not None:
            return unsent
        try:
            if self._forbids(send, halt):
                self.budget.dropped(send)
                return self._unsent()
            within = seconds_left(limit, time.monotonic() - start)
            answer = self.transport.exchange(send, lambda: min(halt.until, self._halt.until), within)
        except BaseException:
            self.budget.dropped(send)
            raise
        self.budget.heard(self.clock.now(), send, answer)
        return answer

    def turn(self, send: HubCall, halt: Halt) -> float:
        """When the call could leave, or will not; a wait that is too long is told by the call itself."""
        self._pace(send, halt, goes=False)
        return self.clock.now()

    def _limit(self, send: HubCall) -> float | None:
        return self.max_wait if send.within is None else send.within

    def _pace(self, send: HubCall, halt: Halt, *, goes: bool = True) -> NoReply | None:
        start, limit = self.clock.now(), self._limit(send)
        ticket = self.budget.join(send)
        try:
            while not self._forbids(send, halt):
                wait = self.budget.wait_of(self.clock.now(), send, goes=goes)
                if wait <= 0:
                    return None
                waited = self.clock.now() - start
                if limit is not None and waited + wait > limit:
                    return NoReply(
                        FailureReason.WAIT_TOO_LONG,
                        False,
                        f"it would have to wait {waited + wait:.0f} s for calls to be free",
                    )
                left = max(min(halt.until, self._halt.until) - time.monotonic(), 0.0)
                self.budget.rest(min(self.clock.real(wait), left), lambda: self._forbids(send, halt))
            return self._unsent()
        finally:
            self.budget.leave(ticket)

    def _forbids(self, send: HubCall, halt: Halt) -> bool:
        return any(one.forbids(changes=send.is_change) for one in (halt, self._halt))

    def _unsent(self) -> NoReply:
        why = "the client was closed" if self._halt.is_set else "the run was stopped"
        return NoReply(FailureReason.NOT_SENT, False, why, self.clock.now())

    def sleep(self, seconds: float) -> None:
        """Let so many seconds of the clock pass; a close ends it."""
        end = self.clock.now() + seconds
        while (left := end - self.clock.now()) > 0 and not self._halt.is_set:
            self.budget.rest(max(self.clock.real(left), 0.0005), lambda: self._halt.is_set)

    def check_fork(self) -> None:
        """Refuse to work in a child process: threads and connections are its parent's."""
        if os.getpid() != self._pid:
            raise OutcomeUnknown("this Hub was made before a fork.", hint="Make a new Hub in the child process.")

    def close(self) -> None:
        """Let no waiting change go any more, settle for at most `GRACE_S`, and let go of threads and connections."""
        self._halt.stop()
        if os.getpid() == self._pid:
            self.budget.wake()
            if self._pool is not None:
                self._pool.shutdown(wait=True)  # what waits there ends by itself and says so
        self.transport.close()


class _Run:
    """One flow's calls under way, its source of items, and whether somebody pressed Ctrl-C."""

    def __init__(self, driver: Driver, source: Iterator[Any], before_change: Callable[[], None]) -> None:
        self._driver, self._source, self._before_change = driver, source, before_change
        self._tickets: set[Future[Answer]] = set()
        self._halt = Halt()
        self._stop: KeyboardInterrupt | None = None
        self._has_begun = False  # whether a change was let go, so that there may be something to settle
        # Of the present step: what an interrupted one has done already and must not do again.
        self._begun: Future[Answer] | None = None
        self._taken: list[Any] = []

    def take(self, step: Any) -> Any:
        """The answer to a step. At Ctrl-C the step is taken once more, under the stop; a second one is raised."""
        self._begun, self._taken = None, []
        try:
            return self._take(step)
        except KeyboardInterrupt as stop:
            if self._stop is not None:
                raise
            self._stop = stop
            self._halt.stop(GRACE_S if self._has_begun else 0.0)
            self._driver.budget.wake()
            return self._take(step)

    def _take(self, step: Any) -> Any:
        match step:
            case HubCall(is_change=False):
                return self._driver.exchange(step, self._halt)
            case HubCall():
                # In a thread, so that Ctrl-C stops the waiting and not the change, whose answer is then still heard.
                return self._await(self._begin(step))
            case StartCall(send):
                return self._begin(send)
            case AwaitCall(ticket):
                return self._await(ticket)
            case Pause(seconds, _, jitter):
                if self._stop is None:
                    self._driver.sleep(seconds * (self._driver.budget.jitter() if jitter else 1.0))
                return None
            case AwaitSlot(send):
                return self._driver.turn(send, self._halt)
            case TakeItems(limit):
                return self._some(limit)
            case _:
                raise TypeError(f"a flow asked for {type(step).__name__}")

    def _begin(self, send: HubCall) -> Future[Answer]:
        if self._begun is not None:
            return self._begun
        self._driver.check_fork()
        if send.is_change and self._stop is None:
            self._before_change()
            self._has_begun = True
        self._begun = ticket = Future[Answer]()
        self._tickets.add(ticket)
        self._driver.begin(send, self._halt, ticket)
        return ticket

    def _await(self, ticket: Future[Answer]) -> Answer:
        try:
            answer = ticket.result(max(self._halt.until - time.monotonic(), 0.0) if self._halt.is_set else None)
        except TimeoutError:
            answer = NoReply(FailureReason.BROKEN, True, "interrupted before the answer came", self._driver.clock.now())
        except CancelledError:
            answer = NoReply(FailureReason.NOT_SENT, False, "the run was stopped", self._driver.clock.now())
        self._tickets.discard(ticket)
        return answer

    def _some(self, limit: int) -> tuple[Any, ...]:
        while self._stop is None and len(self._taken) < limit:
            try:
                self._taken.append(next(self._source))
            except StopIteration:
                break
        return tuple(self._taken)

    def raise_if_stopped(self) -> None:
        """Ctrl-C, once all is told."""
        if self._stop is not None:
            raise self._stop

    def drop(self) -> None:
        """Nobody listens any more: what is not sent yet is not sent."""
        if self._tickets:
            self._halt.stop()
            for ticket in self._tickets:
                ticket.cancel()
            self._tickets.clear()
            self._driver.budget.wake()
