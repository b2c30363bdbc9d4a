"""Serves the desk with uvicorn, limits its connections, and runs its background worker."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, ClassVar, Final, cast
from urllib.parse import urlsplit

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from hf_gate.base.ids import Repo
from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.desk.decisions.background_worker import BackgroundWorker
from hf_gate.desk.members.hub_sign_in import build_hub_sign_in, find_space_origin
from hf_gate.desk.members.sign_in import Authenticator
from hf_gate.desk.members.terminal import Terminal
from hf_gate.errors import UsageError
from hf_gate.members.service.sign_in import forget_organizations

from .app import build_desk_app
from .app_state import LOCAL_HOLD, SHARED_HOLD, AppState
from .private_host import ensure_private_host, listen_on_other_loopback

_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_MAX_HEAD: Final = 1 << 16  # bytes of a request head, as uvicorn has it


class RateLimitedLog:
    """Logs each warning at most once a minute, with the number of times it was suppressed."""

    PAUSE: ClassVar[float] = 60.0

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._next: dict[str, tuple[float, int]] = {}  # time of the next line, number suppressed since the last

    def warning(self, text: str) -> None:
        """Log a warning, unless it was logged within the last minute."""
        now = time.monotonic()
        at, left_out = self._next.get(text, (now, 0))
        self._next[text] = (at, left_out + 1) if now < at else (now + self.PAUSE, 0)
        if now >= at:
            self._logger.warning("%s%s", text, f" ({left_out} more since the last such line)" if left_out else "")


_log: Final = RateLimitedLog(logging.getLogger("hf_gate.desk"))


class _NoChunks(h11.Connection):
    """Refuses chunked bodies before they are read: chunks of one byte keep the event loop busy for minutes."""

    def next_event(self) -> Any:  # noqa: ANN401 - as h11 has it
        event = super().next_event()
        if isinstance(event, h11.Request) and any(name == b"transfer-encoding" for name, _ in event.headers):
            raise h11.RemoteProtocolError("a body in chunks")
        return event


class BoundedConnection(H11Protocol):
    """An HTTP/1.1 connection with deadlines. A body needs a Content-Length.

    It is closed if a request head takes longer than `head_seconds`, a body longer than `body_seconds`, or if the client
    reads nothing of its answer for `read_seconds`. If more than `most` connections are open, the one that has waited
    longest for its client is closed.
    """

    max_connections: ClassVar[int] = 128
    head_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 30.0
    read_seconds: ClassVar[float] = 60.0

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _watched_cycle: object = None
    is_aborted: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether the connection waits for its client: no complete request is unanswered."""
        current = self._current
        return current is None or current.response_complete or current.more_body

    @property
    def _current(self) -> RequestResponseCycle | None:
        return self.cycle  # None until the first request

    @property
    def waits_until(self) -> float | None:
        """When the client's deadline ends; None while the desk works on its request."""
        timer = self._stalled or self._deadline
        return None if timer is None else timer.when()

    def abort(self) -> None:
        """Close the connection at once and drop what was not sent."""
        self.is_aborted = True
        self.transport.abort()

    # ---- events ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.conn = _NoChunks(h11.SERVER, _MAX_HEAD)
        super().connection_made(cast("asyncio.Transport", transport))
        self._watch()
        here = _open_connections(self.connections)
        if len(here) > self.max_connections:
            _log.warning("too many connections: the one that waited longest is closed for each new one")
            (_longest_waiting([one for one in here if one is not self], 1) or [self])[0].abort()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that uvicorn cannot read, with a hint at the likely cause."""
        super().send_400_response(f"{msg} A body needs a Content-Length.\n")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.read_seconds, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _watch(self) -> None:
        """Start one deadline for each head and one for each body. Slow bytes do not extend it."""
        current = self._current
        is_same = self._deadline is not None and current is self._watched_cycle
        if self.is_waiting and is_same:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.is_waiting:
            is_body = current is not None and not current.response_complete
            seconds = self.body_seconds if is_body else self.head_seconds
            self._deadline = self.loop.call_later(seconds, self.abort)
            self._watched_cycle = current


# ---- too many connections --------------------------------------------------------------------------------------------


def _open_connections(connections: Iterable[object]) -> list[BoundedConnection]:
    return [
        connection
        for connection in connections
        if isinstance(connection, BoundedConnection) and not connection.is_aborted
    ]


def _longest_waiting(connections: Iterable[BoundedConnection], most: int) -> list[BoundedConnection]:
    """Return connections that wait for their client, the longest wait first. Others have a request in progress."""
    waiting = [(until, index, one) for index, one in enumerate(connections) if (until := one.waits_until) is not None]
    return [one for *_, one in sorted(waiting)[:most]]


def handle_loop_error(connections: Collection[object]) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return an exception handler for an event loop that accepts these connections.

    Without a free file descriptor no connection can be accepted. asyncio logs a traceback for each one that waits. This
    handler writes one line, and closes half of the connections that wait for their client.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        problem = context.get("exception")
        if not (isinstance(problem, OSError) and problem.errno in _OUT_OF_RESOURCES):
            loop.default_exception_handler(context)
            return
        _log.warning(f"a connection could not be accepted: {problem.strerror}")
        here = _open_connections(connections)
        for one in _longest_waiting(here, (len(here) + 1) // 2):
            one.abort()

    return handle


_BACKLOG = 128  # connections waiting to be accepted


@dataclass
class Server:
    """One desk on one address. Raises OSError if the address is in use."""

    app_state: AppState
    repos: Callable[[], Sequence[Repo]]
    host: str = "127.0.0.1"
    port: int = 7860
    public_url: str | None = None  # an origin from `parse_public_url`
    environ: Mapping[str, str] = field(default_factory=dict)  # the variables of this process, for sign-in with the Hub
    follow_token: Callable[[], None] = lambda: None  # uses the token that its source holds now
    url: str = field(init=False)  # the address for browsers
    local_url: str = field(init=False)  # the address it listens on
    authenticator: Authenticator = field(init=False)
    private_host: str | None = field(init=False, default=None)  # NAME.localhost, if it has one
    _sockets: list[socket.socket] = field(init=False)

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        is_port_fixed = self.port != 0
        self._sockets = [socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)]
        self.port = self._sockets[0].getsockname()[1]
        self.local_url = f"http://{_display_host(self.host)}:{self.port}"
        self.url = self.app_state.url = self.public_url or self.local_url
        is_https = self.public_url is not None
        self.app_state.hub_sign_in = build_hub_sign_in(
            self.app_state.workspace, self.environ, self.public_url, self.host, self.port, is_port_fixed=is_port_fixed
        )
        if self.app_state.hub_sign_in.client is not None:
            forget_organizations(self.app_state.workspace.store, self.app_state.hub_sign_in.roles)
        self.authenticator = Authenticator(
            self.app_state, "__Host-hf-gate" if is_https else f"hf-gate-{self.port}", is_https=is_https
        )
        beside = None if is_https else listen_on_other_loopback(self.host, self.port, _BACKLOG)
        if beside is not None:
            self._sockets += beside
            self.private_host = ensure_private_host(self.app_state.workspace)
            self.authenticator.private_origin = f"http://{self.private_host}:{self.port}"
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_open_to_others(self) -> bool:
        """Whether other machines can reach the desk without TLS."""
        return self.public_url is None and not is_loopback_host(self.host)

    def login_url(self) -> str:
        """Return a new link that signs the owner in once."""
        return f"{self.url}/sign-in?t={self.authenticator.make_link()}"

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or Ctrl-C. `ready` is called when the desk answers.

        Raises StoreTooNew when a newer hf-gate changed the store so that this desk cannot go on.
        """
        worker = BackgroundWorker(self.app_state, self.repos, self.follow_token)
        self.app_state.request_sync = worker.request_sync
        self.app_state.announce()
        terminal = Terminal(self.app_state, self.authenticator, self.local_url)
        hosts = allowed_hosts(self.host, self.port, self.public_url, self.private_host)
        app = build_desk_app(self.app_state, self.authenticator, hosts, terminal, public_origin=self.public_url)
        config = uvicorn.Config(
            cast("Any", app),
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=2,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            http=BoundedConnection,
            backlog=_BACKLOG,
        )

        class HttpServer(uvicorn.Server):
            """Ends on a signal. uvicorn's own handler would raise the signal again after the shutdown."""

            def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
                self.should_exit = True

        server = HttpServer(config)
        worker.end = partial(server.handle_exit, signal.SIGTERM, None)

        async def serve() -> None:
            asyncio.get_running_loop().set_exception_handler(handle_loop_error(server.server_state.connections))
            serving = asyncio.create_task(server.serve(sockets=self._sockets))
            while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn has a flag, no event
                await asyncio.sleep(0.001)
            worker.start()
            ready()
            gc.collect()
            gc.freeze()  # loaded objects stay; a full collection of them would delay a page by 50 ms
            await serving

        try:
            with terminal.announce(), _log_to_stderr():
                asyncio.run(serve())
        finally:
            worker.stop()
            self.app_state.close()
            self.close()
        if worker.fault is not None:
            raise worker.fault

    def close(self) -> None:
        """Stop listening."""
        for one in self._sockets:
            one.close()


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """Write the log of the web modules to stderr; the handler of the library discards it."""
    log = logging.getLogger("hf_gate.desk")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def allowed_hosts(host: str, port: int, public: str | None = None, private: str | None = None) -> frozenset[str] | None:
    """Return the accepted values of Host; None if other machines reach the desk under unknown names."""
    names = ("127.0.0.1", "localhost", "[::1]", _display_host(host), *([] if private is None else [private]))
    own = {f"{name}:{port}" for name in names}
    if public is not None:
        return frozenset({*own, public.partition("://")[2]})
    return frozenset(own) if is_loopback_host(host) else None


def default_hold(host: str, public: str | None) -> float:
    """Return for how many seconds a decision can be undone if `--hold` does not say it."""
    return LOCAL_HOLD if public is None and is_loopback_host(host) else SHARED_HOLD


def resolve_public_url(text: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the origin of the desk in browsers: the given address, else that of the Space; None on
    this machine only.
    """
    address = text or find_space_origin(environ)
    return None if address is None else parse_public_url(address)


def parse_public_url(text: str) -> str:
    """Return the origin of a public address. Raises UsageError if it is not an https address of a host."""
    try:
        url = urlsplit(text.strip().lower())
        port = url.port
    except ValueError:
        raise UsageError(f"--public-url {text} is not an address.") from None
    if url.scheme != "https" or not url.hostname or url.username is not None:
        raise UsageError(
            f"--public-url {text} must be https:// and a host.",
            hint="A proxy in front of the desk ends TLS: --public-url https://desk.example.org",
        )
    if url.path.strip("/") or url.query or url.fragment:
        raise UsageError(f"--public-url {text} must not have a path: the desk needs a separate host.")
    return f"https://{_display_host(url.hostname)}{'' if port in (None, 443) else f':{port}'}"


def _display_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
