"""What the desk spends of a token's calls: for many decisions, within a window, and while nothing happens."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from math import ceil

from .cli_process import Desk, a_desk
from .hub_process import RunningHub, Stats, local_hub
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


def calls(sizes: Sizes) -> Iterator[Row]:
    """Plan and apply, without a limit and within one; then a day on which nobody asks."""
    yield _many(sizes)
    yield from _window(sizes)
    yield _idle(sizes)


def _many(sizes: Sizes) -> Row:
    with local_hub(int(sizes.decided / 0.72)) as hub, a_desk(hub, POLICY) as here:
        count = _planned(here)
        before = hub.stats()
        here.run("apply", "plan.json", "--yes", "--max-changes", str(count), "--json")
        spent = hub.stats().since(before)
    least = ceil(count / BATCH) + ceil(count / PAGE)
    return Row(
        "desk-calls", f"calls of apply for {count:,} planned decisions", f"{spent.total:,} ({_told(spent)})",
        aim=f"<= 1.05 x {least} (batches, and the pages of one read)", reached=spent.total <= 1.05 * least,
    )  # fmt: skip


def _told(spent: Stats) -> str:
    return ", ".join(f"{call} {n}" for call, n in sorted(spent.calls.items()) if n)


def _planned(here: Desk) -> int:
    """Read and planned; how many changes there are."""
    here.run("sync", "--full", "--json")
    here.run("plan", "--profiles", "0", "--out", "plan.json", "--json")
    return len(json.loads((here.folder / "plan.json").read_bytes())["changes"])


# ---- a window ----------------------------------------------------------------------------------------------------------


def _window(sizes: Sizes) -> Iterator[Row]:
    quota, length = sizes.window
    with (
        local_hub(int(sizes.window_applied / 0.72), more=("--quota", f"{quota}/{length}")) as hub,
        a_desk(hub, POLICY, HF_GATE_RESERVE="0") as here,
    ):
        count = _planned(here)
        before, watch = hub.stats(), _Watch(hub, length)
        with watch:
            here.run("apply", "plan.json", "--yes", "--max-changes", str(count), "--json")
        refused = hub.stats().since(before).too_many
    full = watch.whole()
    use = sum(full) / (quota * len(full)) if full else float("nan")
    yield Row(
        "desk-window", f"apply of {count:,} with {quota} calls per {length} s, no reserve: use of {len(full)} whole windows",
        f"{use:.1%}", aim=">= 98 %" if len(full) > 1 else "–", reached=use >= 0.98 if len(full) > 1 else None,
        held="A window begins with one call, and the Hub announces the remaining calls only with each answer.",
    )  # fmt: skip
    yield Row("desk-429", "429 answers during that apply", str(refused), aim="0", reached=refused == 0)


class _Watch:
    """Counts the calls of each window, a moment before it ends."""

    def __init__(self, hub: RunningHub, length: int) -> None:
        self._hub, self._length, self._zero = hub, length, hub.window_start(length)
        self._end = threading.Event()
        self._counts = [hub.stats().total]
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._counts.append(self._hub.stats().total)

    def whole(self) -> list[int]:
        """The calls of the windows that lie between the first and the last one with any."""
        of_each = [after - before for before, after in zip(self._counts, self._counts[1:], strict=False)]
        busy = [index for index, n in enumerate(of_each) if n]
        return of_each[busy[0] + 1 : busy[-1]] if busy else []

    def _watch(self) -> None:
        while not self._end.wait(self._left()):
            self._counts.append(self._hub.stats().total)
            self._end.wait(0.06)

    def _left(self) -> float:
        """Seconds to 50 ms before the end of the window."""
        now = time.time()  # noqa: TID251 - the window is of this clock
        return (self._zero - 0.05 - now) % self._length


# ---- nothing to do -----------------------------------------------------------------------------------------------------


def _idle(sizes: Sizes) -> Row:
    """`run --every auto`, its calls counted over hours of the Hub's clock; the first full readings are over by then."""
    quota, length = FREE
    more = ("--quota", f"{quota}/{length}", "--clock", f"x{sizes.idle_speed}")
    with (
        local_hub(sizes.idle_repos * 10, sizes.idle_repos, more=more) as hub,
        a_desk(hub, POLICY.replace("enforce", "shadow"), HF_GATE_CLOCK="hub") as here,
    ):
        here.run("sync", "--full", "--json")
        loop = subprocess.Popen(
            here.command("run", "--every", "auto", "--json"), cwd=here.folder, env=here.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            start, before = hub.now(), hub.stats()
            while hub.now() < start + sizes.idle_hours * 3600:
                time.sleep(0.2)
            passed, spent = hub.now() - start, hub.stats().since(before)
            if loop.poll() is not None:
                raise RuntimeError(f"hf-gate run ended with {loop.returncode}")
        finally:
            loop.send_signal(signal.SIGINT)
            loop.wait(60)
    share = spent.total / (passed / length) / quota
    return Row(
        "desk-idle", f"{sizes.idle_repos} repos without changes, `run --every auto` for {passed / 3600:.1f} h of the Hub's clock",
        f"{share:.1%} of a free window ({spent.total} calls)", aim="<= 5 %", reached=share <= 0.05,
        held="Each quick sync takes four calls for each repo, and the loop begins with a short pause.",
    )  # fmt: skip
