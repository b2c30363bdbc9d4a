"""The HTTP server of the local Hub: applies faults and the rate limit to a call, answers it from the world, and sends
the answer.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import replace
from email.utils import formatdate
from types import FrameType
from typing import Any, cast
from uuid import uuid4

import uvicorn

from hf_gate.hub.protocol.endpoints import RecognizedCall
from hf_gate.localhub.population.seeding import seed_world

from . import control_api
from .faults import FaultPlan, FaultSet
from .handlers import dispatch
from .http_messages import EXPOSED, HttpError, HttpRequest, HttpResponse
from .hub_state import HubState, LocalHubClock, RateLimiter, parse_quota
from .world import World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = logging.getLogger("hf_gate.localhub")
MAX_BODY = 32 << 20  # bytes
PROTOCOLS = ("2026-08", "2026-10-23")


class LocalHubApp(HubState):
    """The ASGI application. It runs in one event loop."""

    stopping: asyncio.Event | None = None
    _answer_count = 0

    # ---- one call ----------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        body = await _read_body(receive)
        if body is None:
            return
        request = _parse_request(scope, body, self.clock.now_ms())
        if len(body) > MAX_BODY:
            await _send_response(send, self._add_headers(HttpError(413, "The body is too large").to_response("json")))
            return
        if request.path.startswith(control_api.PREFIX):
            client = (scope.get("client") or ("",))[0]
            await _send_response(send, self._add_headers(control_api.answer_control_call(self, request, client)))
            return
        call = dispatch.find_call(request)
        self.calls[f"{request.method} {call.endpoint.name if call else 'other'}"] += 1
        plan = self.faults.plan_call(request, call, self.world)
        await self.pause(plan.delay_before)
        response = self.exchange(plan)
        await self.pause(plan.delay_after or self.latency_s - (loop.time() - arrived))
        await self._send_with_faults(send, response, plan)

    def exchange(self, plan: FaultPlan) -> HttpResponse:
        """Count one call and return its answer, with the headers that every answer has."""
        request = plan.request
        headers: dict[str, str] = {}
        if plan.delay_before:
            request = replace(request, now_ms=self.clock.now_ms())
        response = plan.replacement
        if not plan.is_bare:
            bucket = plan.call.endpoint.bucket if plan.call else "api"
            token = request.bearer_token
            caller = token if token and self.world.find_token(token) else ""  # unknown tokens share one budget
            headers, refused = self.limiter.count_call(caller, bucket, self.clock.now())
            response = refused or response
        if response is None:
            response = self._answer_call(request, plan.call)
            for change in plan.changes:
                response = change(response)
        self.replies[str(response.status)] += 1
        response = self._add_headers(response, headers)
        return response.without_hub_headers() if plan.is_foreign else response

    def _answer_call(self, request: HttpRequest, call: RecognizedCall | None) -> HttpResponse:
        """Answer a call; an internal error is a 500 and is logged."""
        try:
            return dispatch.answer_call(self.world, request, call)
        except Exception:  # noqa: BLE001 - a test wants an answer, whatever went wrong
            _log.exception("the local Hub cannot answer %s %s", request.method, request.path)
            error = HttpError(500, "Internal error of the local Hub; see the logger hf_gate.localhub")
            return error.to_response("json")

    async def _send_with_faults(self, send: Send, response: HttpResponse, plan: FaultPlan) -> None:
        """Send a response completely, slowly or cut off.

        An incomplete response makes the server close the connection.
        """
        body = response.body
        if plan.cut_at is None and plan.bps is None:
            await _send_response(send, response)
            return
        await _send_response(send, response, only_head=True)
        end = len(body) if plan.cut_at is None else min(plan.cut_at, max(0, len(body) - 1))
        step = max(1, int(plan.bps / 10)) if plan.bps else max(1, end)
        for start in range(0, end, step):
            await send({"type": "http.response.body", "body": body[start : min(end, start + step)], "more_body": True})
            if plan.bps:
                await self.pause(step / plan.bps)
        if plan.cut_at is None:
            await send({"type": "http.response.body", "body": b""})

    def _add_headers(self, response: HttpResponse, more: Mapping[str, str] | None = None) -> HttpResponse:
        self._answer_count += 1
        trace = f"{self.clock.now_ms() // 1000:08x}-{self.world.world_id[:12]:0<12}{self._answer_count:012x}"
        always = {
            "x-powered-by": "hf-gate local Hub",
            "x-request-id": f"Root=1-{trace}",
            "access-control-expose-headers": EXPOSED,
            "date": formatdate(self.clock.now(), usegmt=True),
            "vary": "Origin",
            "x-hf-gate-clock": self.clock.header,
            "x-hf-gate-world": self.world.world_id,
        }
        return HttpResponse(response.status, {**always, **(more or {}), **response.headers}, response.body)

    async def pause(self, seconds: float) -> None:
        """Wait for real seconds, or until the Hub stops."""
        if seconds <= 0:
            return
        if self.stopping is None:
            self.stopping = asyncio.Event()
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return


async def _read_body(receive: Receive) -> bytes | None:
    """Return the complete body; None if the caller disconnected."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = cast("bytes", message.get("body", b""))
        size += len(part)
        if size - len(part) <= MAX_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _parse_request(scope: Scope, body: bytes, now_ms: int) -> HttpRequest:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    raw_path = cast("bytes", scope.get("raw_path") or scope["path"].encode())
    host = headers.get("host") or ":".join(map(str, scope.get("server") or ("127.0.0.1",)))
    return HttpRequest(
        scope["method"],
        raw_path.partition(b"?")[0].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        headers,
        body,
        now_ms,
        f"http://{host}",
    )


