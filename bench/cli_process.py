"""Runs hf-gate commands in a workspace of their own and measures wall time, CPU time and memory."""

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

from .hub_process import RunningHub, build_environment


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The result of a command. `cpu`: seconds of it and its child processes; `peak_mb`: of the largest of them."""

    seconds: float
    cpu: float
    peak_mb: float
    output: str

    @property
    def summary(self) -> str:
        """Wall and CPU time for a cell of the table."""
        return f"{self.seconds:.1f} s ({self.cpu:.1f} s CPU)"


@dataclass(frozen=True, slots=True)
class Desk:
    """A workspace folder, and the environment of its commands."""

    folder: Path
    env: Mapping[str, str]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hf_gate", *words]

    def run(self, *words: str, more: Mapping[str, str] | None = None, alone: bool = False) -> CommandRun:
        """Run one command to its end; `alone` limits it to one core. Raise RuntimeError with its last output if it fails."""
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            start = time.perf_counter()
            try:
                if alone and cores:  # the child process inherits it
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
            return CommandRun(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, out.read())

    @property
    def store(self) -> Path:
        return self.folder / "desk.db"


@contextmanager
def create_desk(hub: RunningHub, policy: str, **more: str) -> Iterator[Desk]:
    """Create a workspace for all repos of a Hub within the block.

    The word REPOS in the policy is replaced by the repos. `more` is added to the environment.
    """
    with tempfile.TemporaryDirectory(prefix="hf-gate-bench-") as name:
        folder = Path(name, "desk")
        (folder / "policies").mkdir(parents=True)
        (folder / "hf-gate.yaml").write_text(_DESK.replace("REPOS", format_repos(hub)), "utf-8")
        (folder / "policies" / "bench.yaml").write_text(policy.replace("REPOS", format_repos(hub)), "utf-8")
        env = build_environment(HOME=name, HF_ENDPOINT=hub.url, HF_TOKEN=hub.tokens["owner"], **more)
        yield Desk(folder, {key: value for key, value in env.items() if not key.startswith("XDG_")})


def format_repos(hub: RunningHub) -> str:
    """Return the repos of a Hub as policies list them."""
    prefix = {"model": "", "dataset": "datasets/"}
    return ", ".join(sorted(prefix[row["repo_type"]] + row["repo"] for row in hub.repos))


_DESK = """\
version: 1
repos: [REPOS]
guards: {accept: 2000000/h, reset: 2000000/h, reject: 2000000/h}
"""
