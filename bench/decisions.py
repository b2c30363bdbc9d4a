"""Measures decisions: without a limit, in an announced rate window, one by one, and under an unannounced limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from .clients import ClientRun, run_client
from .hub_process import RunningHub, Stats, run_local_hub
from .lists import RTT_MS
from .results import DASH, Row, format_rate, format_ratio, format_seconds
from .sizes import Sizes, world_for

BATCH = 100
RESERVE = 0.25  # share of a window that hf-gate leaves to other work
HIDDEN_PER_S = 7


def _repo_arguments(hub: RunningHub) -> dict[str, Any]:
    return {"repo": hub.largest["repo"], "repo_type": hub.largest["repo_type"]}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs of hf-gate and of the plain loop on one Hub, each with its own people."""

    ours: ClientRun
    peer: ClientRun
    calls: Stats
    peer_calls: Stats

    @property
    def ratio(self) -> float:
        return self.ours.per_second / self.peer.per_second


def _compare(people: int, peer_people: int, latency_ms: int, *faults: str) -> Comparison:
    with run_local_hub(world_for(people + peer_people), latency_ms=latency_ms) as hub:
        names = hub.read_usernames(hub.largest, people + peer_people)
        hub.set_faults(*faults)
        before = hub.read_stats()
        ours = run_client("ours_decide", hub, users=names[:people], **_repo_arguments(hub))
        between = hub.read_stats()
        peer = run_client("peer_decide", hub, users=names[people:], **_repo_arguments(hub))
        return Comparison(ours, peer, between.since(before), hub.read_stats().since(between))


def measure_batches(sizes: Sizes) -> Iterator[Row]:
    for latency_ms in (0, RTT_MS):
        both = _compare(sizes.decided, sizes.peer_decided, latency_ms)
        ours, peer = both.ours, both.peer
        yield Row(
            f"decide-{latency_ms}", f"decide {ours.count:,} (huggingface_hub {peer.count:,}), {latency_ms} ms",
            f"{format_seconds(ours.seconds)} ({format_rate(ours.per_second)})", f"{format_seconds(peer.seconds)} ({format_rate(peer.per_second)})",
            format_ratio(both.ratio), ">= 50x the rate" if latency_ms else DASH, both.ratio >= 50 if latency_ms else None,
            "One batch of 100 a round trip, one after the other.",
        )  # fmt: skip
        if latency_ms:
            yield _count_calls(both)