async def _send_response(send: Send, response: HttpResponse, *, only_head: bool = False) -> None:
    headers = [(name.lower().encode(), value.encode("utf-8", "replace")) for name, value in response.headers.items()]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if not only_head:
        await send({"type": "http.response.body", "body": response.body})


# ---- building and serving --------------------------------------------------------------------------------------------


def build_local_hub_app(  # noqa: PLR0917 - the options of `hub serve`, in its order
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
) -> LocalHubApp:
    """Build a local Hub; raise a one-line ValueError for an invalid option."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"{protocol!r} is not a protocol of the local Hub: write {' or '.join(PROTOCOLS)}")
    if not 10 <= page_size <= 1000:
        raise ValueError("page size must be 10 to 1000")

    def make_world(now_ms: int) -> World:
        world = seed_world(seed, requests, repos, preset, now_ms, protocol=protocol, world_id=uuid4().hex)
        world.page_size = page_size
        return world

    hub_clock = LocalHubClock(clock)
    limiter = RateLimiter(parse_quota(quota))
    wanted = FaultSet(tuple(faults), seed)
    return LocalHubApp(make_world, hub_clock, limiter, wanted, latency_s=latency_s)


class LocalHubServer:
    """Serves a LocalHubApp; `run` blocks until `stop`, or until SIGTERM or Ctrl-C in the main thread."""

    def __init__(self, app: LocalHubApp, host: str = "127.0.0.1", port: int = 0) -> None:
        self.app = app
        self._socket = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
        # Connections inherit this option. asyncio sets it only on its own sockets; without it, each answer takes 40 ms
        # longer.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound = self._socket.getsockname()[1]
        self.url = f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
        self._server: uvicorn.Server | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            cast("Any", self.app),
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=2,
            timeout_keep_alive=60,
            server_header=False,
            date_header=False,
        )
        self.app.stopping = stopping = asyncio.Event()
        self._server = server = _PromptServer(config, self.stop, stopping)

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            serving = asyncio.create_task(server.serve(sockets=[self._socket]))
            while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn has a flag, no event
                await asyncio.sleep(0.001)
            self._ready.set()
            ready()
            await serving

        try:
            asyncio.run(serve())
        finally:
            self._ready.set()
            self._socket.close()

    def wait_ready(self) -> None:
        self._ready.wait()

    def stop(self) -> None:
        """Stop the server from any thread; delays of faults end at once."""
        if self._server is not None:
            self._server.should_exit = True
        if self._loop is not None and self.app.stopping is not None:
            self._loop.call_soon_threadsafe(self.app.stopping.set)


class _PromptServer(uvicorn.Server):
    """Stops without delay. uvicorn's own server checks for a stop every 100 ms and then waits another 100 ms.

    Calls `stop` on a signal: uvicorn's own handler would raise the signal again after the shutdown.
    """

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None], stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        self._stop()

    async def main_loop(self) -> None:
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.tasks:  # calls that have not been answered yet
            await super().shutdown(sockets)
            return
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for listener in self.servers:
            listener.close()
            await listener.wait_closed()


def serve(
    app: LocalHubApp, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] = lambda _: None
) -> None:
    """Serve until SIGTERM or Ctrl-C; call `ready` with the URL once the Hub answers.

    Raise OSError if the port is taken.
    """
    serving = LocalHubServer(app, host, port)
    gc.collect()
    gc.freeze()  # scanning a large world in every garbage collection would delay calls
    serving.run(lambda: ready(serving.url))


__all__ = ["LocalHubApp", "LocalHubServer", "build_local_hub_app", "serve"]
