"""Serves the desk with uvicorn and runs its background worker."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, cast
from urllib.parse import urlsplit

from ..application.sign_in_organizations import forget_organizations
from ..domain.ids import Repo
from ..domain.network_hosts import is_loopback_host
from ..errors import UsageError
from .app import build_app
from .app_state import LOCAL_HOLD, SHARED_HOLD, AppState
from .background_worker import BackgroundWorker
from .hub_sign_in import build_hub_sign_in, find_space_origin
from .private_host import ensure_private_host, listen_on_other_loopback
from .sign_in import Authenticator
from .terminal import Terminal

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
        """Serve until SIGTERM or Ctrl-C. `ready` is called when the desk answers."""
        import uvicorn

        from .connections import BoundedConnection, handle_loop_error

        worker = BackgroundWorker(self.app_state, self.repos)
        self.app_state.request_sync = worker.request_sync
        terminal = Terminal(self.app_state, self.authenticator, self.local_url)
        hosts = allowed_hosts(self.host, self.port, self.public_url, self.private_host)
        app = build_app(self.app_state, self.authenticator, hosts, terminal, public_origin=self.public_url)
        config = uvicorn.Config(
            cast("Any", app), lifespan="off", log_config=None, log_level="critical", access_log=False, ws="none",
            timeout_graceful_shutdown=2, server_header=False, date_header=True, proxy_headers=False,
            http=BoundedConnection, backlog=_BACKLOG,
        )  # fmt: skip

        class HttpServer(uvicorn.Server):
            """Ends on a signal. uvicorn's own handler would raise the signal again after the shutdown."""

            def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
                self.should_exit = True

        server = HttpServer(config)

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

    def close(self) -> None:
        """Stop listening."""
        for one in self._sockets:
            one.close()


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """Write the log of the web modules to stderr; the handler of the library discards it."""
    log, handler = logging.getLogger("hf_gate.web"), logging.StreamHandler()
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
    """Return the origin of the desk in browsers: the given address, else that of the Space; None on this machine only."""
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
