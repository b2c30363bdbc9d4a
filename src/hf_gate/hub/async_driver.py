"""Runs a flow on an event loop: the twin of `driver.py`, step for step."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
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
from .transport import AsyncTransport

Items = Iterable[Any] | AsyncIterable[Any]


async def _nothing() -> None:
    return


class AsyncDriver:
    """The async end of one `AsyncHub`."""

    def __init__(self, transport: AsyncTransport, budget: Budget, clock: Clock, max_wait: float | None) -> None:
        self.transport, self.budget, self.clock, self.max_wait = transport, budget, clock, max_wait
        self._pid = os.getpid()
        self._closing = asyncio.Event()
        self._queues = Queues()
        budget.tell(self._queues)

    async def run(
        self,
        flow: Flow[Any],
        source: Items = (),
        *,
        done: Callable[[Any], None] | None = None,
        before_change: Callable[[], Awaitable[None]] = _nothing,
    ) -> AsyncGenerator[Any, None]:
        """What the flow emits, as the caller takes it; its result goes to `done`."""
        self._check_use()
        run, answer = _Run(self, source, before_change), None
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    if done is not None:
                        done(end.value)
                    return
                if isinstance(step, EmitValue):
                    yield step.value
                    answer = None
                else:
                    answer = await run.take(step)
        except HubError as error:
            raise dressed(error) from None
        finally:
            flow.close()
            run.drop()

    async def result(self, flow: Flow[T]) -> T:
        """The result of a flow that emits nothing."""
        results: list[T] = []
        async for _ in self.run(flow, done=results.append):
            pass
        return results[0]

    async def exchange(self, send: HubCall) -> Answer:
        """One paced call. A change that is cancelled on its way raises `OutcomeUnknown`, for nobody heard what became of it."""
        self._check_fork()
        began = self.clock.now()
        answer = await self._exchange(send)
        return replace(answer, elapsed=self.clock.now() - began)

    async def _exchange(self, send: HubCall) -> Answer:
        start, limit = time.monotonic(), self._limit(send)
        unsent = await self._pace(send)
        if unsent is not None:
            return unsent
        try:
            answer = await self.transport.exchange(send, seconds_left(limit, time.monotonic() - start))
        except asyncio.CancelledError:
            self.budget.dropped(send)
            if send.is_change:
                raise OutcomeUnknown("the call was cancelled after the change was sent.") from None
            raise
        except BaseException:
            self.budget.dropped(send)
            raise
        self.budget.heard(self.clock.now(), send, answer)
        return answer

    async def turn(self, send: HubCall) -> float:
        """When the call could leave, or will not; a wait that is too long is told by the call itself."""
        await self._pace(send, goes=False)
        return self.clock.now()

    def _limit(self, send: HubCall) -> float | None:
        return self.max_wait if send.within is None else send.within

    async def _pace(self, send: HubCall, *, goes: bool = True) -> NoReply | None:
        start, queue, is_new, limit = self.clock.now(), self._queues.of(send), True, self._limit(send)
        ticket = self.budget.join(send)
        try:
            while not self._closing.is_set():
                wait = self.budget.wait_of(self.clock.now(), send, goes=goes)
                if wait <= 0:
                    queue.call()  # the next of its kind may go as well
                    return None
                waited = self.clock.now() - start
                if limit is not None and waited + wait > limit:
                    return NoReply(
                        FailureReason.WAIT_TOO_LONG,
                        False,
                        f"it would have to wait {waited + wait:.0f} s for calls to be free",
                    )
                await queue.wait(max(self.clock.real(wait), 0.0005), is_new=is_new)
                is_new = False
            return NoReply(FailureReason.NOT_SENT, False, "the client was closed", self.clock.now())
        except asyncio.CancelledError:
            queue.call()  # it may have been this one's turn
            raise
        finally:
            self.budget.leave(ticket)

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds of the clock pass."""
        end = self.clock.now() + seconds
        while (left := end - self.clock.now()) > 0 and not self._closing.is_set():
            await self.nap(left)

    async def nap(self, seconds: float) -> None:
        """Part of a wait; a close ends it."""
        try:
            async with asyncio.timeout(max(self.clock.real(seconds), 0.0005)):
                await self._closing.wait()
        except TimeoutError:
            return

    def _check_fork(self) -> None:
        if os.getpid() != self._pid:
            raise OutcomeUnknown("this AsyncHub was made before a fork.", hint="Make a new one in the child process.")

    def _check_use(self) -> None:
        self._check_fork()
        if self._closing.is_set():
            raise ValueError("this AsyncHub is closed.")

    async def close(self) -> None:
        """Let no waiting call go any more, and let go of connections."""
        self._closing.set()
        self._queues.call_all()
        await self.transport.close()


class Queues:
    """The calls of one event loop that wait for an answer to free them, each kind in its order."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._by_kind: dict[tuple[str, str, bool], Queue] = {}

    def of(self, send: HubCall) -> Queue:
        """The queue of the calls that may go whenever this one may."""
        self._loop = asyncio.get_running_loop()
        return self._by_kind.setdefault((send.bucket, send.lane, send.is_change), Queue())

    def news(self) -> None:
        """An answer came, here or in another thread: the first of each kind looks again."""
        loop = self._loop
        if loop is None or not any(self._by_kind.values()):
            return
        with suppress(RuntimeError):  # no loop runs in this thread, or that one was closed
            if asyncio.get_running_loop() is loop:
                self._call_first()
                return
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._call_first)

    def _call_first(self) -> None:
        for queue in self._by_kind.values():
            queue.call()

    def call_all(self) -> None:
        for queue in self._by_kind.values():
            for turn in queue:
                if not turn.done():
                    turn.set_result(None)


class Queue(deque["asyncio.Future[None]"]):
    """Calls of one kind; the first is called, and calls the next when it can go."""

    def call(self) -> None:
        if self and not self[0].done():
            self[0].set_result(None)

    async def wait(self, seconds: float, *, is_new: bool) -> None:
        """Until called, or so many real seconds. Who was called in vain waits at the front again."""
        turn = asyncio.get_running_loop().create_future()
        (self.append if is_new else self.appendleft)(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except TimeoutError:
            return
        finally:
            self.remove(turn)


class _Run:
    """One flow's calls under way and its source of items."""

    def __init__(self, driver: AsyncDriver, source: Items, before_change: Callable[[], Awaitable[None]]) -> None:
        self._driver, self._source, self._before_change = driver, _each(source), before_change
        self._tickets: set[asyncio.Task[Answer]] = set()

    async def take(self, step: Any) -> Any:
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
            case Pause(seconds, _, jitter):
                return await self._driver.sleep(seconds * (self._driver.budget.jitter() if jitter else 1.0))
            case AwaitSlot(send):
                return await self._driver.turn(send)
            case TakeItems(limit):
                return await self._some(limit)
            case _:
                raise TypeError(f"a flow asked for {type(step).__name__}")

    async def _some(self, limit: int) -> tuple[Any, ...]:
        items: list[Any] = []
        async for item in self._source:
            items.append(item)
            if len(items) >= limit:
                break
        return tuple(items)

    def drop(self) -> None:
        for ticket in self._tickets:
            ticket.cancel()
        self._tickets.clear()


async def _each(source: Items) -> AsyncIterator[Any]:
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item
