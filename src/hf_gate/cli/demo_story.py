"""The story that demo tells: what is said, what is claimed and checked, and the local Hub that it plays on."""

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
    """What was said and checked so far."""

    run: Run
    url: str
    tokens: Mapping[str, str]
    steps: list[dict[str, object]] = field(default_factory=list)

    def print(self, text: str = "") -> None:
        """A line for people; with --json nobody reads it."""
        if self.run.out.is_human:
            self.run.out.line(text)

    def check(self, name: str, *, ok: bool, detail: str) -> None:
        """A claim of the story, which ends there when it does not hold."""
        self.steps.append({"step": name, "ok": ok, "detail": detail})
        self.print(f"  {'✓' if ok else '✗'} {detail}")
        if not ok:
            raise HfGateError(
                f"the demo is not what it says: {detail}.",
                hint="Please report this; nothing but the local Hub was touched.",
            )

    @contextmanager
    def hub(self, token: str) -> Iterator[Hub]:
        """The local Hub as somebody."""
        from ..hub.client import Hub  # noqa: PLC0415 - help needs none of it

        with Hub(self.tokens.get(token, token), self.url) as hub:
            yield hub

    def post_control(self, path: str, body: object) -> Any:  # noqa: ANN401 - whatever JSON it answers
        """Does something through the local Hub's own door."""
        return self._door("POST", path, json.dumps(body))

    def read_control(self, path: str) -> Any:  # noqa: ANN401 - as above
        """Reads something there."""
        return self._door("GET", path, None)

    def _door(self, method: str, path: str, body: str | None) -> Any:  # noqa: ANN401 - as above
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
    """A command of ours that goes on running, with the JSON of its first line; it ends with the `with`.

    None of this process's HF_GATE_ settings reach it, but what `env` says. `err`: where its stderr goes, if not to ours.
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
