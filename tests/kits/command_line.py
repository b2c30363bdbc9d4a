"""Runs the hf-gate command on a local Hub: in a process of its own, or within this one where that is enough."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from hf_gate.command_line.main import run
from hf_gate.testing import LocalHub

SCRIPT = Path(sys.executable).with_name("hf-gate")
PROGRAM = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "hf_gate"]

MODEL, DATASET = "lumen-labs/lantern-7b-chat", "datasets/tidewater-audio/harbour-voices"
HOSTILE = "\x1b[31mEvil\u202egnp.exe\u200b\x07\r=cmd|' /C calc'!A0"


@dataclass(frozen=True)
class CommandResult:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> str:
        """The one line that says what is the matter."""
        found = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert len(found) == 1, self.err
        return found[0]

    @property
    def hint(self) -> str:
        found = [line for line in self.err.splitlines() if line.startswith("Hint: ")]
        assert len(found) == 1, self.err
        return found[0]


class Console:
    """Starts the program as the holder of one of the local Hub's tokens."""

    def __init__(self, hub: LocalHub, holder: str = "owner") -> None:
        self.hub, self.holder = hub, holder

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        token = self.hub.tokens.get(self.holder, self.holder)
        return {**os.environ, "HF_ENDPOINT": self.hub.url, "HF_TOKEN": token, **(more or {})}

    def run(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> CommandResult:
        """Within this process: everything but the first and the last lines of the program."""
        out, err, source = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(3))
        source.buffer.write(stdin.encode())
        source.seek(0)
        with _surroundings(self.environment(env), source), redirect_stdout(out), redirect_stderr(err):
            code = run(list(args))
        return CommandResult(code, _written(out), _written(err))

    def spawn(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> CommandResult:
        """In a process of its own, as a user starts it."""
        done = subprocess.run(
            [*PROGRAM, *args],
            input=stdin.encode(),
            capture_output=True,
            env=self.environment(env),
            timeout=60,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*PROGRAM, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
            preexec_fn=_deliver_interrupts,  # noqa: PLW1509 - a shell that starts jobs in the background ignores Ctrl-C for them
        )


@contextmanager
def _surroundings(environment: Mapping[str, str], stdin: TextIO) -> Iterator[None]:
    before, source = dict(os.environ), sys.stdin
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = stdin
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        sys.stdin = source


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return cast("io.BytesIO", stream.buffer).getvalue().decode()


def _deliver_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def promote_policy(hub: LocalHub, name: str, *holders: str) -> None:
    """Somebody who approves nothing promotes a policy, or the holders of these tokens do."""
    for holder in holders or ("writer",):
        promoted = Console(hub, holder).run("policy", "promote", name, "--yes")
        assert promoted.code == 0, promoted.err


def request_access(
    hub: LocalHub, names: list[str], repo: str = MODEL, answers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """People who ask for a repo; gives the request id of each."""
    kind, spelt = ("dataset", repo.removeprefix("datasets/")) if repo.startswith("datasets/") else ("model", repo)
    known = set(hub.tokens)
    hub.add_people([{"username": name} for name in names if name not in known])
    asked = hub.add_requests(
        [
            {"repo": spelt, "repo_type": kind, "user": name, "answers": dict(answers or {"Purpose": "to listen"})}
            for name in names
        ]
    )
    return {name: line["request_id"] for name, line in zip(names, asked, strict=True)}


def status_of(hub: LocalHub, user: str) -> str | None:
    """Where the last line of the journal about a person leads."""
    moves = [move["to"] for move in hub.journal() if move["user"] == user]
    return moves[-1] if moves else None
