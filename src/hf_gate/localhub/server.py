"""The HTTP skin of the local Hub: takes a call, lets faults, quota and world have their say, and sends what comes out."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from ..domain.lifecycle import STATUSES
from . import control, handlers
from .clock import HubClock
from .faults import FaultSet
from .quota import Limiter, parse_quota
from .seeding import seed_world
from .wire import EXPOSED, Answered, Asked
from .world import World

if TYPE_CHECKING:
    import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BIGGEST = 32 << 20  # bytes of a body that is read
PROTOCOLS = ("2026-08", "2026-10-23")


class App:
    """One local Hub: its world, its clock, its counters; an ASGI application. All of it runs in one event loop."""

    def __init__(
        self, make_world: Callable[[int], World], clock: HubClock, limiter: Limiter, faults: FaultSet, latency_s: float
    ) -> None:
        self._make_world = make_world
        self.clock, self.limiter, self.faults, self.latency_s = clock, limiter, faults, latency_s
        self.world = make_world(clock.now_ms())
        self.calls: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()
        self.stopping: asyncio.Event | None = None
        self._asked = 0

    def reset(self) -> None:
        """As at the start, in a world with another id; the clock goes on."""
        self.world = self._make_world(self.clock.now_ms())
        self.calls.clear()
        self.replies.clear()
        self.faults.clear()
        self.limiter = Limiter(self.limiter.quota)

    def save(self) -> bool:
        return False

    def repo_lines(self) -> list[dict[str, object]]:
        return [
            {"repo": gated.repo.id, "repo_type": gated.repo.type.value, "gated": gated.gated}
            | {status.value: len(gated.lists[status]) for status in STATUSES}
            for gated in self.world.repos.values()
        ]

    def first_line(self, url: str, pid: int) -> dict[str, object]:
        """What `hub serve --json` says first."""
        tokens = {token.name: token.secret for token in self.world.tokens.values()}
        return {"url": url, "pid": pid, "tokens": tokens, "repos": self.repo_lines(), "control": f"{url}/_hf_gate"}

    # ---- one call ----------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        body = await _read(receive)
        if body is None:
            return
        asked = _asked(scope, body, self.clock.now_ms())
        if asked.path.startswith(control.PREFIX):
            client = (scope.get("client") or ("",))[0]
            await _send(send, self._dressed(control.answer(self, asked, client)))
            return
        answered = self.exchange(asked)
        await self.pause(self.latency_s - (loop.time() - arrived))
        await _send(send, answered)

    def exchange(self, asked: Asked) -> Answered:
        """What is said to one call, counted and with the headers of every answer."""
        call = handlers.route_of(asked)
        name = f"{asked.method} {call.route.name}" if call else f"{asked.method} other"
        self.calls[name] += 1
        bucket = call.route.bucket if call else "api"
        headers, refused = self.limiter.take(asked.bearer or "", bucket, self.clock.now())
        answered = refused or handlers.answer(self.world, asked, call)
        self.replies[str(answered.status)] += 1
        return self._dressed(answered, headers)

    def _dressed(self, answered: Answered, more: Mapping[str, str] | None = None) -> Answered:
        self._asked += 1
        always = {
            "x-powered-by": "hf-gate local Hub",
            "x-request-id": f"Root=1-{self.clock.now_ms() // 1000:08x}-{self.world.world_id[:12]:0<12}{self._asked:012x}",
            "access-control-expose-headers": EXPOSED,
            "vary": "Origin",
            "x-hf-gate-clock": self.clock.header,
            "x-hf-gate-world": self.world.world_id,
        }
        return Answered(answered.status, {**always, **(more or {}), **answered.headers}, answered.body)

    async def pause(self, seconds: float) -> None:
        """Real seconds, cut short when the Hub is stopping."""
        if seconds <= 0:
            return
        if self.stopping is None:
            self.stopping = asyncio.Event()
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when the caller hung up."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = cast("bytes", message.get("body", b""))
        size += len(part)
        if size <= BIGGEST:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _asked(scope: Scope, body: bytes, now_ms: int) -> Asked:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    raw_path = cast("bytes", scope.get("raw_path") or scope["path"].encode())
    host = headers.get("host") or ":".join(map(str, scope.get("server") or ("127.0.0.1",)))
    return Asked(
        scope["method"], raw_path.partition(b"?")[0].decode("latin-1"), scope["query_string"].decode("latin-1"),
        headers, body, now_ms, f"http://{host}",
    )  # fmt: skip


async def _send(send: Send, answered: Answered) -> None:
    headers = [(name.lower().encode(), value.encode("utf-8", "replace")) for name, value in answered.headers.items()]
    headers.append((b"content-length", str(len(answered.body)).encode()))
    await send({"type": "http.response.start", "status": answered.status, "headers": headers})
    await send({"type": "http.response.body", "body": answered.body})


# ---- making and running -------------------------------------------------------------------------------------------------


def build(
    seed: int = 7,
    requests: int = 2000,
    repos: int = 3,
    preset: str = "consumer",
    quota: str | None = None,
    latency_s: float = 0.0,
    page_size: int = 1000,
    protocol: str = PROTOCOLS[-1],
    faults: Iterable[str] = (),
    clock: str = "real",
    data_dir: Path | None = None,
) -> App:
    """A local Hub that is ready to be served. ValueError, with one line, for what cannot be had."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"{protocol!r} is no protocol of the local Hub: {' or '.join(PROTOCOLS)}")
    if not 10 <= page_size <= 1000:
        raise ValueError("a page holds 10 to 1000 requests")

    def make_world(now_ms: int) -> World:
        world, _ = seed_world(seed, requests, repos, preset, now_ms, protocol=protocol, world_id=uuid4().hex)
        world.page_size = page_size
        return world

    return App(make_world, HubClock(clock), Limiter(parse_quota(quota)), FaultSet(tuple(faults), seed), latency_s)


class Serving:
    """A uvicorn server around an App; `run` blocks until `stop`, or until SIGTERM or Ctrl-C in the main thread."""

    def __init__(self, app: App, host: str = "127.0.0.1", port: int = 0) -> None:
        self.app = app
        self._socket = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
        bound = self._socket.getsockname()[1]
        self.url = f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
        self._server: uvicorn.Server | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        import uvicorn  # noqa: PLC0415 - 60 ms that only a Hub needs

        config = uvicorn.Config(
            cast("Any", self.app), lifespan="off", log_config=None, log_level="critical", access_log=False, ws="none",
            timeout_graceful_shutdown=2, timeout_keep_alive=60, server_header=False,
        )  # fmt: skip
        self._server = server = uvicorn.Server(config)

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self.app.stopping = asyncio.Event()
            serving = asyncio.create_task(server._serve(sockets=[self._socket]))  # noqa: SLF001 - without its signal handlers
            while not (server.started or serving.done()):
                await asyncio.sleep(0.001)
            self._ready.set()
            ready()
            await serving

        try:
            with _signals(self.stop):
                asyncio.run(serve())
        finally:
            self._ready.set()
            self._socket.close()

    def wait_ready(self) -> None:
        self._ready.wait()

    def stop(self) -> None:
        """From any thread; those who wait in a delay are let go."""
        if self._server is not None:
            self._server.should_exit = True
        if self._loop is not None and self.app.stopping is not None:
            self._loop.call_soon_threadsafe(self.app.stopping.set)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {which: signal.signal(which, lambda *_: stop()) for which in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def run(app: App, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` is told the URL once calls are answered. OSError when the port is taken."""
    serving = Serving(app, host, port)
    serving.run(lambda: ready(serving.url))
    app.save()


__all__ = ["App", "Serving", "build", "run"]
