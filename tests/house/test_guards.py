"""The guards of the test suite hold: nobody's token, home or network reaches a test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ForeignSocketError


def test_a_test_has_a_home_of_its_own_and_nobodys_token(private_home: Path) -> None:
    assert Path.home() == private_home
    assert Path(os.environ["HF_HOME"]).is_relative_to(private_home)
    assert not {"HF_TOKEN", "HF_ENDPOINT", "HTTPS_PROXY"} & set(os.environ)


def test_a_program_that_a_test_starts_has_the_same_home(private_home: Path) -> None:
    ask = [sys.executable, "-c", "from pathlib import Path; print(Path.home())"]
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == str(private_home)


def test_talking_to_another_machine_is_refused_and_noted(socket_escapes: list[str]) -> None:
    with socket.socket() as wire, pytest.raises(ForeignSocketError):
        wire.connect(("192.0.2.1", 80))
    with pytest.raises(ForeignSocketError):
        socket.getaddrinfo("example.org", 443)
    assert len(socket_escapes) == 2
    socket_escapes.clear()


def test_talking_to_this_machine_is_fine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as wire:
        assert wire.getpeername() == server.getsockname()
