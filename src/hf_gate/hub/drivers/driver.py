"""Runs flows with blocking calls: sends their calls, waits, and passes on what they emit."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

from msgspec.structs import replace

from hf_gate.errors import HubError, OutcomeUnknown
from hf_gate.hub.errors import to_huggingface_error
from hf_gate.hub.protocol.flows.calls import Flow, T
from hf_gate.hub.protocol.messages import (
    Answer,
    AwaitCall,
    AwaitSlot,
    EmitValue,
    FailureReason,
    HubCall,
    NoReply,
    Pause,
    Reply,
    StartCall,
    TakeItems,
)

from .budget import CallBudget, seconds_left
from .clock import Clock
from .deadlines import GRACE_S, StopSignal
from .transport import BlockingTransport

_LONGEST_WAIT_S = 1.0  # for an answer, then again: a Ctrl-C that comes just before a wait does not end it


class Driver:
    """Runs the flows of one `Hub`."""

    def __init__(self, transport: BlockingTransport, budget: CallBudget, clock: Clock, max_wait: float | None) -> None:
        self.transport = transport
        self.budget = budget
        self.clock = clock
        self.max_wait = max_wait
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()
        self._stop_signal = StopSignal()  # set by `close`
        self.seconds_to_change: Callable[[], float] = lambda: math.inf  # how long a change may last that starts now
        self.count_sharers: Callable[[], int] = lambda: 1  # processes that use the token
        self.is_token_refused: bool | None = None  # by the last answer that shows it; None before it

    def run(
        self,
        flow: Flow[Any],
        source: Iterable[Any] = (),
        *,
        on_result: Callable[[Any], None] | None = None,
        before_change: Callable[[], None] = lambda: None,
    ) -> Generator[Any, None, Any]:
        """Yield what the flow emits when the caller asks for it; pass the flow's result to `on_result` and return it.

        `before_change` runs before each call that may change something. After Ctrl-C, no further change is sent. The
        flow settles and reports calls in flight for at most `GRACE_S`; then the KeyboardInterrupt is raised.
        """
        self.check_fork()
        if self._stop_signal.is_set:
            raise ValueError("this Hub is closed.")
        run = _FlowRun(self, iter(source), before_change)
        answer = None
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    if on_result is not None:
                        on_result(end.value)
                    run.raise_if_stopped()
                    return end.value
                if isinstance(step, EmitValue):
                    yield step.value
                    answer = None
                else:
                    answer = run.perform(step)
        except HubError as error:
            run.raise_if_stopped()
            raise to_huggingface_error(error) from error.__cause__
        finally:
            flow.close()
            run.cancel_calls()

    def run_to_result(self, flow: Flow[T]) -> T:
        """Run a flow that emits nothing and return its result."""
        results: list[T] = []
        for _ in self.run(flow, on_result=results.append):
            pass
        return results[0]

    def submit(self, send: HubCall, stop_signal: StopSignal, ticket: Future[Answer]) -> None:
        """Make the call in a worker thread; the ticket receives the answer."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(16, thread_name_prefix="hf-gate")
        try:
            self._pool.submit(self._run_submitted, send, stop_signal, ticket)
        except RuntimeError:  # the client was closed
            ticket.set_result(self._build_not_sent())

    def _run_submitted(self, send: HubCall, stop_signal: StopSignal, ticket: Future[Answer]) -> None:
        if not ticket.set_running_or_notify_cancel():
            return
        try:
            ticket.set_result(self.exchange(send, stop_signal))
        except BaseException as problem:  # noqa: BLE001 - raised where the ticket is awaited
            ticket.set_exception(problem)

    def exchange(self, send: HubCall, stop_signal: StopSignal) -> Answer:
        """Send one paced call."""
        self.check_fork()
        began = self.clock.now()
        answer = self._exchange(send, stop_signal)
        return replace(answer, elapsed=self.clock.now() - began)

    def _exchange(self, send: HubCall, stop_signal: StopSignal) -> Answer:
        start = time.monotonic()
        limit = self._time_limit(send)
        unsent = self._acquire_slot(send, stop_signal)
        if unsent is not None:
            return unsent
        try:
            if self._is_forbidden(send, stop_signal):
                self.budget.record_lost_call(send)
                return self._build_not_sent()
            within = seconds_left(limit, time.monotonic() - start)

            def find_end() -> float:
                left = self.seconds_to_change() if send.is_change else math.inf
                lease = time.monotonic() + left if left > 0 else -math.inf  # "now" would always be a moment ahead
                return min(stop_signal.until, self._stop_signal.until, lease)

            answer = self.transport.exchange(send, find_end, within)
        except BaseException:
            self.budget.record_lost_call(send)
            raise
        self.budget.record_answer(self.clock.now(), send, answer)
        if isinstance(answer, Reply) and (answer.status < 400 or answer.status == 401):
            self.is_token_refused = answer.status == 401
        return answer

    def wait_for_slot(self, send: HubCall, stop_signal: StopSignal) -> float:
        """Wait until the call could be sent and return the time.

        If the wait is too long, the call itself reports it.
        """
        self._acquire_slot(send, stop_signal, should_start=False)
        return self.clock.now()

    def _time_limit(self, send: HubCall) -> float | None:
        return self.max_wait if send.within is None else send.within

    def _acquire_slot(self, send: HubCall, stop_signal: StopSignal, *, should_start: bool = True) -> NoReply | None:
        start = self.clock.now()
        limit = self._time_limit(send)
        self.budget.share(self.count_sharers())
        ticket = self.budget.register(send)
        try:
            while not self._is_forbidden(send, stop_signal):
                wait = self.budget.wait_time(self.clock.now(), send, should_start=should_start)
                if wait <= 0:
                    return None
                waited = self.clock.now() - start
                refused = self.budget.check_wait(self.clock.now(), send, wait, waited, limit)
                if refused is not None:
                    return refused
                left = max(min(stop_signal.until, self._stop_signal.until) - time.monotonic(), 0.0)
                self.budget.wait_for_answer(
                    min(self.clock.to_real_seconds(wait), left), lambda: self._is_forbidden(send, stop_signal)
                )
            return self._build_not_sent()
        finally:
            self.budget.unregister(ticket)

    def _is_forbidden(self, send: HubCall, stop_signal: StopSignal) -> bool:
        if send.is_change and self.seconds_to_change() <= 0:
            return True
        return any(one.is_forbidden(is_change=send.is_change) for one in (stop_signal, self._stop_signal))

    def _build_not_sent(self) -> NoReply:
        why = "the client was closed" if self._stop_signal.is_set else "the run was stopped"
        if self.seconds_to_change() <= 0:
            why = "this process no longer leads"
        return NoReply(FailureReason.NOT_SENT, False, why, self.clock.now())

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds` seconds of the clock; `close` ends the wait."""
        end = self.clock.now() + seconds
        while (left := end - self.clock.now()) > 0 and not self._stop_signal.is_set:
            self.budget.wait_for_answer(max(self.clock.to_real_seconds(left), 0.0005), lambda: self._stop_signal.is_set)

    def check_fork(self) -> None:
        """Raise OutcomeUnknown in a forked child process: threads and connections belong to its parent."""
        if os.getpid() != self._pid:
            raise OutcomeUnknown("this Hub was made before a fork.", hint="Make a new Hub in the child process.")

    def close(self) -> None:
        """Send no further changes, settle for at most `GRACE_S`, and end threads and connections."""
        self._stop_signal.stop()
        if os.getpid() == self._pid:
            self.budget.wake()
            if self._pool is not None:
                self._pool.shutdown(wait=True)  # waiting calls end by themselves with an answer
        self.transport.close()


class _FlowRun:
    """One running flow: its calls in flight, its source of items, and whether Ctrl-C was pressed."""

    def __init__(self, driver: Driver, source: Iterator[Any], before_change: Callable[[], None]) -> None:
        self._driver = driver
        self._source = source
        self._before_change = before_change
        self._tickets: set[Future[Answer]] = set()
        self._stop_signal = StopSignal()
        self._interrupt: KeyboardInterrupt | None = None
        self._has_changed = False  # whether a change was started that may need to be settled
        # The parts of the current step that were done before an interrupt and must not be repeated.
        self._started_call: Future[Answer] | None = None
        self._taken_items: list[Any] = []

    def perform(self, step: Any) -> Any:
        """Perform a step and return its answer.

        After a first Ctrl-C, perform it again under the stop signal; a second Ctrl-C is raised.
        """
        self._started_call = None
        self._taken_items = []
        try:
            return self._perform(step)
        except KeyboardInterrupt as stop:
            if self._interrupt is not None:
                raise
            self._interrupt = stop
            self._stop_signal.stop(GRACE_S if self._has_changed else 0.0)
            self._driver.budget.wake()
            return self._perform(step)

    def _perform(self, step: Any) -> Any:
        match step:
            case HubCall(is_change=False):
                return self._driver.exchange(step, self._stop_signal)
            case HubCall():
                # In a thread, so that Ctrl-C ends the wait but not the change, whose answer is still received.
                return self._await_call(self._start_call(step))
            case StartCall(send):
                return self._start_call(send)
            case AwaitCall(ticket):
                return self._await_call(ticket)
            case Pause(seconds, reason, jitter):
                if self._interrupt is None:
                    seconds *= self._driver.budget.jitter() if jitter else 1.0
                    self._driver.budget.log_wait(self._driver.clock.now(), reason, seconds)
                    self._driver.sleep(seconds)
                return None
            case AwaitSlot(send):
                return self._driver.wait_for_slot(send, self._stop_signal)
            case TakeItems(limit):
                return self._take_items(limit)
            case _:
                raise TypeError(f"a flow asked for {type(step).__name__}")

    def _start_call(self, send: HubCall) -> Future[Answer]:
        if self._started_call is not None:
            return self._started_call
        self._driver.check_fork()
        if send.is_change and self._interrupt is None:
            self._before_change()
            self._has_changed = True
        self._started_call = ticket = Future[Answer]()
        self._tickets.add(ticket)
        self._driver.submit(send, self._stop_signal, ticket)
        return ticket

    def _await_call(self, ticket: Future[Answer]) -> Answer:
        answer: Answer | None = None
        until = self._stop_signal.until if self._stop_signal.is_set else math.inf
        while answer is None:
            left = max(until - time.monotonic(), 0.0)
            try:
                answer = ticket.result(min(left, _LONGEST_WAIT_S))
            except TimeoutError:
                if left <= _LONGEST_WAIT_S:
                    why = "interrupted before the answer arrived"
                    answer = NoReply(FailureReason.BROKEN, True, why, self._driver.clock.now())
            except CancelledError:
                answer = NoReply(FailureReason.NOT_SENT, False, "the run was stopped", self._driver.clock.now())
        self._tickets.discard(ticket)
        return answer

    def _take_items(self, limit: int) -> tuple[Any, ...]:
        while self._interrupt is None and len(self._taken_items) < limit:
            try:
                self._taken_items.append(next(self._source))
            except StopIteration:
                break
        return tuple(self._taken_items)

    def raise_if_stopped(self) -> None:
        """Raise the KeyboardInterrupt after all outcomes are reported."""
        if self._interrupt is not None:
            raise self._interrupt

    def cancel_calls(self) -> None:
        """Cancel calls that have not been sent, because nothing awaits them."""
        if self._tickets:
            self._stop_signal.stop()
            for ticket in self._tickets:
                ticket.cancel()
            self._tickets.clear()
            self._driver.budget.wake()
