"""Starts a local Hub in its own process, calls its control API, and ends it."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_NEXT = re.compile(r'<([^>]+)>; rel="next"')


@dataclass(frozen=True, slots=True)
class RunningHub:
    """A running local Hub, from the first line of `hub serve --json`, and its start-up time in seconds."""

    url: str
    pid: int
    tokens: dict[str, str]
    repos: list[dict[str, Any]]
    started_in: float

    @property
    def largest(self) -> dict[str, Any]:
        """The repo with most pending requests."""
        return max(self.repos, key=lambda repo: int(repo["pending"]))

    def read_stats(self) -> Stats:
        said = self._call_json("GET", "/_hf_gate/stats")
        return Stats(said["calls"], said["replies"])

    def set_faults(self, *specs: str) -> None:
        self._call_json("POST", "/_hf_gate/faults", {"set": list(specs)})

    def add_requests(self, repo: str, repo_type: str, names: Sequence[str]) -> None:
        """Make accounts with these names ask for access to a repo."""
        about = {"repo": repo, "repo_type": repo_type, "answers": {}}
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            self._call_json("POST", "/_hf_gate/people", [{"username": name} for name in some])
            self._call_json("POST", "/_hf_gate/requests", [{**about, "user": name} for name in some])

    def find_window_start(self, length: float) -> float:
        """Return when a rate window of `length` real seconds started, in this machine's epoch seconds."""
        clock, now = self._call_json("GET", "/_hf_gate/clock"), time.time()  # noqa: TID251 - the bench reads two clocks
        return float(now - clock["now"] / clock["rate"] % length)

    def read_clock(self) -> float:
        """Return the time of the Hub's clock, in seconds."""
        return float(self._call_json("GET", "/_hf_gate/clock")["now"])

    def count_accepted(self) -> int:
        """Return how many people have access in all repos, with the owner's token."""
        total = 0
        for repo in self.repos:
            url: str | None = (
                f"{self.url}/api/{repo['repo_type']}s/{repo['repo']}/user-access-request/accepted?limit=1000"
            )
            while url is not None:
                asked = self.build_request("GET", url)
                asked.add_header("authorization", f"Bearer {self.tokens['owner']}")
                with urlopen(asked) as reply:  # noqa: S310 - the local Hub's own address
                    total += len(json.load(reply))
                    link = _NEXT.search(reply.headers.get("Link") or "")
                url = link[1] if link else None
        return total

    def read_usernames(self, repo: dict[str, Any], count: int) -> list[str]:
        """Return `count` usernames with pending requests. Uses the admin's token, so the owner's window is not touched."""
        names: dict[str, str] = {}  # by lower case, because two spellings name one person
        url: str | None = f"{self.url}/api/{repo['repo_type']}s/{repo['repo']}/user-access-request/pending?limit=1000"
        while url is not None and len(names) < count:
            with urlopen(self.build_request("GET", url)) as reply:  # noqa: S310 - the local Hub's own address
                names |= {row["user"]["user"].lower(): row["user"]["user"] for row in json.load(reply)}
                link = _NEXT.search(reply.headers.get("Link") or "")
            url = link[1] if link else None
        if len(names) < count:
            raise RuntimeError(f"only {len(names)} of {count} people have pending requests at {repo['repo']}")
        return list(names.values())[:count]

    def _call_json(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON of any kind
        with urlopen(self.build_request(method, self.url + path, body)) as reply:  # noqa: S310 - the local Hub's own address
            return json.load(reply)

    def build_request(self, method: str, url: str, body: object = None) -> Request:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.tokens['admin']}"}
        data = None if body is None else json.dumps(body).encode()
        return Request(url, data, headers, method=method)  # noqa: S310 - the local Hub's own address


@dataclass(frozen=True, slots=True)
class Stats:
    """Number of calls of each kind, and of answers by status, without the clients' first calls (`whoami`)."""

    calls: dict[str, int]
    replies: dict[str, int]

    def since(self, before: Stats) -> Stats:
        return Stats(_subtract(self.calls, before.calls), _subtract(self.replies, before.replies))

    @property
    def total(self) -> int:
        return sum(count for call, count in self.calls.items() if call != "GET whoami")

    @property
    def too_many(self) -> int:
        """The number of 429 answers."""
        return self.replies.get("429", 0)


def _subtract(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {key: count - before.get(key, 0) for key, count in now.items()}


@contextmanager
def run_local_hub(
    requests: int, repos: int = 1, *, latency_ms: int = 0, more: Sequence[str] = ()
) -> Iterator[RunningHub]:
    """Run a local Hub within the block. About seven of ten requests of its worlds are pending."""
    options = {"--requests": requests, "--repos": repos, "--latency": f"{latency_ms}ms"}
    command = [sys.executable, "-m", "hf_gate", "hub", "serve", "--json", "--no-advice"]
    command += [str(part) for option in options.items() for part in option] + list(more)
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=build_environment(), text=True) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        try:
            line = process.stdout.readline()
            took = time.perf_counter() - start
            if not line:
                raise RuntimeError("hf-gate hub serve ended before it printed its address")
            said = json.loads(line)
            yield RunningHub(said["url"], said["pid"], said["tokens"], said["repos"], took)
        finally:
            process.terminate()


def build_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without tokens, endpoints and Hub settings, and with update checks off."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "COV_", "COVERAGE_"))}  # fmt: skip
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return kept | quiet | {"NO_COLOR": "1"} | more


def read_peak_mb(pid: int | None = None) -> float:
    """Return the peak memory of a process (default: this one) in MB; nan if the system does not show it."""
    try:
        match = _PEAK.search(Path(f"/proc/{pid or 'self'}/status").read_text("ascii"))
    except OSError:
        match = None
    if match:
        return int(match[1]) / 1024
    if pid is not None:
        return float("nan")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
