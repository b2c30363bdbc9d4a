"""Decisions: without a limit, in a window that the Hub announces, one by one, and under a limit that it does not announce."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from .clients import Played, play
from .hub_process import RunningHub, Stats, local_hub
from .lists import RTT_MS
from .results import DASH, Row, rate, seconds, times
from .sizes import Sizes, world_for

BATCH = 100
RESERVE = 0.25  # of a window, which hf-gate leaves to other work
HIDDEN_PER_S = 7


def _where(hub: RunningHub) -> dict[str, Any]:
    return {"repo": hub.largest["repo"], "repo_type": hub.largest["repo_type"]}


@dataclass(frozen=True, slots=True)
class Both:
    """hf-gate and the plain loop on one Hub, each with people of its own."""

    ours: Played
    peer: Played
    calls: Stats
    peer_calls: Stats

    @property
    def ratio(self) -> float:
        return self.ours.per_second / self.peer.per_second


def _both(people: int, peer_people: int, latency_ms: int, *faults: str) -> Both:
    with local_hub(world_for(people + peer_people), latency_ms=latency_ms) as hub:
        names = hub.names(hub.largest, people + peer_people)
        hub.set_faults(*faults)
        before = hub.stats()
        ours = play("ours_decide", hub, users=names[:people], **_where(hub))
        between = hub.stats()
        peer = play("peer_decide", hub, users=names[people:], **_where(hub))
        return Both(ours, peer, between.since(before), hub.stats().since(between))


def by_batch(sizes: Sizes) -> Iterator[Row]:
    for latency_ms in (0, RTT_MS):
        both = _both(sizes.decided, sizes.peer_decided, latency_ms)
        ours, peer = both.ours, both.peer
        yield Row(
            f"decide-{latency_ms}", f"decide {ours.count:,} (huggingface_hub {peer.count:,}), {latency_ms} ms",
            f"{seconds(ours.seconds)} ({rate(ours.per_second)})", f"{seconds(peer.seconds)} ({rate(peer.per_second)})",
            times(both.ratio), ">= 50x the rate" if latency_ms else DASH, both.ratio >= 50 if latency_ms else None,
            "One batch of 100 a round trip, one after the other.",
        )  # fmt: skip
        if latency_ms:
            yield _calls(both)


def _calls(both: Both) -> Row:
    calls, peer_calls, least = both.calls.total, both.peer_calls.total, ceil(both.ours.count / BATCH)
    ratio = peer_calls / both.peer.count / (calls / both.ours.count)
    return Row(
        "decide-calls", f"calls for {both.ours.count:,} decisions (huggingface_hub {both.peer.count:,})", f"{calls:,}", f"{peer_calls:,}",
        f"{times(ratio)} each", f"<= 1.05 x {least}", calls <= 1.05 * least,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Windows:
    """How a Hub counts: `seconds` are real ones, in which its clock passes `speed` times as many."""

    key: str
    what: str
    latency_ms: int
    speed: int


# `t` of the RateLimit header is whole seconds of the Hub's clock: much of a window of 3, little of one of 300.
WINDOWS = (
    Windows("window-0", "", 0, 1),
    Windows("window-50", "", RTT_MS, 1),
    Windows("window-scaled", " (300 s on a clock that runs 100 times as fast)", RTT_MS, 100),
)


def in_a_window(sizes: Sizes) -> Iterator[Row]:
    """Runs that begin at different moments of a window; the worst counts. The plain loop: until it stops."""
    (quota, length), too_many, stop = sizes.window, 0, ""
    for windows in WINDOWS:
        rtt = _batch_takes(windows.latency_ms)
        runs: list[tuple[float, Played]] = []
        for phase in sizes.window_phases:
            run, zero, refused, peer = _window_run(sizes, phase, windows)
            too_many += refused
            runs.append((run.seconds / least_time(run.count, run.began - zero, sizes.window, rtt), run))
            stop = stop or _stop_of(peer)
        share, worst = max(runs, key=lambda pair: pair[0])
        yield Row(
            windows.key,
            f"decide {worst.count:,} with {quota} calls per {length} s{windows.what}, {windows.latency_ms} ms; worst of {len(runs)}",
            f"{seconds(worst.seconds)} ({share:.3f} x T_min)", stop if windows.key == "window-0" else DASH, DASH,
            f"<= 1.02 x T_min of {seconds(worst.seconds / share)}", share <= 1.02,
            "The Hub announces the end of a window in whole seconds. To avoid any 429, the client waits for the rest of that second and begins each window with one call.",
        )  # fmt: skip
    yield Row("window-429", "429 answers in all these runs", str(too_many), stop, DASH, "0", too_many == 0)


def _window_run(sizes: Sizes, phase: float, windows: Windows) -> tuple[Played, float, int, Played]:
    """What hf-gate did, when a window began, the answers 429 it got, and what the plain loop did."""
    (calls, length), people = sizes.window, sizes.window_decided
    more = (
        "--quota",
        f"{calls}/{length * windows.speed}",
        "--clock",
        f"x{windows.speed}" if windows.speed > 1 else "real",
    )
    with local_hub(world_for(people + sizes.peer_decided), latency_ms=windows.latency_ms, more=more) as hub:
        names = hub.names(hub.largest, people + sizes.peer_decided)
        zero, before = hub.window_start(length), hub.stats()
        timing = {"zero": zero, "window_s": length, "start_at": phase * length, "follows_hub": windows.speed > 1}
        run = play("ours_decide", hub, users=names[:people], **timing, **_where(hub))
        refused = hub.stats().since(before).too_many
        peer = play("peer_decide", hub, users=names[people:], token=hub.tokens["writer"], **_where(hub))
    return run, zero, refused, peer


def _batch_takes(latency_ms: int) -> float:
    """Seconds of one batch of 100 when nothing limits it: the round trip, and what client and Hub do with it."""
    with local_hub(world_for(10 * BATCH), latency_ms=latency_ms) as hub:
        return play("ours_decide", hub, users=hub.names(hub.largest, 10 * BATCH), **_where(hub)).seconds / 10


def _stop_of(peer: Played) -> str:
    return f"stopped after {peer.count} by {peer.why}" if peer.why else f"{peer.count} in {seconds(peer.seconds)}"


def least_time(people: int, began: float, window: tuple[int, int], rtt: float) -> float:
    """T_min from `began` seconds after a window did: the calls it leaves beside the reserve, one after the other, and so on."""
    quota, length = window
    usable, calls = floor(quota * (1 - RESERVE)), ceil(people / BATCH)
    if calls <= usable:
        return calls * rtt
    windows, last = divmod(calls - usable - 1, usable)
    return (length - began % length) + windows * length + (last + 1) * rtt


def one_by_one(sizes: Sizes) -> Iterator[Row]:
    both = _both(sizes.handled, sizes.peer_handled, RTT_MS, "no_batch")
    most = 16 / (RTT_MS / 1000)
    yield Row(
        "handle-50", f"decide {both.ours.count:,} one by one, 16 at once, on a Hub without batch, {RTT_MS} ms",
        rate(both.ours.per_second), rate(both.peer.per_second), times(both.ratio), ">= 250/s and >= 12x",
        both.ours.per_second >= 250 and both.ratio >= 12, f"16 calls at once at {RTT_MS} ms cannot pass {most:.0f}/s.",
    )  # fmt: skip


def under_a_hidden_limit(sizes: Sizes) -> Iterator[Row]:
    forms = (("hidden-short", sizes.hidden_short, 0.0), ("hidden-long", sizes.hidden_short, sizes.hidden_long_s))
    for key, people, for_s in forms:
        with local_hub(world_for(people)) as hub:
            names = hub.names(hub.largest, people)
            hub.set_faults(f"hidden_limit:rate={HIDDEN_PER_S}")
            before = hub.stats()
            job = {"users": names, **_where(hub)}
            run = play("ours_decide_for", hub, for_s=for_s, **job) if for_s else play("ours_decide", hub, **job)
            seen = hub.stats().since(before)
        pace, refused = run.count / BATCH / run.seconds, seen.too_many / max(seen.total, 1)
        what = f"for {for_s:.0f} s" if for_s else f"for {people:,} decisions"
        yield Row(
            key, f"an unannounced limit of {HIDDEN_PER_S} calls/s, {what}",
            f"{pace / HIDDEN_PER_S:.0%} of it, {refused:.1%} 429 answers", DASH, DASH, ">= 90 % of it, <= 3 % 429",
            pace >= 0.9 * HIDDEN_PER_S and refused <= 0.03,
            f"{seen.too_many} of {seen.total} calls were refused. After a refusal the rate drops and grows again in small steps. This weighs more in a short run.",
        )  # fmt: skip
