"""Lists: a long one, and many at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from statistics import median

from .clients import Played, play
from .hub_process import RunningHub, Stats, local_hub
from .results import Row, seconds, times
from .sizes import Sizes, world_for

PAGE = 1000
RTT_MS = 50
STATUSES = ("pending", "accepted", "rejected")


@dataclass(frozen=True, slots=True)
class Pair:
    """Of each player the run of median length, and the calls of its last."""

    ours: Played
    peer: Played
    calls: Stats
    peer_calls: Stats

    @property
    def ratio(self) -> float:
        return self.peer.seconds / self.ours.seconds


def alternately(hub: RunningHub, rounds: int, ours: str, peer: str, **job: object) -> Pair:
    """Both players in turn, so that a busy minute hurts both."""
    runs: dict[str, list[Played]] = {ours: [], peer: []}
    calls: dict[str, Stats] = {}
    for _ in range(rounds):
        for name, played in runs.items():
            before = hub.stats()
            played.append(play(name, hub, **job))
            calls[name] = hub.stats().since(before)
    counts = {played.count for both in runs.values() for played in both}
    if len(counts) != 1:
        raise RuntimeError(f"{ours} and {peer} read {sorted(counts)} requests where they should have read the same")
    return Pair(_median(runs[ours]), _median(runs[peer]), calls[ours], calls[peer])


def _median(runs: list[Played]) -> Played:
    middle = median(run.seconds for run in runs)
    return min(runs, key=lambda run: abs(run.seconds - middle))


def long_list(sizes: Sizes) -> Iterator[Row]:
    for latency_ms in (0, RTT_MS):
        with local_hub(world_for(sizes.listed), latency_ms=latency_ms) as hub:
            where = {"repo": hub.largest["repo"], "repo_type": hub.largest["repo_type"]}
            pair = alternately(hub, sizes.rounds, "ours_list", "peer_list", **where)
        what = f"list {pair.ours.count:,} requests, {latency_ms} ms"
        yield (_at_a_distance if latency_ms else _at_once)(what, pair)
        yield _calls(pair) if latency_ms else _memory(pair)


def _at_once(what: str, pair: Pair) -> Row:
    speed = f"{seconds(pair.ours.seconds)} ({pair.ours.per_second:,.0f} records/s)"
    return Row("list-0", what, speed, seconds(pair.peer.seconds), times(pair.ratio))


def _at_a_distance(what: str, pair: Pair) -> Row:
    floor = ceil(pair.ours.count / PAGE) * RTT_MS / 1000
    share = pair.ours.seconds / floor
    return Row(
        "list-50", what, f"{seconds(pair.ours.seconds)} ({share:.2f} x floor)", seconds(pair.peer.seconds), times(pair.ratio),
        f"<= 1.10 x floor of {seconds(floor)}", share <= 1.10,
        "The floor counts only the round trip. The transfer of 660 kB, and the work of the client between two pages, come on top.",
    )  # fmt: skip


def _memory(pair: Pair) -> Row:
    ours, peer = pair.ours.peak_mb, pair.peer.peak_mb
    what = f"peak memory of listing {pair.ours.count:,}, whole process"
    return Row("list-memory", what, f"{ours:.0f} MB", f"{peer:.0f} MB", times(peer / ours))


def _calls(pair: Pair) -> Row:
    return Row(
        "list-calls", f"calls for {pair.ours.count:,} requests", f"{pair.calls.total:,}", f"{pair.peer_calls.total:,}"
    )


def many_lists(sizes: Sizes) -> Iterator[Row]:
    with local_hub(sizes.many_requests, sizes.many_repos, latency_ms=RTT_MS) as hub:
        repos = [{"repo": repo["repo"], "repo_type": repo["repo_type"]} for repo in hub.repos]
        pair = alternately(hub, sizes.rounds, "ours_many", "peer_many", repos=repos, statuses=STATUSES)
    yield Row(
        "many-50", f"{len(repos)} repos x {len(STATUSES)} statuses at once ({pair.ours.count:,} requests), {RTT_MS} ms",
        f"{seconds(pair.ours.seconds)}, {pair.calls.total} calls",
        f"{seconds(pair.peer.seconds)}, {pair.peer_calls.total} calls", times(pair.ratio), ">= 10x", pair.ratio >= 10,
        "The first call goes alone, and each success allows more calls at once. All lists are requested in parallel only after some round trips.",
    )  # fmt: skip
