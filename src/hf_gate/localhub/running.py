"""One running Hub, without its skin: the world, its clock, its faults, its counters, and where it is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..domain.lifecycle import STATUSES
from . import keep
from .clock import HubClock
from .faults import FaultSet
from .quota import Limiter
from .world import World


class Running:
    """What the skin serves and the door opens to. One thread only."""

    def __init__(
        self,
        make_world: Callable[[int], World],
        clock: HubClock,
        limiter: Limiter,
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
        """As at the start, in a world with another id; the clock goes on."""
        self.world = self._make_world(self.clock.now_ms())
        self.calls.clear()
        self.replies.clear()
        self.faults.clear()
        self.limiter = Limiter(self.limiter.quota)

    def save(self) -> bool:
        """Keep the world in its folder, if it has one."""
        if self.folder is not None:
            keep.save(self.world, self.folder, self.clock.now_ms())
        return self.folder is not None

    def repo_lines(self) -> list[dict[str, object]]:
        return [
            {"repo": gated.repo.id, "repo_type": gated.repo.type.value, "gated": gated.gated}
            | {status.value: len(gated.lists[status]) for status in STATUSES}
            for gated in self.world.repos.values()
        ]

    def first_line(self, url: str, pid: int) -> dict[str, object]:
        """What `hub serve --json` says first."""
        tokens = {token.name: token.secret for token in self.world.tokens.values()}
        return {"url": url, "pid": pid, "tokens": tokens, "repos": self.repo_lines(), "control": f"{url}/_hf_gate"}
