"""A heartbeat is sent after a good turn, and only then; what goes wrong with it fails no turn and names no secret."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console, request_access

SECRET = "/ping/9a1b-secret"


@dataclass
class Receiver:
    """A heartbeat service on this machine. `status`: what it answers."""

    url: str
    status: int = 200
    calls: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def _receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.calls.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            self.send_response(found.status)
            self.send_header("location", f"{found.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with _receiver() as found:
        yield found


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l"], DATASET)
    console = Console(fresh)
    assert console.run("init", DATASET).code == 0
    with (tmp_path / "hf-gate.yaml").open("a", encoding="utf-8") as file:
        file.write("heartbeat_url: env:BEAT\n")
    return console


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "the environment variable BEAT is not set"),
        ("http://beat.example.org/9a1b-secret", "does not hold an https address"),
        ("http://[::1", "does not hold an https address"),
        ("http://127.0.0.1:1/9a1b-secret", "ConnectError"),
        ("https://beat.example.org:abc/9a1b-secret", "does not hold an https address"),
        ("https://127.0.0.1:99999/9a1b-secret", "does not hold an https address"),
        ("https://256.256.256.256/9a1b-secret", "the address is not valid"),
        ("https://127.0.0.1:1/9a1b-secret\x7f", "control character"),
        ("https://127.0.0.1:1/9a1b-secret" + "a" * 70_000, "more than 2,000 characters"),
    ],
)
def test_an_address_that_cannot_be_called_is_a_warning(console: Console, value: str, why: str) -> None:
    ended = console.run("run", "--once", env={"BEAT": value})
    assert (ended.code, why in ended.err, "9a1b-secret" in ended.err) == (0, True, False), ended.err


def test_the_address_can_stand_in_a_private_file(console: Console, receiver: Receiver, tmp_path: Path) -> None:
    desk, file = tmp_path / "hf-gate.yaml", tmp_path / "beat.txt"
    desk.write_text(desk.read_text("utf-8").replace("env:BEAT", "file:beat.txt"), "utf-8")
    file.write_text(receiver.url + SECRET + "\n")
    file.chmod(0o644)
    ended = console.run("run", "--once")
    assert "others can read" in ended.err
    assert "chmod 600" in ended.err
    file.chmod(0o600)
    assert "heartbeat" not in console.run("run", "--once").err
    assert [call["path"] for call in receiver.calls] == [SECRET]
