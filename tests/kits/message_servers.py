"""Receivers of messages on this machine: a webhook that can fail, hang or die, and a mail server with STARTTLS and AUTH."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOOK_KEY = "a-key-of-the-tests-0123456789"


@dataclass
class HookCall:
    """One request that a webhook got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def is_signed(self) -> bool:
        """Whether the signature is right, computed as docs/integrations.md says."""
        text = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        made = "v1," + base64.b64encode(hmac.new(HOOK_KEY.encode(), text, hashlib.sha256).digest()).decode()
        return hmac.compare_digest(made, self.headers["webhook-signature"])


@dataclass
class Hook:
    """A webhook. `answer`: a status, `hang` (never answers) or `die` (takes the message, closes without an answer)."""

    url: str
    answer: int | str = 200
    answers: list[int | str] = field(default_factory=list)  # of the next calls
    calls: list[HookCall] = field(default_factory=list)
    on_call: Callable[[], object] = lambda: None
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def ids(self) -> list[str]:
        return [call.document["id"] for call in self.calls]

    @property
    def events(self) -> list[str]:
        return [call.document["event"] for call in self.calls]

    @property
    def texts(self) -> list[str]:
        return [item["text"] for call in self.calls for item in call.document["items"]]


@contextmanager
def open_hook(*, is_serial: bool = False) -> Iterator[Hook]:
    """A webhook; a serial one takes calls one after the other, in the order of their connections."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            body = self.rfile.read(length)
            if len(body) < length:  # the sender died
                return
            answer = found.answer if not found.answers else found.answers.pop(0)
            found.calls.append(HookCall(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            found.on_call()
            if answer == "hang":
                found.let_go.wait(60)
                return
            if answer == "die":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(int(answer))
            self.send_header("location", f"{found.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:  # only after a redirect
            self.do_POST()

        def log_message(self, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

    server = (HTTPServer if is_serial else ThreadingHTTPServer)(("127.0.0.1", 0), Handler)
    found = Hook(f"http://127.0.0.1:{server.server_address[1]}/hook-9a1b-secret")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        found.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def open_endless_server(part: bytes, pause_s: float) -> Iterator[int]:
    """A server that sends the same bytes to everybody until the client goes; its port."""
    server, is_over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def send() -> None:
        with suppress(OSError), server.accept()[0] as connection:
            while not is_over.wait(pause_s):
                connection.sendall(part)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        is_over.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


# ---- mail --------------------------------------------------------------------------------------------------------------


@dataclass
class Mailbox:
    """A mail server. `refusals`: the answer to a recipient, by address; `dies`: closes after the content."""

    port: int = 0
    mails: list[tuple[tuple[str, ...], Message]] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    content_answer: str = "250 OK"
    logins: list[tuple[str, bool]] = field(default_factory=list)
    dies: bool = False
    on_mail: Callable[[], object] = lambda: None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds it by this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        assert isinstance(envelope.content, bytes)
        if self.content_answer.startswith("2"):
            self.mails.append((tuple(envelope.rcpt_tos), message_from_bytes(envelope.content)))
        self.on_mail()
        if self.dies:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return self.content_answer


def make_certificate(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1") -> tuple[Path, Path]:
    """A certificate with its key, for 127.0.0.1 and localhost or other names; clients trust it through SSL_CERT_FILE."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    words += ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


class _Server(Controller):
    def _trigger_server(self) -> None:
        """Connect once, so that the server is known to work."""
        with suppress(OSError), socket.create_connection((self.hostname, self.port), 5):
            pass


@contextmanager
def open_mailbox(certificate: tuple[Path, Path] | None, *, password: str | None = None) -> Iterator[Mailbox]:
    """A mail server: with STARTTLS if it has a certificate, and with a login if it has a password."""
    found = Mailbox()

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _kind: str, data: Any) -> AuthResult:
        is_right = isinstance(data, LoginPassword) and data.password == (password or "").encode()
        found.logins.append((data.login.decode(), is_right))
        return AuthResult(success=is_right, handled=is_right)  # not handled: the server itself answers 535

    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found.port = probe.getsockname()[1]
    more: dict[str, Any] = {}
    if password is not None:
        more = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": certificate is not None}
    server = _Server(
        found, hostname="127.0.0.1", port=found.port, tls_context=context, require_starttls=context is not None, **more
    )
    server.start()
    try:
        yield found
    finally:
        server.stop()
