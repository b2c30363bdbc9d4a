"""The sizes of all measurements: the full run, whose figures count, and a quick one that only checks that it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one kind of run. Requests are those of a complete world; seven of ten are pending."""

    name: str
    rounds: int  # of repeated measurements, alternating between the clients; the median counts
    listed: int
    many_repos: int
    many_requests: int
    decided: int
    peer_decided: int
    window: tuple[int, int]  # calls, seconds
    window_decided: int
    window_phases: tuple[float, ...]  # shares of a window that have passed when a run starts
    handled: int
    peer_handled: int
    hidden_short: int  # decisions
    hidden_long_s: float
    cold_starts: int
    served: tuple[int, ...]
    with_download: bool
    desk_requests: int
    turn_requests: int
    notices: int
    window_applied: int
    idle_repos: int
    idle_hours: float  # of the Hub's clock
    idle_speed: int
    touched: int
    year_days: int
    web_rounds: int  # requests of each page
    reviewer_rounds: int  # pages and decisions of each reviewer
    synced: int
    other_tree: Path | None = None  # a work tree whose first sync is compared


FULL = Sizes(
    name="full",
    rounds=3,
    listed=100_000,
    many_repos=20,
    many_requests=6_000,
    decided=10_000,
    peer_decided=1_000,
    window=(50, 3),
    window_decided=10_000,
    window_phases=(0.02, 0.12, 0.25),
    handled=4_000,
    peer_handled=300,
    hidden_short=10_000,
    hidden_long_s=120.0,
    cold_starts=9,
    served=(2_000, 100_000, 1_000_000),
    with_download=True,
    desk_requests=1_000_000,
    turn_requests=1_000_000,
    notices=10_000,
    window_applied=18_000,
    idle_repos=40,
    idle_hours=3.0,
    idle_speed=120,
    touched=20_000,
    year_days=365,
    web_rounds=8,
    reviewer_rounds=12,
    synced=20_000,
)
QUICK = Sizes(
    name="quick",
    rounds=1,
    listed=1_200,
    many_repos=4,
    many_requests=200,
    decided=400,
    peer_decided=10,
    window=(4, 1),
    window_decided=400,
    window_phases=(0.02,),
    handled=64,
    peer_handled=5,
    hidden_short=500,
    hidden_long_s=1.0,
    cold_starts=1,
    served=(20, 200, 300),
    with_download=False,
    desk_requests=400,
    turn_requests=400,
    notices=300,
    window_applied=800,
    idle_repos=3,
    idle_hours=0.2,
    idle_speed=600,
    touched=400,
    year_days=12,
    web_rounds=1,
    reviewer_rounds=1,
    synced=400,
)


def world_for(pending: int) -> int:
    """Return how many requests a world with one repo needs so that at least `pending` are pending."""
    return int(pending / 0.69 * 1.04) + 40
