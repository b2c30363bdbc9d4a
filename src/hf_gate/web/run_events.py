"""Streams the progress of a run to its page."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .run_worker import RunJob

CHECK_INTERVAL: Final = 1.0  # seconds between two checks for changes
_MAX_QUIET: Final = 5.0  # seconds after which a page updates without a change, to show the remaining time


class RunEventStream(Response):
    """Streams the events of a run; checks for changes once a second, in memory. The page loads its content itself."""

    media_type = "text/event-stream"

    def __init__(
        self,
        find_job: Callable[[], RunJob | None],
        pause: float = CHECK_INTERVAL,
        counted: tuple[Counter[str], str] | None = None,
    ) -> None:
        super().__init__(None, 200, {"x-accel-buffering": "no"}, "text/event-stream")
        self._find_job, self._pause, self._counted = find_job, pause, counted
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.create_task(_wait_for_disconnect(receive))
        self._count(1)
        try:
            await self._send_events(send, gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._count(-1)

    def _count(self, change: int) -> None:
        """Count the open streams of the member; called in the event loop only."""
        if self._counted is not None:
            streams, member = self._counted
            streams[member] += change
            if not streams[member]:
                del streams[member]

    async def _send_events(self, send: Send, gone: asyncio.Task[None]) -> None:
        seen, quiet = -1, 0.0
        while not gone.done():
            job = self._find_job()
            if job is None or job.is_over:
                await send({"type": "http.response.body", "body": b"event: end\ndata: 0\n\n", "more_body": True})
                return
            if job.revision != seen or quiet >= _MAX_QUIET:
                text = f"event: change\ndata: {job.revision}\n\n"
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                seen, quiet = job.revision, 0.0
            await asyncio.wait({gone}, timeout=self._pause)
            quiet += self._pause


async def _wait_for_disconnect(receive: Receive) -> None:
    heard = await receive()
    while heard["type"] != "http.disconnect":
        await asyncio.sleep(0)  # a message that is already there would not yield to other tasks
        heard = await receive()
