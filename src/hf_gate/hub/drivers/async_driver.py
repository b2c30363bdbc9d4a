"""Runs flows on an event loop; the async counterpart of `driver.py`."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
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
    StartCall,
    TakeItems,
)

from .async_transport import AsyncTransport
from .budget import CallBudget, seconds_left
from .clock import Clock

Items = Iterable[Any] | AsyncIterable[Any]


async def _do_nothing() -> None:
    return


class AsyncDriver:
    """Runs the flows of one `AsyncHub`."""

    def __init__(self, transport: AsyncTransport, budget: CallBudget, clock: Clock, max_wait: float | None) -> None:
        self.transport = transport
        self.budget = budget
        self.clock = clock
        self.max_wait = max_wait
        self._pid = os.getpid()
        self._closing = asyncio.Event()
        self._queues = CallQueues()
        budget.add_listener(self._queues)

    async def run(
        self,
        flow: Flow[Any],
        source: Items = (),
        *,
        on_result: Callable[[Any], None] | None = None,
        before_change: Callable[[], Awaitable[None]] = _do_nothing,
    ) -> AsyncGenerator[Any, None]:
        """Yield what the flow emits when the caller asks for it; pass the flow's result to `on_result`."""
        self._check_use()
        run = _AsyncFlowRun(self, source, before_change)
        answer = None
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    if on_result is not None:
                        on_result(end.value)
                    return
                if isinstance(step, EmitValue):
                    yield step.value
                    answer = None
                else:
                    answer = await run.perform(step)
        except HubError as error:
            raise to_huggingface_error(error) from error.__cause__
        finally:
            flow.close()
            run.cancel_calls()

    async def run_to_result(self, flow: Flow[T]) -> T:
        """Run a flow that emits nothing and return its result."""
        results: list[T] = []
        async for _ in self.run(flow, on_result=results.append):
            pass
        return results[0]

    async def exchange(self, send: HubCall) -> Answer:
        """Send one paced call. Cancelling a change in flight raises `OutcomeUnknown`, because its answer is lost."""
        self._check_fork()
        began = self.clock.now()
        answer = await self._exchange(send)
        return replace(answer, elapsed=self.clock.now() - began)

    async def _exchange(self, send: HubCall) -> Answer:
        start = time.monotonic()
        limit = self._time_limit(send)
        unsent = await self._acquire_slot(send)
        if unsent is not None:
            return unsent
        try:
            answer = await self.transport.exchange(send, seconds_left(limit, time.monotonic() - start))
        except asyncio.CancelledError:
            self.budget.record_lost_call(send)
            if send.is_change:
                raise OutcomeUnknown("the call was cancelled after the change was sent.") from None
            raise
        except BaseException:
            self.budget.record_lost_call(send)
            raise
        self.budget.record_answer(self.clock.now(), send, answer)
        return answer

    async def wait_for_slot(self, send: HubCall) -> float:
        """Wait until the call could be sent and return the time.

        If the wait is too long, the call itself reports it.
        """
        await self._acquire_slot(send, should_start=False)
        return self.clock.now()

    def _time_limit(self, send: HubCall) -> float | None:
        return self.max_wait if send.within is None else send.within

    async def _acquire_slot(self, send: HubCall, *, should_start: bool = True) -> NoReply | None:
        start = self.clock.now()
        queue = self._queues.queue_for(send)
        is_new = True
        limit = self._time_limit(send)
        ticket = self.budget.register(send)
        try:
            while not self._closing.is_set():
                wait = self.budget.wait_time(self.clock.now(), send, should_start=should_start)
                if wait <= 0:
                    queue.wake_first()  # the next call of this kind may be able to go too
                    return None
                waited = self.clock.now() - start
                refused = self.budget.check_wait(self.clock.now(), send, wait, waited, limit)
                if refused is not None:
                    return refused
                await queue.wait(max(self.clock.to_real_seconds(wait), 0.0005), is_new=is_new)
                is_new = False
            return NoReply(FailureReason.NOT_SENT, False, "the client was closed", self.clock.now())
        except asyncio.CancelledError:
            queue.wake_first()  # this call may be the one that was woken
            raise
        finally:
            self.budget.unregister(ticket)

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` seconds of the clock."""
        end = self.clock.now() + seconds
        while (left := end - self.clock.now()) > 0 and not self._closing.is_set():
            await self._sleep_slice(left)

    async def _sleep_slice(self, seconds: float) -> None:
        """Wait for part of the seconds; `close` ends the wait early."""
        try:
            async with asyncio.timeout(max(self.clock.to_real_seconds(seconds), 0.0005)):
                await self._closing.wait()
        except TimeoutError:
            return

    def _check_fork(self) -> None:
        if os.getpid() != self._pid:
            raise OutcomeUnknown(
                "this AsyncHub was made before a fork.", hint="Make a new AsyncHub in the child process."
            )

    def _check_use(self) -> None:
        self._check_fork()
        if self._closing.is_set():
            raise ValueError("this AsyncHub is closed.")

    async def close(self) -> None:
        """Cancel waiting calls and close the connections."""
        self._closing.set()
        self._queues.wake_all()
        await self.transport.close()


class CallQueues:
    """The waiting calls of one event loop, one queue for each kind of call."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._by_kind: dict[tuple[str, str, bool], CallQueue] = {}

    def queue_for(self, send: HubCall) -> CallQueue:
        """Return the queue of the calls that share all limits with this one."""
        self._loop = asyncio.get_running_loop()
        return self._by_kind.setdefault((send.bucket, send.lane, send.is_change), CallQueue())

    def notify(self) -> None:
        """Wake the first call of each queue after an answer, from any thread."""
        loop = self._loop
        if loop is None or not any(self._by_kind.values()):
            return
        with suppress(RuntimeError):  # no loop runs in this thread, or the other loop was closed
            if asyncio.get_running_loop() is loop:
                self._wake_first()
                return
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._wake_first)

    def _wake_first(self) -> None:
        for queue in self._by_kind.values():
            queue.wake_first()

    def wake_all(self) -> None:
        for queue in self._by_kind.values():
            for turn in queue:
                if not turn.done():
                    turn.set_result(None)


class CallQueue(deque["asyncio.Future[None]"]):
    """Waiting calls of one kind. The first call is woken; when it can go, it wakes the next."""

    def wake_first(self) -> None:
        if self and not self[0].done():
            self[0].set_result(None)

    async def wait(self, seconds: float, *, is_new: bool) -> None:
        """Wait until woken, for at most `seconds` real seconds. A call that was woken in vain returns to the front."""
        turn = asyncio.get_running_loop().create_future()
        (self.append if is_new else self.appendleft)(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except TimeoutError:
            return
        finally:
            self.remove(turn)


class _AsyncFlowRun:
    """One running flow: its calls in flight and its source of items."""

    def __init__(self, driver: AsyncDriver, source: Items, before_change: Callable[[], Awaitable[None]]) -> None:
        self._driver = driver
        self._source = _iterate_items(source)
        self._before_change = before_change
        self._tickets: set[asyncio.Task[Answer]] = set()

    async def perform(self, step: Any) -> Any:
        match step:
            case HubCall():
                if step.is_change:
                    await self._before_change()
                return await self._driver.exchange(step)
            case StartCall(send):
                if send.is_change:
                    await self._before_change()
                ticket = asyncio.ensure_future(self._driver.exchange(send))
                self._tickets.add(ticket)
                return ticket
            case AwaitCall(ticket):
                self._tickets.discard(ticket)
                return await ticket
            case Pause(seconds, reason, jitter):
                seconds *= self._driver.budget.jitter() if jitter else 1.0
                self._driver.budget.log_wait(self._driver.clock.now(), reason, seconds)
                return await self._driver.sleep(seconds)
            case AwaitSlot(send):
                return await self._driver.wait_for_slot(send)
            case TakeItems(limit):
                return await self._take_items(limit)
            case _:
                raise TypeError(f"a flow asked for {type(step).__name__}")

    async def _take_items(self, limit: int) -> tuple[Any, ...]:
        items: list[Any] = []
        async for item in self._source:
            items.append(item)
            if len(items) >= limit:
                break
        return tuple(items)

    def cancel_calls(self) -> None:
        for ticket in self._tickets:
            ticket.cancel()
        self._tickets.clear()


async def _iterate_items(source: Items) -> AsyncIterator[Any]:
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item
