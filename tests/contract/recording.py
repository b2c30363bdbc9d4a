"""A proxy between clients and a local Hub that records every exchange unchanged."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from .openapi import Exchange

_NOT_HANDED_ON = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


class Recording:
    """The proxy's address and the exchanges so far."""

    def __init__(self) -> None:
        self.url = ""
        self.exchanges: list[Exchange] = []
        self._next: set[str] = set()
        self._lock = threading.Lock()

    def note(
        self, method: str, target: str, agent: str, sent: bytes, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        """Record one exchange, in the order of the answers."""
        with self._lock:
            is_next = target in self._next
            self.exchanges.append(
                Exchange(method, target, sent, status, headers, body, agent.startswith("hf-gate/"), is_next)
            )
            for link in re.findall(r"<([^>]+)>; rel=\"next\"", headers.get("link", "")):
                parts = urlsplit(link)
                self._next.add(f"{parts.path}?{parts.query}")


@contextmanager
def recording(hub_url: str) -> Iterator[Recording]:
    """Run a proxy to the Hub at `hub_url` within a `with` block."""
    record = Recording()
    place = urlsplit(hub_url).netloc

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            hub = HTTPConnection(place, timeout=60)
            try:
                hub.request(self.command, self.path, sent or None, dict(self.headers.items()))
                answer = hub.getresponse()
                body = answer.read()
            finally:
                hub.close()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            record.note(self.command, self.path, self.headers.get("user-agent", ""), sent, answer.status, headers, body)
            kept = [f"{name}: {value}" for name, value in headers.items() if name not in _NOT_HANDED_ON]
            head = "\r\n".join([f"HTTP/1.1 {answer.status} {answer.reason}", *kept, "", ""])
            self.wfile.write(head.encode("latin-1") + body)  # at once: two small packets would wait for each other

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _pass  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    record.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
