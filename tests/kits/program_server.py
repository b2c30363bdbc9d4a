"""Runs hf-gate for tests in forks of a process that has loaded its modules, because most of a command's time is imports.

A fork is a process with its own folder, variables, streams and exit code. How the program starts is not tested by it:
whoever uses this starts each command as a program of its own elsewhere.
"""

from __future__ import annotations

import array
import gc
import importlib
import io
import os
import pkgutil
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import hf_gate
from tests.kits.paths import KITS, ROOT

CLIENT: Final = KITS / "program_client.py"
_IS_POSSIBLE: Final = hasattr(os, "pidfd_open") and hasattr(os, "waitstatus_to_exitcode")
_OPTIONAL: Final = {"joserfc"}  # packages of extras that a module needs when it is loaded
_running: Final[list[tuple[subprocess.Popen[bytes], Path]]] = []


def program_words() -> list[str]:
    """The words that stand for `hf-gate` in a command; the first call starts the server of this test process."""
    if not _IS_POSSIBLE:
        return [sys.executable, "-m", "hf_gate"]
    if not _running:
        folder = Path(tempfile.mkdtemp(prefix="programs-"))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
        words = [sys.executable, "-m", "tests.kits.program_server", str(folder / "socket")]
        server = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE)
        _running.append((server, folder))
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
    return [sys.executable, "-I", "-S", str(CLIENT), str(_running[0][1] / "socket")]


def stop_server() -> None:
    """End the server of this test process, if it runs."""
    for server, folder in _running:
        server.terminate()
        server.communicate()
        shutil.rmtree(folder, ignore_errors=True)
    _running.clear()


def _load() -> None:
    for found in pkgutil.walk_packages(hf_gate.__path__, "hf_gate."):
        if found.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as problem:
            if problem.name not in _OPTIONAL:
                raise
    gc.collect()
    gc.freeze()


def _serve(address: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if selector.get_map().get(key.fd) is not key:
                continue  # its program ended in this round already
            if key.fileobj is listener:
                client = listener.accept()[0]
                if (started := _start(client, listener)) is None:
                    client.close()
                    continue
                pid, ended = started
                with suppress(OSError):  # a client that is gone is noticed below
                    client.sendall(pid.to_bytes(8, "big"))
                selector.register(ended, selectors.EVENT_READ, (client, pid))
                selector.register(client, selectors.EVENT_READ, (None, pid))
            elif key.data[0] is None:  # the client is gone, and so its program
                selector.unregister(key.fileobj)
                os.kill(key.data[1], signal.SIGKILL)
            else:
                _end(selector, key.fd, *key.data)


def _end(selector: selectors.BaseSelector, ended: int, client: socket.socket, pid: int) -> None:
    """Tell a client how its program ended."""
    selector.unregister(ended)
    os.close(ended)
    status = os.waitpid(pid, 0)[1]
    with suppress(KeyError):
        selector.unregister(client)
    with client, suppress(OSError):
        client.sendall(status.to_bytes(8, "big"))


def _start(client: socket.socket, listener: socket.socket) -> tuple[int, int] | None:
    """Fork for a client; return the id of the process and a descriptor that is readable at its end.

    Return None if the client ended before it sent everything.
    """
    size, ancillary, _, _ = client.recvmsg(8, socket.CMSG_SPACE(3 * array.array("i").itemsize), socket.MSG_WAITALL)
    if not ancillary:
        return None
    streams = array.array("i", ancillary[0][2])
    message = client.recv(length := int.from_bytes(size, "big"), socket.MSG_WAITALL)
    if len(message) == length and (pid := os.fork()) == 0:
        client.detach()
        listener.detach()
        _run(message, streams)
    for number in streams:
        os.close(number)
    return (pid, os.pidfd_open(pid)) if len(message) == length else None


def _run(message: bytes, streams: array.array[int]) -> None:
    """Become hf-gate, with what a client sent."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    folder, count, *rest = message.split(b"\0")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 256)
    os.chdir(folder)
    os.environ.clear()
    for line in rest[int(count) :]:
        name, _, value = line.partition(b"=")
        os.environb[name] = value
    time.tzset()
    sys.argv = ["hf-gate", *map(os.fsdecode, rest[: int(count)])]
    sys.stdin, sys.stdout, sys.stderr = (_open_stream(number) for number in range(3))
    from hf_gate.command_line.main import main

    main()


def _open_stream(number: int) -> io.TextIOWrapper:
    """Open a standard stream as Python does when it starts."""
    is_raw = number > 0 and bool(os.environ.get("PYTHONUNBUFFERED"))
    binary = open(number, "rb" if number == 0 else "wb", buffering=0 if is_raw else -1, closefd=False)  # noqa: SIM115
    is_by_line = number == 2 or os.isatty(number)
    return io.TextIOWrapper(
        binary,
        "utf-8",
        "backslashreplace" if number == 2 else "strict",
        line_buffering=is_by_line,
        write_through=is_raw,
    )


if __name__ == "__main__":
    _load()
    _serve(sys.argv[1])
