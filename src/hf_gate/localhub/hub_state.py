"""The state of a running local Hub: its world, faults, counters, the clock that can be advanced, and the rate limit."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from hf_gate.core.lifecycle import STATUSES

from .faults import FaultSet
from .http_messages import HttpError, HttpResponse
from .records import ServedHub, ServedRepo
from .world import World

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_local_hub_time(text: str) -> float:
    """Parse `48h`, `90s`, `50ms`, `30d` or a number of seconds; raise ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 90s, 5m, 48h or 30d")
    return float(match[1]) * _UNITS[match[2] or "s"]


class LocalHubClock:
    """A clock by spec: `real`, or `x60` for one that runs sixty times as fast. The clock never goes back."""

    def __init__(self, spec: str = "real") -> None:
        match = re.fullmatch(r"real|x(\d+(?:\.\d+)?)", spec)
        if match is None or match[1] == "0":
            raise ValueError(f"{spec!r} is not a clock: write real, or x60 for one that runs sixty times as fast")
        self.rate = float(match[1] or 1)
        self._started = time.monotonic()
        self._from = time.time()  # noqa: TID251 - the only use of the real time
        self._ahead = 0.0

    def now(self) -> float:
        """Return seconds since 1970 by this clock."""
        return self._from + (time.monotonic() - self._started) * self.rate + self._ahead

    def now_ms(self) -> int:
        return int(self.now() * 1000)

    def advance(self, seconds: float) -> None:
        self._ahead += max(0.0, seconds)

    @property
    def header(self) -> str:
        """The clock header of each answer, so that a client can follow: `1764073800.123456;rate=60`."""
        return f"{self.now():.6f};rate={self.rate:g}"


class Quota(NamedTuple):
    """The calls allowed in a window; seconds are by the Hub's clock."""

    calls: int = 1_000_000
    seconds: float = 300.0


def parse_quota(text: str | None) -> Quota:
    """Parse `50/3` (50 calls in 3 seconds); None means practically unlimited. Raise ValueError for anything else."""
    if text is None:
        return Quota()
    match = re.fullmatch(r"(\d+)/(\d+(?:\.\d+)?)s?", text)
    if match is None or int(match[1]) < 1 or float(match[2]) <= 0:
        raise ValueError(f"{text!r} is not a quota: write CALLS/SECONDS, such as 1000/300")
    return Quota(int(match[1]), float(match[2]))


class RateLimiter:
    """Counts the calls of all callers in the current window."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._window = 0
        self._used: Counter[tuple[str, str]] = Counter()  # used calls by caller and bucket

    def count_call(self, caller: str, bucket: str, now: float) -> tuple[dict[str, str], HttpResponse | None]:
        """Count a call; return the headers for its answer and, above the quota, a 429 to send instead."""
        calls, seconds = self.quota
        window = int(now // seconds)
        if window != self._window:
            self._window = window
            self._used.clear()
        self._used[caller, bucket] += 1
        used = self._used[caller, bucket]
        left = (window + 1) * seconds - now
        headers = {
            "ratelimit": f'"{bucket}";r={max(0, calls - used)};t={math.ceil(left)}',
            "ratelimit-policy": f'"fixed window";"{bucket}";q={calls};w={seconds:g}',
        }
        if used <= calls:
            return headers, None
        words = f"We had to rate limit you: {calls} calls in {seconds:g} seconds are used up"
        refused = HttpError(429, words, Retry_After=str(max(1, math.ceil(left)))).to_response("json")
        return headers, refused


class HubState:
    """The state that the HTTP server and the control API share. Not thread-safe."""

    def __init__(
        self,
        make_world: Callable[[int], World],
        clock: LocalHubClock,
        limiter: RateLimiter,
        faults: FaultSet,
        *,
        latency_s: float = 0.0,
    ) -> None:
        self._make_world = make_world
        self.clock = clock
        self.limiter = limiter
        self.faults = faults
        self.latency_s = latency_s
        self.world = make_world(clock.now_ms())
        self.calls: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()

    def reset(self) -> None:
        """Return to the initial state, in a world with a new id. The clock is not reset."""
        self.world = self._make_world(self.clock.now_ms())
        self.calls.clear()
        self.replies.clear()
        self.faults.clear()
        self.limiter = RateLimiter(self.limiter.quota)

    def describe_repos(self) -> list[ServedRepo]:
        return [
            ServedRepo(
                repo=hub_repo.repo.id,
                repo_type=hub_repo.repo.type,
                gated=hub_repo.gated,  # type: ignore[arg-type] # never True
                **{status.value: len(hub_repo.lists[status]) for status in STATUSES},
            )
            for hub_repo in self.world.repos.values()
        ]

    def describe_start(self, url: str, pid: int) -> ServedHub:
        """Return the first line of `hub serve --json`."""
        tokens = {token.name: token.secret for token in self.world.tokens.values()}
        return ServedHub(url=url, pid=pid, tokens=tokens, repos=self.describe_repos(), control=f"{url}/_hf_gate")
