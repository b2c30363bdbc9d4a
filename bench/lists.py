"""Measures listings: one long list, and many lists at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from statistics import median

from .clients import ClientRun, run_client
from .hub_process import RunningHub, Stats, run_local_hub
from .results import Row, format_ratio, format_seconds
from .sizes import Sizes, world_for

PAGE = 1000
RTT_MS = 50
STATUSES = ("pending", "accepted", "rejected")


@dataclass(frozen=True, slots=True)
class ListComparison:
    """The run of median length of each client, and the calls of its last run."""

    ours: ClientRun
    peer: ClientRun
    calls: Stats
    peer_calls: Stats

    @property
    def ratio(self) -> float:
        return self.peer.seconds / self.ours.seconds


def run_alternately(hub: RunningHub, rounds: int, ours: str, peer: str, **job: object) -> ListComparison:
    """Run both clients in turn, so that other work on the machine affects both."""
    runs: dict[str, list[ClientRun]] = {ours: [], peer: []}
    calls: dict[str, Stats] = {}
    for _ in range(rounds):
        for name, played in runs.items():
            before = hub.read_stats()
            played.append(run_client(name, hub, **job))
            calls[name] = hub.read_stats().since(before)
    counts = {played.count for both in runs.values() for played in both}
    if len(counts) != 1:
        raise RuntimeError(f"{ours} and {peer} read different numbers of requests: {sorted(counts)}")
    return ListComparison(_median_run(runs[ours]), _median_run(runs[peer]), calls[ours], calls[peer])


def _median_run(runs: list[ClientRun]) -> ClientRun:
    middle = median(run.seconds for run in runs)
    return min(runs, key=lambda run: abs(run.seconds - middle))


def measure_long_list(sizes: Sizes) -> Iterator[Row]:
    for latency_ms in (0, RTT_MS):
        with run_local_hub(world_for(sizes.listed), latency_ms=latency_ms) as hub:
            where = {"repo": hub.largest["repo"], "repo_type": hub.largest["repo_type"]}
            pair = run_alternately(hub, sizes.rounds, "ours_list", "peer_list", **where)
        what = f"list {pair.ours.count:,} requests, {latency_ms} ms"
        yield (_row_with_delay if latency_ms else _row_without_delay)(what, pair)
        yield _calls_row(pair) if latency_ms else _memory_row(pair)


def _row_without_delay(what: str, pair: ListComparison) -> Row:
    speed = f"{format_seconds(pair.ours.seconds)} ({pair.ours.per_second:,.0f} records/s)"
    return Row("list-0", what, speed, format_seconds(pair.peer.seconds), format_ratio(pair.ratio))


def _row_with_delay(what: str, pair: ListComparison) -> Row:
    floor = ceil(pair.ours.count / PAGE) * RTT_MS / 1000
    share = pair.ours.seconds / floor
    return Row(
        "list-50", what, f"{format_seconds(pair.ours.seconds)} ({share:.2f} x floor)", format_seconds(pair.peer.seconds), format_ratio(pair.ratio),
        f"<= 1.10 x floor of {format_seconds(floor)}", share <= 1.10,
        "The floor counts only the round trip. The transfer of 660 kB, and the client's work between two pages, take additional time.",
    )  # fmt: skip


def _memory_row(pair: ListComparison) -> Row:
    ours, peer = pair.ours.peak_mb, pair.peer.peak_mb
    what = f"peak memory of listing {pair.ours.count:,}, whole process"
    return Row("list-memory", what, f"{ours:.0f} MB", f"{peer:.0f} MB", format_ratio(peer / ours))


def _calls_row(pair: ListComparison) -> Row:
    return Row(
        "list-calls", f"calls for {pair.ours.count:,} requests", f"{pair.calls.total:,}", f"{pair.peer_calls.total:,}"
    )


def measure_many_lists(sizes: Sizes) -> Iterator[Row]:
    with run_local_hub(sizes.many_requests, sizes.many_repos, latency_ms=RTT_MS) as hub:
        repos = [{"repo": repo["repo"], "repo_type": repo["repo_type"]} for repo in hub.repos]
        pair = run_alternately(hub, sizes.rounds, "ours_many", "peer_many", repos=repos, statuses=STATUSES)
    yield Row(
        "many-50", f"{len(repos)} repos x {len(STATUSES)} statuses at once ({pair.ours.count:,} requests), {RTT_MS} ms",
        f"{format_seconds(pair.ours.seconds)}, {pair.calls.total} calls",
        f"{format_seconds(pair.peer.seconds)}, {pair.peer_calls.total} calls", format_ratio(pair.ratio), ">= 10x", pair.ratio >= 10,
        "The first call goes alone, and each success allows more calls at once. All lists are requested in parallel only after some round trips.",
    )  # fmt: skip
