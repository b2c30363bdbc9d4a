"""Runs a flow on an event loop: the twin of `driver.py`, step for step."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from ..errors import HubError, OutcomeUnknown
from ..protocol.flows.calling import Flow, T
from ..protocol.messages import Answer, Emit, Finish, Lost, NoReply, Send, Start, Take, Wait
from ..protocol.pacing import POLL_S
from .budget import Budget
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
                if isinstance(step, Emit):
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

    async def exchange(self, send: Send) -> Answer:
        """One paced call. A change that is cancelled on its way raises `OutcomeUnknown`, for nobody heard what became of it."""
        self._check_fork()
        unsent = await self._pace(send)
        if unsent is not None:
            return unsent
        try:
            answer = await self.transport.exchange(send)
        except asyncio.CancelledError:
            self.budget.dropped(send)
            if send.changes:
                raise OutcomeUnknown("the call was cancelled after the change was sent.") from None
            raise
        except BaseException:
            self.budget.dropped(send)
            raise
        self.budget.heard(self.clock.now(), send, answer)
        return answer

    async def _pace(self, send: Send) -> NoReply | None:
        start = self.clock.now()
        ticket = self.budget.join(send)
        try:
            while not self._closing.is_set():
                wait = self.budget.wait_of(self.clock.now(), send)
                if wait <= 0:
                    return None
                waited = self.clock.now() - start
                if self.max_wait is not None and waited + wait > self.max_wait:
                    return NoReply(
                        Lost.WAITED, False, f"it would have to wait {waited + wait:.0f} s for calls to be free"
                    )
                await self.nap(min(wait, 0.005) if wait <= POLL_S else wait)
            return NoReply(Lost.NOT_SENT, False, "the client was closed", self.clock.now())
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
        await self.transport.close()


class _Run:
    """One flow's calls under way and its source of items."""

    def __init__(self, driver: AsyncDriver, source: Items, before_change: Callable[[], Awaitable[None]]) -> None:
        self._driver, self._source, self._before_change = driver, _each(source), before_change
        self._tickets: set[asyncio.Task[Answer]] = set()

    async def take(self, step: Any) -> Any:
        match step:
            case Send():
                if step.changes:
                    await self._before_change()
                return await self._driver.exchange(step)
            case Start(send):
                if send.changes:
                    await self._before_change()
                ticket = asyncio.ensure_future(self._driver.exchange(send))
                self._tickets.add(ticket)
                return ticket
            case Finish(ticket):
                self._tickets.discard(ticket)
                return await ticket
            case Wait(seconds, _, jitter):
                return await self._driver.sleep(seconds * (self._driver.budget.jitter() if jitter else 1.0))
            case Take(limit):
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
