"""A Hub on a bare socket that answers with any bytes a test chooses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

Say = Callable[["RawHub", socket.socket, str], None]


class RawHub:
    """A socket that records the first line and headers of each request and answers with the bytes that `say` writes."""

    def __init__(self, say: Say) -> None:
        self._say, self.lines, self.headers = say, list[str](), list[bytes]()
        self.came, self.answered, self.over = threading.Event(), threading.Event(), threading.Event()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                caller, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with caller, caller.makefile("rb") as asked:
            try:
                while line := asked.readline().decode():
                    length = 0
                    while (header := asked.readline()) not in (b"\r\n", b""):
                        name, _, value = header.partition(b":")
                        length = int(value) if name.lower() == b"content-length" else length
                        self.headers.append(header)
                    asked.read(length)
                    self.lines.append(line)
                    self.came.set()
                    self._say(self, caller, line)
                    self.answered.set()
            except OSError:
                return

    def close(self) -> None:
        self.over.set()
        self._door.close()


@contextmanager
def open_raw_hub(say: Say) -> Iterator[RawHub]:
    hub = RawHub(say)
    try:
        yield hub
    finally:
        hub.close()


def answer(caller: socket.socket, status: str, body: bytes = b"{}", *headers: bytes) -> None:
    lines = [f"HTTP/1.1 {status}".encode(), b"content-length: %d" % len(body), *headers]
    caller.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)


def drip(head: bytes, piece: bytes) -> Say:
    def say(hub: RawHub, caller: socket.socket, _line: str) -> None:
        caller.sendall(head)
        while not hub.over.wait(0.05):
            caller.sendall(piece)

    return say


DRIPS = {
    "a header": drip(b"HTTP/1.1 200 OK\r\nx-slow: ", b"a"),
    "103 again and again": drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "an extension of a chunk": drip(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=", b"a"),
    "a body": drip(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b"a"),
}


def serve_answers(given_answers: dict[str, tuple[str, list[tuple[bytes, bytes]], bytes]]) -> Say:
    def say(_hub: RawHub, caller: socket.socket, line: str) -> None:
        status, sent, body = next(value for name, value in given_answers.items() if name in line)
        answer(caller, status, b"" if line.startswith("HEAD") else body, *(b"%s: %s" % pair for pair in sent))

    return say


OK_ANSWERS: Final = {
    "whoami": (
        "200 OK",
        [(b"x-request-id", b"1")],
        b'{"type":"user","name":"mia","auth":{"accessToken":{"role":"read"}}}',
    ),
    "auth-check": ("200 OK", [(b"x-request-id", b"1")], b"OK"),
    "resolve": ("200 OK", [(b"x-request-id", b"1")], b"{}"),
    "/api/": ("200 OK", [(b"x-request-id", b"1")], b'{"gated":"manual","siblings":[{"rfilename":"config.json"}]}'),
}
