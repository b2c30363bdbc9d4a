"""Asks the server of `program_server.py` to run hf-gate with the arguments, folder, variables and streams of this process.

Run with `python -I -S`, so it imports almost nothing.
"""

from __future__ import annotations

import array
import os
import signal
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket


def main(address: str, words: list[str]) -> int:
    """Run one command; return its exit code. Signals are passed on."""
    variables = [name + b"=" + value for name, value in os.environb.items()]
    fields = [os.getcwdb(), str(len(words)).encode(), *map(os.fsencode, words), *variables]  # noqa: PTH109 - pathlib takes longer to load than all else
    message = b"\0".join(fields)
    server = socket(AF_UNIX, SOCK_STREAM)
    server.connect(address)
    server.sendmsg([len(message).to_bytes(8, "big")], [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [0, 1, 2]))])
    server.sendall(message)
    pid = int.from_bytes(server.recv(8), "big")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: os.kill(pid, received))
    status = server.recv(8)
    return os.waitstatus_to_exitcode(int.from_bytes(status, "big")) if status else 70


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2:])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
