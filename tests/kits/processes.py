"""A process that has imported everything and forks: each fork runs a command of the program, and may be killed.

Run as `python -m tests.kits.processes`. Each line on stdin is a JSON object: `do` is start or kill; `args` of the
command line (or `part`, a function of `process_steps` with its `values`), `env`, `cwd`, `out` for what it prints. It
answers with the pid, and with how it ended.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.kits.paths import ROOT

START: Final = 120.0  # seconds until it has imported everything, on a machine that is busy


@dataclass(slots=True)
class ForkedProcess:
    """A forked process. `code` as `subprocess` has it: negative when a signal ended it, None while it lives."""

    pid: int
    out: Path
    code: int | None = None

    @property
    def output(self) -> str:
        return self.out.read_text("utf-8", "replace") if self.out.exists() else ""


class ForkServer:
    """Forks processes for the tests, one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count, self._rest = folder, 0, b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kits.processes"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def start(self, env: Mapping[str, str], cwd: Path, *args: str, part: str = "", **values: Any) -> ForkedProcess:
        """Start a fork that runs a command, or a function of `process_steps`."""
        self._count += 1
        out = self._folder / f"child-{self._count}.out"
        order = {
            "do": "start",
            "args": args,
            "part": part,
            "values": values,
            "env": dict(env),
            "cwd": str(cwd),
            "out": str(out),
        }
        self._order(order)
        return ForkedProcess(self._line(START)["pid"], out)

    def wait(self, child: ForkedProcess, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        if child.code is None and (line := self._line(seconds, needed=False)):
            child.code = line["code"]
        return child.code is not None

    def kill(self, child: ForkedProcess) -> None:
        """`kill -9`, unless it has ended by itself; done by its parent, who alone knows that the number is still its own."""
        if child.code is None:
            self._order({"do": "kill"})
            assert self.wait(child, 20.0)

    def _order(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def _line(self, seconds: float, *, needed: bool = True) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\n" not in self._rest:
            if not select.select([self._process.stdout], [], [], seconds)[0]:
                assert not needed, "the fork server does not answer"
                return {}
            self._rest += os.read(self._process.stdout.fileno(), 65536)
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told


# ---- in the process itself ---------------------------------------------------------------------------------------------


def _live(order: Mapping[str, Any]) -> int:
    from hf_gate.command_line.main import run
    from tests.kits import process_steps

    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    null, out = os.open(os.devnull, os.O_RDONLY), os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    if order["part"]:
        return int(getattr(process_steps, order["part"])(**order["values"]) or 0)
    return run(order["args"])


def _tell(message: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _main() -> None:
    from tests.kits import process_steps

    process_steps.preload()
    orders = _Orders()
    while (order := orders.next(None)) is not None:
        if order["do"] == "kill":
            continue  # it had ended by itself
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = _live(order)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _tell({"pid": pid})
        _tell({"code": _watch(pid, orders)})


def _watch(pid: int, orders: _Orders) -> int:
    """How the child ended; it is killed when that is asked for, or when nobody is there any more who would ask."""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if (order := orders.next(0.002)) is None or order.get("do") == "kill":
            os.kill(pid, signal.SIGKILL)


class _Orders:
    """Lines on stdin, asked for with patience or without."""

    def __init__(self) -> None:
        self._rest = b""

    def next(self, seconds: float | None) -> dict[str, Any] | None:
        """The next order, {} when there is none for so long, None when there will be none."""
        while b"\n" not in self._rest:
            if not select.select([0], [], [], seconds)[0]:
                return {}
            more = os.read(0, 65536)
            if not more:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        order: dict[str, Any] = json.loads(line)
        return order


if __name__ == "__main__":
    _main()
