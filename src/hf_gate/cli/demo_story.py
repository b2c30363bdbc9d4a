"""Prints and checks the steps of the demo, and controls its local Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import HfGateError
from .framework import Run

if TYPE_CHECKING:
    from ..hub.client import Hub


@dataclass(slots=True)
class Story:
    """The steps of the demo so far."""

    run: Run
    url: str
    tokens: Mapping[str, str]
    steps: list[dict[str, object]] = field(default_factory=list)

    def print(self, text: str = "") -> None:
        """Print a line in the human format; other formats print only the document at the end."""
        if self.run.out.is_human:
            self.run.out.line(text)

    def check(self, name: str, *, ok: bool, detail: str) -> None:
        """Record a checked step. Raises HfGateError if it failed."""
        self.steps.append({"step": name, "ok": ok, "detail": detail})
        self.print(f"  {'✓' if ok else '✗'} {detail}")
        if not ok:
            raise HfGateError(
                f"a step of the demo failed: {detail}.",
                hint="Please report this. Only the local Hub was used.",
            )

    @contextmanager
    def hub(self, token: str) -> Iterator[Hub]:
        """Open a client of the local Hub with a token, given by its value or its holder."""
        from ..hub.client import Hub

        with Hub(self.tokens.get(token, token), self.url) as hub:
            yield hub

    def post_control(self, path: str, body: object) -> Any:  # noqa: ANN401 - whatever JSON it answers
        """Send a request to the local Hub's control API and return its answer."""
        return self._control_request("POST", path, json.dumps(body))

    def read_control(self, path: str) -> Any:  # noqa: ANN401 - as above
        """Read from the local Hub's control API."""
        return self._control_request("GET", path, None)

    def _control_request(self, method: str, path: str, body: str | None) -> Any:  # noqa: ANN401 - as above
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, f"/_hf_gate/{path}", body, {"content-type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def start_command(
    words: Sequence[str],
    *,
    hint: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    err: int | None = None,
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a long-running hf-gate command; yield the process and the JSON of its first line. Terminates it at the end.

    The child process gets `env`, but none of this process's HF_GATE_ variables. `err` is the target of its stderr; by
    default, it is inherited.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_GATE_")} | dict(env or {})
    command = [sys.executable, "-m", "hf_gate", *words]
    child = subprocess.Popen(  # noqa: S603 - ourselves
        command, stdout=subprocess.PIPE, stderr=err, text=True, env=clean, cwd=cwd
    )
    try:
        line = child.stdout.readline() if child.stdout else ""
        if not line:
            raise HfGateError(f"`hf-gate {' '.join(words[:2])}` did not start.", hint=hint)
        yield child, json.loads(line)
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()
