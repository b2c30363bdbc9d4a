"""Measures how many of a token's calls the program uses: for many decisions, within a rate window, and while idle."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from math import ceil

from .cli_process import Desk, create_desk
from .hub_process import RunningHub, Stats, run_local_hub
from .results import Row
from .sizes import Sizes

BATCH, PAGE = 100, 1000
FREE = (1000, 300)  # calls and seconds of a free account
POLICY = """\
version: 1
policy: bench
applies_to: [REPOS]
mode: enforce
rules:
  - id: all
    then: accept
"""


def measure_calls(sizes: Sizes) -> Iterator[Row]:
    """Plan and apply with and without a rate limit; then measure a loop without new requests."""
    yield _measure_apply(sizes)
    yield from _measure_window(sizes)
    yield _measure_idle(sizes)


def _measure_apply(sizes: Sizes) -> Row:
    with run_local_hub(int(sizes.decided / 0.72)) as hub, create_desk(hub, POLICY) as here:
        count = _make_plan(here)
        before = hub.read_stats()
        here.run("apply", "plan.json", "--yes", "--max-changes", str(count), "--json")
        spent = hub.read_stats().since(before)
    least = ceil(count / BATCH) + ceil(count / PAGE)
    return Row(
        "desk-calls", f"calls of apply for {count:,} planned decisions", f"{spent.total:,} ({_format_calls(spent)})",
        target=f"<= 1.05 x {least} (batches, and the pages of one read)", is_met=spent.total <= 1.05 * least,
    )  # fmt: skip


def _format_calls(spent: Stats) -> str:
    return ", ".join(f"{call} {n}" for call, n in sorted(spent.calls.items()) if n)


def _make_plan(here: Desk) -> int:
    """Sync and plan; return the number of changes."""
    here.run("sync", "--full", "--json")
    here.run("plan", "--profiles", "0", "--out", "plan.json", "--json")
    return len(json.loads((here.folder / "plan.json").read_bytes())["changes"])


# ---- rate window -----------------------------------------------------------------------------------------------------


def _measure_window(sizes: Sizes) -> Iterator[Row]:
    quota, length = sizes.window
    with (
        run_local_hub(int(sizes.window_applied / 0.72), more=("--quota", f"{quota}/{length}")) as hub,
        create_desk(hub, POLICY, HF_GATE_RESERVE="0") as here,
    ):
        count = _make_plan(here)
        before, watch = hub.read_stats(), _WindowCounter(hub, length)
        with watch:
            here.run("apply", "plan.json", "--yes", "--max-changes", str(count), "--json")
        refused = hub.read_stats().since(before).too_many
    full = watch.count_complete()
    use = sum(full) / (quota * len(full)) if full else float("nan")
    yield Row(
        "desk-window", f"apply of {count:,} with {quota} calls per {length} s, no reserve: use of {len(full)} complete windows",
        f"{use:.1%}", target=">= 98 %" if len(full) > 1 else "–", is_met=use >= 0.98 if len(full) > 1 else None,
        why="A window begins with one call, and the Hub announces the remaining calls only with each answer.",
    )  # fmt: skip
    yield Row("desk-429", "429 answers during that apply", str(refused), target="0", is_met=refused == 0)


class _WindowCounter:
    """Counts the calls of each rate window, a moment before it ends."""

    def __init__(self, hub: RunningHub, length: int) -> None:
        self._hub, self._length, self._zero = hub, length, hub.find_window_start(length)
        self._end = threading.Event()
        self._counts = [hub.read_stats().total]
        self._thread = threading.Thread(target=self._count_windows, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._counts.append(self._hub.read_stats().total)

    def count_complete(self) -> list[int]:
        """Return the calls of the complete windows: those between the first and the last one with calls."""
        of_each = [after - before for before, after in zip(self._counts, self._counts[1:], strict=False)]
        busy = [index for index, n in enumerate(of_each) if n]
        return of_each[busy[0] + 1 : busy[-1]] if busy else []

    def _count_windows(self) -> None:
        while not self._end.wait(self._seconds_to_end()):
            self._counts.append(self._hub.read_stats().total)
            self._end.wait(0.06)

    def _seconds_to_end(self) -> float:
        """Return the seconds until 50 ms before the end of the window."""
        now = time.time()  # noqa: TID251 - the window is of this clock
        return (self._zero - 0.05 - now) % self._length


# ---- idle ------------------------------------------------------------------------------------------------------------


def _measure_idle(sizes: Sizes) -> Row:
    """Count the calls of `run --every auto` over hours of the Hub's clock, after the first full syncs."""
    quota, length = FREE
    more = ("--quota", f"{quota}/{length}", "--clock", f"x{sizes.idle_speed}")
    with (
        run_local_hub(sizes.idle_repos * 10, sizes.idle_repos, more=more) as hub,
        create_desk(hub, POLICY.replace("enforce", "shadow"), HF_GATE_CLOCK="hub") as here,
    ):
        here.run("sync", "--full", "--json")
        loop = subprocess.Popen(
            here.command("run", "--every", "auto", "--json"), cwd=here.folder, env=here.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            start, before = hub.read_clock(), hub.read_stats()
            while hub.read_clock() < start + sizes.idle_hours * 3600:
                time.sleep(0.2)
            passed, spent = hub.read_clock() - start, hub.read_stats().since(before)
            if loop.poll() is not None:
                raise RuntimeError(f"hf-gate run ended with {loop.returncode}")
        finally:
            loop.terminate()  # SIGINT may be ignored: a shell does so for what it starts with &
            loop.wait(60)
    share = spent.total / (passed / length) / quota
    return Row(
        "desk-idle", f"{sizes.idle_repos} repos without changes, `run --every auto` for {passed / 3600:.1f} h of the Hub's clock",
        f"{share:.1%} of a free window ({spent.total} calls)", target="<= 5 %", is_met=share <= 0.05,
        why="Each quick sync takes four calls for each repo, and the loop begins with a short pause.",
    )  # fmt: skip
