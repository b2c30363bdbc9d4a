"""The state of a running local Hub: its world, clock, faults, rate limit and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..domain.lifecycle import STATUSES
from .clock import LocalHubClock
from .faults import FaultSet
from .rate_limit import RateLimiter
from .world import World
from .world_file import save_world


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
        kept: World | None = None,
        folder: Path | None = None,
    ) -> None:
        self._make_world, self.folder = make_world, folder
        self.clock, self.limiter, self.faults, self.latency_s = clock, limiter, faults, latency_s
        self.world = kept or make_world(clock.now_ms())
        self.calls: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()

    def reset(self) -> None:
        """Return to the initial state, in a world with a new id. The clock is not reset."""
        self.world = self._make_world(self.clock.now_ms())
        self.calls.clear()
        self.replies.clear()
        self.faults.clear()
        self.limiter = RateLimiter(self.limiter.quota)

    def save(self) -> bool:
        """Save the world in its folder; return False if it has no folder."""
        if self.folder is not None:
            save_world(self.world, self.folder, self.clock.now_ms())
        return self.folder is not None

    def describe_repos(self) -> list[dict[str, object]]:
        return [
            {"repo": hub_repo.repo.id, "repo_type": hub_repo.repo.type.value, "gated": hub_repo.gated}
            | {status.value: len(hub_repo.lists[status]) for status in STATUSES}
            for hub_repo in self.world.repos.values()
        ]

    def describe_start(self, url: str, pid: int) -> dict[str, object]:
        """Return the first line of `hub serve --json`."""
        tokens = {token.name: token.secret for token in self.world.tokens.values()}
        return {"url": url, "pid": pid, "tokens": tokens, "repos": self.describe_repos(), "control": f"{url}/_hf_gate"}