def _count_calls(both: Comparison) -> Row:
    calls, peer_calls, least = both.calls.total, both.peer_calls.total, ceil(both.ours.count / BATCH)
    ratio = peer_calls / both.peer.count / (calls / both.ours.count)
    return Row(
        "decide-calls", f"calls for {both.ours.count:,} decisions (huggingface_hub {both.peer.count:,})", f"{calls:,}", f"{peer_calls:,}",
        f"{format_ratio(ratio)} each", f"<= 1.05 x {least}", calls <= 1.05 * least,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class WindowSetup:
    """A Hub with a rate window. Its clock passes `speed` seconds in each real second."""

    key: str
    what: str
    latency_ms: int
    speed: int


# `t` of the RateLimit header is in whole seconds of the Hub's clock: coarse for a window of 3 s, fine for 300 s.
WINDOWS = (
    WindowSetup("window-0", "", 0, 1),
    WindowSetup("window-50", "", RTT_MS, 1),
    WindowSetup("window-scaled", " (300 s on a clock that runs 100 times as fast)", RTT_MS, 100),
)


def measure_windows(sizes: Sizes) -> Iterator[Row]:
    """Run decisions that start at different times of a window and report the worst. The plain loop runs until it stops."""
    (quota, length), too_many, stop = sizes.window, 0, ""
    for windows in WINDOWS:
        rtt = _measure_batch(windows.latency_ms)
        runs: list[tuple[float, ClientRun]] = []
        for phase in sizes.window_phases:
            run, zero, refused, peer = _run_in_window(sizes, phase, windows)
            too_many += refused
            runs.append((run.seconds / compute_least_time(run.count, run.began - zero, sizes.window, rtt), run))
            stop = stop or _describe_stop(peer)
        share, worst = max(runs, key=lambda pair: pair[0])
        yield Row(
            windows.key,
            f"decide {worst.count:,} with {quota} calls per {length} s{windows.what}, {windows.latency_ms} ms; worst of {len(runs)}",
            f"{format_seconds(worst.seconds)} ({share:.3f} x T_min)", stop if windows.key == "window-0" else DASH, DASH,
            f"<= 1.02 x T_min of {format_seconds(worst.seconds / share)}", share <= 1.02,
            "The Hub announces the end of a window in whole seconds. To avoid any 429, the client waits for the rest of that second and begins each window with one call.",
        )  # fmt: skip
    yield Row("window-429", "429 answers in all these runs", str(too_many), stop, DASH, "0", too_many == 0)


def _run_in_window(sizes: Sizes, phase: float, windows: WindowSetup) -> tuple[ClientRun, float, int, ClientRun]:
    """Return the run of hf-gate, the start of a window, the number of 429 answers, and the run of the plain loop."""
    (calls, length), people = sizes.window, sizes.window_decided
    more = (
        "--quota",
        f"{calls}/{length * windows.speed}",
        "--clock",
        f"x{windows.speed}" if windows.speed > 1 else "real",
    )
    with run_local_hub(world_for(people + sizes.peer_decided), latency_ms=windows.latency_ms, more=more) as hub:
        names = hub.read_usernames(hub.largest, people + sizes.peer_decided)
        zero, before = hub.find_window_start(length), hub.read_stats()
        timing = {"zero": zero, "window_s": length, "start_at": phase * length, "follows_hub": windows.speed > 1}
        run = run_client("ours_decide", hub, users=names[:people], **timing, **_repo_arguments(hub))
        refused = hub.read_stats().since(before).too_many
        peer = run_client("peer_decide", hub, users=names[people:], token=hub.tokens["writer"], **_repo_arguments(hub))
    return run, zero, refused, peer


def _measure_batch(latency_ms: int) -> float:
    """Return the seconds of one batch of 100 without a limit: the round trip, and the work of client and Hub."""
    with run_local_hub(world_for(10 * BATCH), latency_ms=latency_ms) as hub:
        return (
            run_client(
                "ours_decide", hub, users=hub.read_usernames(hub.largest, 10 * BATCH), **_repo_arguments(hub)
            ).seconds
            / 10
        )


def _describe_stop(peer: ClientRun) -> str:
    return (
        f"stopped after {peer.count} by {peer.why}" if peer.why else f"{peer.count} in {format_seconds(peer.seconds)}"
    )


def compute_least_time(people: int, began: float, window: tuple[int, int], rtt: float) -> float:
    """Return T_min for a start `began` seconds into a window: the calls outside the reserve, one after the other."""
    quota, length = window
    usable, calls = floor(quota * (1 - RESERVE)), ceil(people / BATCH)
    if calls <= usable:
        return calls * rtt
    windows, last = divmod(calls - usable - 1, usable)
    return (length - began % length) + windows * length + (last + 1) * rtt


def measure_single_calls(sizes: Sizes) -> Iterator[Row]:
    both = _compare(sizes.handled, sizes.peer_handled, RTT_MS, "no_batch")
    most = 16 / (RTT_MS / 1000)
    yield Row(
        "handle-50", f"decide {both.ours.count:,} one by one, 16 at once, on a Hub without batch, {RTT_MS} ms",
        format_rate(both.ours.per_second), format_rate(both.peer.per_second), format_ratio(both.ratio), ">= 250/s and >= 12x",
        both.ours.per_second >= 250 and both.ratio >= 12, f"16 calls at once at {RTT_MS} ms cannot pass {most:.0f}/s.",
    )  # fmt: skip


def measure_hidden_limit(sizes: Sizes) -> Iterator[Row]:
    forms = (("hidden-short", sizes.hidden_short, 0.0), ("hidden-long", sizes.hidden_short, sizes.hidden_long_s))
    for key, people, for_s in forms:
        with run_local_hub(world_for(people)) as hub:
            names = hub.read_usernames(hub.largest, people)
            hub.set_faults(f"hidden_limit:rate={HIDDEN_PER_S}")
            before = hub.read_stats()
            job = {"users": names, **_repo_arguments(hub)}
            run = (
                run_client("ours_decide_for", hub, for_s=for_s, **job)
                if for_s
                else run_client("ours_decide", hub, **job)
            )
            seen = hub.read_stats().since(before)
        pace, refused = run.count / BATCH / run.seconds, seen.too_many / max(seen.total, 1)
        what = f"for {for_s:.0f} s" if for_s else f"for {people:,} decisions"
        yield Row(
            key, f"an unannounced limit of {HIDDEN_PER_S} calls/s, {what}",
            f"{pace / HIDDEN_PER_S:.0%} of it, {refused:.1%} 429 answers", DASH, DASH, ">= 90 % of it, <= 3 % 429",
            pace >= 0.9 * HIDDEN_PER_S and refused <= 0.03,
            f"{seen.too_many} of {seen.total} calls were refused. After a refusal the rate drops and grows again in small steps. This weighs more in a short run.",
        )  # fmt: skip
