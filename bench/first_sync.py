"""Measures the first sync of a new store per record, also in another work tree, whose figure is compared in the same run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from .cli_process import create_desk
from .desk import build_policy
from .hub_process import ROOT, RunningHub, run_local_hub
from .results import DASH, Row, format_ratio, is_met_if_large, target_if_large
from .sizes import Sizes

KEYS = ("first-sync",)
_MOST = 1.0  # of the other tree's time
_MIN_COUNTED = 10_000  # records; with fewer, the start of the process decides
_SMALL_PART = 20  # of the large Hub: its sync has all that does not grow with the records


def measure_first_sync(sizes: Sizes) -> Iterator[Row]:
    """Sync a large and a small Hub with each tree, in alternating order; the difference is what the records cost."""
    trees = [ROOT] if sizes.other_tree is None else [ROOT, sizes.other_tree.resolve()]
    took: dict[Path, list[float]] = {tree: [] for tree in trees}
    with run_local_hub(sizes.synced) as large, run_local_hub(sizes.synced // _SMALL_PART) as small:
        count = _count_requests(large) - _count_requests(small)
        for turn in range(sizes.rounds + 1):
            for tree in trees if turn % 2 else reversed(trees):
                cpu = _sync(tree, large) - _sync(tree, small)
                if turn:  # the first turn compiles
                    took[tree].append(cpu / count * 1e6)
    ours, *others = (median(times) for times in took.values())
    ratio = ours / others[0] if others else None
    yield Row(
        "first-sync", f"first sync in SQLite, CPU per record, of {count:,} records",
        f"{ours:.0f} us" + (f", {others[0]:.0f} us in {trees[1].name}" if others else ""),
        ratio=DASH if ratio is None else format_ratio(ratio),
        target=target_if_large(count, f"<= {_MOST:.2f}x", _MIN_COUNTED) if others else DASH,
        is_met=None if ratio is None else is_met_if_large(count, ratio <= _MOST, _MIN_COUNTED),
        why="CPU time grows by half and more while other work uses the other half of a core.",
    )  # fmt: skip


def _sync(tree: Path, hub: RunningHub) -> float:
    """Return the CPU seconds of a first sync by the program of a work tree, into a new store."""
    with create_desk(hub, build_policy(), PYTHONPATH=str(tree / "src")) as here:
        return here.run("sync", "--full", "--json").cpu


def _count_requests(hub: RunningHub) -> int:
    return sum(int(row[status]) for row in hub.repos for status in ("pending", "accepted", "rejected", "reset"))
