"""Computes the table of docs/internals/scale.md from the figures of docs/internals/benchmarks.md and the limits of the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "internals" / "benchmarks.md"
SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
_PAGE: Final = 1_000  # requests of a page of a list
_BATCH: Final = 100  # decisions of a call
_WINDOW_S: Final = 300
_RESERVE: Final = 0.25  # of each window stays free for other work
_QUOTAS: Final = (("free", 1_000), ("Enterprise", 6_000))  # calls of a window
_LOOK_S: Final = 30  # a person looks at one request
_DAY_S: Final = 8 * 3600
_LEAST_S: Final = 2.0  # below it, the start of the program decides
_LEAST_MB: Final = 100.0


def build_table() -> str:
    """Return the table in Markdown: a row for each figure, a column for each number of requests."""
    head = ["requests", *(f"{size:,}" for size in SIZES)]
    rows = [[what, *(figure(size) for size in SIZES)] for what, figure in _list_figures().items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def _list_figures() -> dict[str, Callable[[int], str]]:
    page = PAGE.read_text("utf-8")
    sync = _read(page, r"first full sync of ([\d,]+) requests.*?\(([\d.]+) s CPU\), (\d+) MB")
    again = _read(page, r"second full sync of ([\d,]+) requests.*?\(([\d.]+) s CPU\)")
    plan = _read(page, r"the first plan, which stores ([\d,]+) verdicts.*?\(([\d.]+) s CPU\), (\d+) MB")
    proof = _read(page, r"audit verify of ([\d,]+) entries.*?\(([\d.]+) s CPU\)")
    erasure = _read(page, r"person erase among ([\d,]+) requests.*?\| ([\d.]+) s")
    size_b = _read(page, r"the store, with the text index \| ([\d,]+) B per request")[0]
    page_kb = _read(page, r"The transfer of (\d+) kB")[0]
    entries = proof[0] / sync[0]
    figures: dict[str, Callable[[int], str]] = {
        "calls of a full sync": lambda size: f"{size // _PAGE:,}",
        **{f"wait for a full sync, {name} token": _wait_for(_PAGE, quota) for name, quota in _QUOTAS},
        "read from the Hub": lambda size: _format_mb(size / _PAGE * page_kb / 1000),
        "CPU of the first full sync": lambda size: _format_time(sync[1] * size / sync[0]),
        "CPU of the next full sync": lambda size: _format_time(again[1] * size / again[0]),
        "memory of a sync": lambda size: _format_memory(sync[2] * size / sync[0]),
        "CPU of the first plan, all waiting": lambda size: _format_time(plan[1] * size / plan[0]),
        "memory of that plan": lambda size: _format_memory(plan[2] * size / plan[0]),
        "calls to decide all": lambda size: f"{size // _BATCH:,}",
        **{f"wait to decide all, {name} token": _wait_for(_BATCH, quota) for name, quota in _QUOTAS},
        "entries of the audit log": lambda size: f"{round(entries * size, -3):,.0f}",
        "CPU of `audit verify`": lambda size: _format_time(proof[1] * size / sync[0]),
        "time of `person erase`": lambda size: _format_time(erasure[1] * size / erasure[0]),
        "the store on disk": lambda size: _format_mb(size * size_b / 1e6),
        f"working days of a person who looks {_LOOK_S} s at each": lambda size: f"{size * _LOOK_S / _DAY_S:,.0f}",
    }
    return figures


def _read(page: str, pattern: str) -> list[float]:
    """Return the numbers in a row of the benchmarks."""
    found = re.search(pattern, page)
    if found is None:
        raise ValueError(f"{PAGE.name} has no row that matches {pattern}")
    return [float(text.replace(",", "")) for text in found.groups()]


def _wait_for(size_of_call: int, quota: int) -> Callable[[int], str]:
    """Return how long so many calls wait for new windows of the rate limit, outside the reserve."""

    def wait(size: int) -> str:
        windows = (size // size_of_call - 1) // int(quota * (1 - _RESERVE))
        return _format_time(windows * _WINDOW_S) if windows else "no wait"

    return wait


def _format_time(seconds: float) -> str:
    if seconds < _LEAST_S:
        return f"under {_LEAST_S:.0f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.0f} h"


def _format_memory(size: float) -> str:
    return f"under {_LEAST_MB:.0f} MB" if size < _LEAST_MB else _format_mb(size)


def _format_mb(size: float) -> str:
    return f"{size:.0f} MB" if size < 1000 else f"{size / 1000:,.1f} GB" if size < 100_000 else f"{size / 1000:,.0f} GB"
