"""hf-gate itself as a program, in a folder of its own: what a command costs in wall time, in CPU time and in memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .hub_process import RunningHub, environment


@dataclass(frozen=True, slots=True)
class Ran:
    """`cpu`: seconds of the program and of the processes that it made; `peak_mb`: of the largest of them."""

    seconds: float
    cpu: float
    peak_mb: float
    said: str

    @property
    def told(self) -> str:
        """For a cell of the table."""
        return f"{self.seconds:.1f} s ({self.cpu:.1f} s CPU)"


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder with hf-gate.yaml, policies and a store, and the environment that its commands get."""

    folder: Path
    env: Mapping[str, str]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hf_gate", *words]

    def run(self, *words: str, more: Mapping[str, str] | None = None, alone: bool = False) -> Ran:
        """One command to its end; `alone`: on one core. RuntimeError with its last words when it fails."""
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            start = time.perf_counter()
            try:
                if alone and cores:  # what is started now inherits it
                    os.sched_setaffinity(0, {min(cores)})
                child = subprocess.Popen(
                    self.command(*words), cwd=self.folder, env={**self.env, **(more or {})}, stdout=out, stderr=errors
                )
            finally:
                if alone and cores:
                    os.sched_setaffinity(0, cores)
            _, status, usage = os.wait4(child.pid, 0)
            took = time.perf_counter() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            errors.seek(0)
            if child.returncode != 0:
                last = errors.read().strip()[-300:] or out.read().strip()[-300:]
                raise RuntimeError(f"hf-gate {' '.join(words[:2])} ended with {child.returncode}: {last}")
            unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
            return Ran(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, out.read())

    @property
    def store(self) -> Path:
        return self.folder / "desk.db"


@contextmanager
def a_desk(hub: RunningHub, policy: str, **more: str) -> Iterator[Desk]:
    """A desk for all repos of a Hub, with one policy (for REPOS, all of them), for as long as the `with` lasts; `more` goes into the environment."""
    with tempfile.TemporaryDirectory(prefix="hf-gate-bench-") as name:
        folder = Path(name, "desk")
        (folder / "policies").mkdir(parents=True)
        (folder / "hf-gate.yaml").write_text(_DESK.replace("REPOS", repos_of(hub)), "utf-8")
        (folder / "policies" / "bench.yaml").write_text(policy.replace("REPOS", repos_of(hub)), "utf-8")
        env = environment(HOME=name, HF_ENDPOINT=hub.url, HF_TOKEN=hub.tokens["owner"], **more)
        yield Desk(folder, {key: value for key, value in env.items() if not key.startswith("XDG_")})


def repos_of(hub: RunningHub) -> str:
    """As policies list them."""
    prefix = {"model": "", "dataset": "datasets/"}
    return ", ".join(sorted(prefix[row["repo_type"]] + row["repo"] for row in hub.repos))


_DESK = """\
version: 1
repos: [REPOS]
guards: {accept: 2000000/h, reset: 2000000/h, reject: 2000000/h}
"""
