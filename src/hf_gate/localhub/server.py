"""The HTTP skin of the local Hub: takes a call, lets faults, quota and world have their say, and sends what comes out."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from ..protocol.endpoints import RecognizedCall
from . import control, handlers, keep
from .clock import HubClock
from .faults import FaultSet, Plan
from .people import Scene
from .quota import Limiter, parse_quota
from .running import Running
from .seeding import oracle, seed_world
from .wire import EXPOSED, Answered, Asked, Refusal
from .world import World

if TYPE_CHECKING:
    import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = logging.getLogger("hf_gate.localhub")
BIGGEST = 32 << 20  # bytes of a body that is read
PROTOCOLS = ("2026-08", "2026-10-23")


class App(Running):
    """The ASGI application. All of it runs in one event loop."""

    stopping: asyncio.Event | None = None
    _asked = 0

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
        if len(body) > BIGGEST:
            await _send(send, self._dressed(Refusal(413, "The body is too large").answered("json")))
            return
        if asked.path.startswith(control.PREFIX):
            client = (scope.get("client") or ("",))[0]
            await _send(send, self._dressed(control.answer(self, asked, client)))
            return
        call = handlers.route_of(asked)
        self.calls[f"{asked.method} {call.endpoint.name if call else 'other'}"] += 1
        plan = self.faults.plan(asked, call, self.world)
        await self.pause(plan.delay_before)
        answered = self.exchange(plan)
        await self.pause(plan.delay_after or self.latency_s - (loop.time() - arrived))
        await self._deliver(send, answered, plan)

    def exchange(self, plan: Plan) -> Answered:
        """What is said to one call, counted and with the headers of every answer."""
        asked = plan.asked
        headers: dict[str, str] = {}
        if plan.delay_before:
            asked = replace(asked, now_ms=self.clock.now_ms())
        answered = plan.instead
        if not plan.is_bare:
            bucket = plan.call.endpoint.bucket if plan.call else "api"
            known = asked.bearer if asked.bearer and self.world.token(asked.bearer) else ""  # all others are one caller
            headers, refused = self.limiter.take(known, bucket, self.clock.now())
            answered = refused or answered
        if answered is None:
            answered = self._answer(asked, plan.call)
            for change in plan.mend:
                answered = change(answered)
        self.replies[str(answered.status)] += 1
        return self._dressed(answered, headers)

    def _answer(self, asked: Asked, call: RecognizedCall | None) -> Answered:
        """A mistake of ours is a 500 that says so, and is told in full to the logger."""
        try:
            return handlers.answer(self.world, asked, call)
        except Exception:  # noqa: BLE001 - a test wants an answer, whatever went wrong
            _log.exception("the local Hub cannot answer %s %s", asked.method, asked.path)
            return Refusal(
                500, "The local Hub has a fault of its own here; the logger hf_gate.localhub has it"
            ).answered("json")

    async def _deliver(self, send: Send, answered: Answered, plan: Plan) -> None:
        """Whole, or slowly, or cut off: a response that is not completed makes the server close the connection."""
        body = answered.body
        if plan.cut_at is None and plan.bps is None:
            await _send(send, answered)
            return
        await _send(send, answered, only_head=True)
        end = len(body) if plan.cut_at is None else min(plan.cut_at, max(0, len(body) - 1))
        step = max(1, int(plan.bps / 10)) if plan.bps else max(1, end)
        for start in range(0, end, step):
            await send({"type": "http.response.body", "body": body[start : min(end, start + step)], "more_body": True})
            if plan.bps:
                await self.pause(step / plan.bps)
        if plan.cut_at is None:
            await send({"type": "http.response.body", "body": b""})

    def _dressed(self, answered: Answered, more: Mapping[str, str] | None = None) -> Answered:
        self._asked += 1
        always = {
            "x-powered-by": "hf-gate local Hub",
            "x-request-id": f"Root=1-{self.clock.now_ms() // 1000:08x}-{self.world.world_id[:12]:0<12}{self._asked:012x}",
            "access-control-expose-headers": EXPOSED,
            "date": formatdate(self.clock.now(), usegmt=True),
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
        if size - len(part) <= BIGGEST:
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


async def _send(send: Send, answered: Answered, *, only_head: bool = False) -> None:
    headers = [(name.lower().encode(), value.encode("utf-8", "replace")) for name, value in answered.headers.items()]
    headers.append((b"content-length", str(len(answered.body)).encode()))
    await send({"type": "http.response.start", "status": answered.status, "headers": headers})
    if not only_head:
        await send({"type": "http.response.body", "body": answered.body})


# ---- making and running -------------------------------------------------------------------------------------------------


def build(  # noqa: PLR0917 - the options of `hub serve`, in its order
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
        world, drawn = seed_world(seed, requests, repos, preset, now_ms, protocol=protocol, world_id=uuid4().hex)
        world.page_size = page_size
        if data_dir is not None:
            _write_oracle(data_dir, drawn)
        return world

    hub_clock, limiter, wanted = HubClock(clock), Limiter(parse_quota(quota)), FaultSet(tuple(faults), seed)
    kept = None if data_dir is None else keep.load(data_dir)
    if kept is not None:
        kept[0].protocol, kept[0].page_size = protocol, page_size
        hub_clock.advance(kept[1] / 1000 - hub_clock.now())
    world = None if kept is None else kept[0]
    return App(make_world, hub_clock, limiter, wanted, latency_s=latency_s, kept=world, folder=data_dir)


def _write_oracle(folder: Path, drawn: Scene) -> None:
    """What is true of each request, beside the world and never on the wire."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with keep.private(folder / keep.ORACLE) as file:
        file.writelines(oracle(drawn))


class Serving:
    """A uvicorn server around an App; `run` blocks until `stop`, or until SIGTERM or Ctrl-C in the main thread."""

    def __init__(self, app: App, host: str = "127.0.0.1", port: int = 0) -> None:
        self.app = app
        self._socket = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
        # Connections inherit it; asyncio sets it on sockets of its own making only, and without it each answer waits 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound = self._socket.getsockname()[1]
        self.url = f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
        self._server: uvicorn.Server | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        import uvicorn  # noqa: PLC0415 - 60 ms that only a Hub needs

        config = uvicorn.Config(
            cast("Any", self.app), lifespan="off", log_config=None, log_level="critical", access_log=False, ws="none",
            timeout_graceful_shutdown=2, timeout_keep_alive=60, server_header=False, date_header=False,
        )  # fmt: skip
        self._server = server = uvicorn.Server(config)

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self.app.stopping = asyncio.Event()
            serving = asyncio.create_task(server._serve(sockets=[self._socket]))  # noqa: SLF001 - without its signal handlers
            while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn has a flag, no event
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
    gc.collect()
    gc.freeze()  # a large world never goes away: looking through it again and again would stall calls
    serving.run(lambda: ready(serving.url))
    app.save()


__all__ = ["App", "Serving", "build", "run"]
