"""The rows of the comparison, and their formatting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DASH = "–"
HEAD = ("what", "hf-gate", "huggingface_hub", "ratio", "target", "met")
HEAD_WITHOUT_PEER = ("what", "hf-gate", "target", "met")
"""Columns of tables without a comparison."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `is_met` is None without a target; `why` explains why the target is not met."""

    key: str
    what: str
    ours: str
    peer: str = DASH
    ratio: str = DASH
    target: str = DASH
    is_met: bool | None = None
    why: str = ""
    is_measured: bool = True

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = DASH if self.is_met is None else "yes" if self.is_met else "no"
        return (
            self.what,
            self.ours,
            self.peer,
            self.ratio,
            self.target,
            verdict if self.is_measured else "not measured",
        )


def unmeasured_row(key: str, what: str, why: str) -> Row:
    """Return a row for a figure that was not measured."""
    return Row(key, what, DASH, why=why, is_measured=False)


def format_table(rows: Sequence[Row]) -> str:
    """Return the table for a terminal, with columns padded by spaces."""
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def format_markdown_table(rows: Iterable[Row], head: Sequence[str] = HEAD) -> str:
    """Return the table, or some of its columns, in Markdown."""
    columns = [HEAD.index(name) for name in head]
    lines = [head, ("---",) * len(head), *([row.cells[column] for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def format_seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def format_ratio(value: float) -> str:
    return f"{value:.2f}x" if value < 10 else f"{value:.0f}x"


def format_rate(value: float) -> str:
    return f"{value:,.1f}/s" if value < 100 else f"{value:,.0f}/s"


LARGE = 500_000  # fewest requests in a store for which its targets count


def target_if_large(count: int, target: str, large: int = LARGE) -> str:
    return target if count >= large else DASH


def is_met_if_large(count: int, is_met: bool, large: int = LARGE) -> bool | None:
    return is_met if count >= large else None


def percentile_95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]
