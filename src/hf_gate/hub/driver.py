"""Runs a flow, blocking: sends what it asks for, sleeps when it waits, hands on what it emits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from ..errors import HubError, OutcomeUnknown
from ..protocol.flows.calling import Flow
from ..protocol.messages import Answer, Emit, Finish, Lost, NoReply, Send, Start, Take, Wait
from .budget import Budget
from .clock import Clock
from .errors import dressed
from .transport import BlockingTransport

_GRACE = 5.0  # seconds after Ctrl-C in which a change on its way may still be settled


class Driver:
    """The blocking end of one `Hub`."""

    def __init__(self, transport: BlockingTransport, budget: Budget, clock: Clock, max_wait: float | None) -> None:
        self.transport, self.budget, self.clock, self.max_wait = transport, budget, clock, max_wait
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()
        self._closed = False

    def run(
        self,
        flow: Flow[Any],
        source: Iterable[Any] = (),
        *,
        done: Callable[[Any], None] | None = None,
        before_change: Callable[[], None] = lambda: None,
    ) -> Generator[Any, None, Any]:
        """What the flow emits, as the caller takes it; its result goes to `done` and is returned.

        `before_change` runs before each call that may change something.
        """
        run, answer = _Run(self, iter(source), before_change), None
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    if done is not None:
                        done(end.value)
                    return end.value
                if isinstance(step, Emit):
                    yield step.value
                    answer = None
                else:
                    answer = run.take(step)
        except HubError as error:
            raise dressed(error) from None
        finally:
            flow.close()
            run.drop()

    def result(self, flow: Flow[Any]) -> Any:
        """The result of a flow that emits nothing."""
        return next(_results(self.run(flow)))

    def pool(self) -> ThreadPoolExecutor:
        """Threads for calls that run beside each other; made at the first need."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(16, thread_name_prefix="hf-gate")
        return self._pool

    def exchange(self, send: Send) -> Answer:
        """One paced call."""
        self._check_use()
        unsent = self._pace(send)
        if unsent is not None:
            return unsent
        try:
            answer = self.transport.exchange(send)
        except BaseException:
            self.budget.dropped(send)
            raise
        self.budget.heard(self.clock.now(), send, answer)
        return answer

    def _pace(self, send: Send) -> NoReply | None:
        start = self.clock.now()
        ticket = self.budget.join(send)
        try:
            while (wait := self.budget.wait_of(self.clock.now(), send)) > 0:
                if self._closed:
                    return NoReply(Lost.NOT_SENT, False, "the client was closed")
                waited = self.clock.now() - start
                if self.max_wait is not None and waited + wait > self.max_wait:
                    return NoReply(
                        Lost.WAITED, False, f"it would have to wait {waited + wait:.0f} s for calls to be free"
                    )
                self.budget.rest(self.clock.real(wait))
            return None
        finally:
            self.budget.leave(ticket)

    def sleep(self, seconds: float) -> None:
        """Let so many seconds of the clock pass."""
        end = self.clock.now() + seconds
        while (left := end - self.clock.now()) > 0:
            self.nap(left)

    def nap(self, seconds: float) -> None:
        """Part of a wait: short enough that an advanced clock is noticed."""
        time.sleep(max(self.clock.real(seconds), 0.0005))

    def _check_use(self) -> None:
        if os.getpid() != self._pid:
            raise OutcomeUnknown("this Hub was made before a fork.", hint="Make a new Hub in the child process.")
        if self._closed:
            raise ValueError("this Hub is closed.")

    def close(self) -> None:
        """Let go of threads and connections."""
        self._closed = True
        if self._pool is not None and os.getpid() == self._pid:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self.transport.close()


def _results(run: Generator[Any, None, Any]) -> Iterator[Any]:
    yield (yield from run)


class _Run:
    """One flow's calls under way, its source of items, and whether somebody pressed Ctrl-C."""

    def __init__(self, driver: Driver, source: Iterator[Any], before_change: Callable[[], None]) -> None:
        self._driver, self._source, self._before_change = driver, source, before_change
        self._tickets: set[Future[Answer]] = set()
        self._stop_by: float | None = None
        self._stop: BaseException | None = None

    def take(self, step: Any) -> Any:
        match step:
            case Send():
                return self._send(step)
            case Start(send):
                self._raise_if_stopped()
                if send.changes:
                    self._before_change()
                ticket = self._driver.pool().submit(self._driver.exchange, send)
                self._tickets.add(ticket)
                return ticket
            case Finish(ticket):
                self._tickets.discard(ticket)
                return self._await(ticket)
            case Wait(seconds, _, jitter):
                return self._wait(seconds * (self._driver.budget.jitter() if jitter else 1.0))
            case Take(limit):
                self._raise_if_stopped()
                return tuple(islice(self._source, limit))
            case _:
                raise TypeError(f"a flow asked for {type(step).__name__}")

    def _send(self, send: Send) -> Answer:
        if not send.changes:
            if self._stop_by is not None and time.monotonic() > self._stop_by:
                self._raise_if_stopped()
            return self._driver.exchange(send)
        self._raise_if_stopped()
        self._before_change()
        # In a thread, so that Ctrl-C stops the waiting and not the change, whose answer is then still heard.
        return self._await(self._driver.pool().submit(self._driver.exchange, send))

    def _await(self, ticket: Future[Answer]) -> Answer:
        try:
            return ticket.result()
        except KeyboardInterrupt as stop:
            self._stop, self._stop_by = stop, time.monotonic() + _GRACE
            try:
                return ticket.result(timeout=_GRACE)
            except TimeoutError:
                return NoReply(Lost.BROKEN, True, "interrupted before the answer came")

    def _wait(self, seconds: float) -> None:
        if self._stop is None:
            self._driver.sleep(seconds)

    def _raise_if_stopped(self) -> None:
        if self._stop is not None:
            raise self._stop

    def drop(self) -> None:
        for ticket in self._tickets:
            ticket.cancel()
        self._tickets.clear()
