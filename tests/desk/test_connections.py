"""Connections that send or read nothing keep nobody else from the desk, and fill no log."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hf_gate.desk.server import BoundedConnection
from hf_gate.testing import LocalHub
from tests.kits.desk import STARTED, Desk, DeskProgram, run_desk_program, serve_desk, write_desk

HALF = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n"


class Quick(BoundedConnection):
    """The same with short deadlines."""

    most, head_seconds, body_seconds, read_seconds = 8, 0.2, 0.3, 0.3


@contextmanager
def _half_open(url: str, number: int) -> Iterator[list[socket.socket]]:
    """So many connections that have sent half of a request."""
    to = urlsplit(url)
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            one = stack.enter_context(socket.create_connection((to.hostname, to.port), 10))
            one.sendall(HALF)
            opened.append(one)
        yield opened


def _status(url: str, path: str = "/healthz") -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _is_closed(one: socket.socket) -> bool:
    """Whether the other end closes it within the timeout of the socket."""
    try:
        return one.recv(1 << 16) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@pytest.fixture
def program(tmp_path: Path) -> Iterator[DeskProgram]:
    """A desk of its own process."""
    with LocalHub(requests=0, repos=1) as local:
        write_desk(tmp_path, local)
        with run_desk_program(tmp_path, local) as running:
            yield running


def test_hundreds_of_half_open_connections_keep_nobody_from_the_desk(program: DeskProgram, tmp_path: Path) -> None:
    with _half_open(program.url, 400) as opened:
        assert _status(program.url) == 200
        assert _status(program.url, "/queue") == 401
        for one in opened[: 400 - BoundedConnection.max_connections]:
            assert _is_closed(one), "the oldest made room"
    assert (tmp_path / "ui.err").stat().st_size < 2_000


def test_bodies_in_chunks_of_one_byte_keep_nobody_from_the_desk(program: DeskProgram) -> None:
    to = urlsplit(program.url)
    head = f"POST /sign-in HTTP/1.1\r\nhost: {to.netloc}\r\norigin: {program.url}\r\ntransfer-encoding: chunked\r\n\r\n"
    for before in ("", f"GET /healthz HTTP/1.1\r\nhost: {to.netloc}\r\n\r\n"):
        with socket.create_connection((to.hostname, to.port), 10) as one, suppress(ConnectionError):
            one.sendall((before + head).encode() + b"1\r\na\r\n" * 1_000)
            answers = b""
            while part := one.recv(1 << 16):
                answers += part
            last = answers[answers.rindex(b"HTTP/1.1 ") :]
            assert last.startswith(b"HTTP/1.1 400 "), "it is closed before the chunks are read"
            assert b"A body needs a Content-Length." in last
    assert _status(program.url) == 200


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="there is no prlimit to lower a limit with")
def test_a_desk_without_free_file_descriptors_says_so_once_and_answers_again(tmp_path: Path) -> None:
    with LocalHub(requests=0, repos=1) as local:
        write_desk(tmp_path, local)
        limited = ("prlimit", "--nofile=64", *STARTED)
        with run_desk_program(tmp_path, local, start=limited) as program, _half_open(program.url, 100):
            assert _status(program.url) == 200
    log = (tmp_path / "ui.err").read_text()
    assert log.count("could not be accepted: Too many open files") == 1
    assert "Traceback" not in log
    assert len(log) < 2_000


# ---- deadlines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [b"", HALF, b"POST /tray HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" + HALF],
    ids=["nothing", "half of a head", "half of a body", "a whole request and half of another"],
)  # fmt: skip
def test_a_request_that_does_not_arrive_is_not_waited_for(desk: Desk, sent: bytes) -> None:
    with (
        serve_desk(desk, Quick) as url,
        socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 5) as one,
    ):
        one.sendall(sent)
        assert _ends(one)


def _ends(one: socket.socket) -> bool:
    """Reads whatever is answered, to the end."""
    while True:
        try:
            if not one.recv(1 << 16):
                return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


@pytest.mark.parametrize(
    "head", [b"", b"POST /tray HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n"], ids=["head", "body"]
)
def test_bytes_that_drip_in_do_not_extend_a_deadline(desk: Desk, head: bytes) -> None:
    with (
        serve_desk(desk, Quick) as url,
        socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 0.05) as one,
    ):
        one.sendall(head)
        for _ in range(200):  # ten seconds, if nobody ends it
            try:
                one.sendall(b"x")
            except (BrokenPipeError, ConnectionResetError):
                return
            if _is_closed(one):
                return
    pytest.fail("it was still open")


def test_a_client_that_reads_nothing_of_its_answer_is_not_waited_for(crowded: Desk) -> None:
    cookies = "; ".join(f"{name}={value}" for name, value in crowded.visitor().cookies.items())
    ask = f"GET /queue.json?q= HTTP/1.1\r\nhost: x\r\ncookie: {cookies}\r\n\r\n".encode()
    ended = threading.Event()

    class Seen(Quick):
        def abort(self) -> None:
            super().abort()
            ended.set()

    with serve_desk(crowded, Seen) as url, socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((urlsplit(url).hostname, urlsplit(url).port))
        one.sendall(ask * 200)
        assert ended.wait(60)


def test_a_connection_that_is_kept_for_another_request_is_answered(desk: Desk) -> None:
    with serve_desk(desk, Quick) as url:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
        for _ in range(3):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"ok\n")
        connection.close()
