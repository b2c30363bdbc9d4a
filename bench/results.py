"""What one line of the comparison holds, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DASH = "–"
HEAD = ("what", "hf-gate", "huggingface_hub", "ratio", "target", "met")
ALONE = ("what", "hf-gate", "target", "met")
"""Where there is nobody to compare with."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `reached` is None where nothing is aimed at; `held` says what keeps the figure from its aim, if anything does."""

    key: str
    what: str
    ours: str
    peer: str = DASH
    ratio: str = DASH
    aim: str = DASH
    reached: bool | None = None
    held: str = ""
    is_measured: bool = True

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = DASH if self.reached is None else "yes" if self.reached else "no"
        return (self.what, self.ours, self.peer, self.ratio, self.aim, verdict if self.is_measured else "not measured")


def unmeasured(key: str, what: str, why: str) -> Row:
    """The place of a figure that this run could not or did not take."""
    return Row(key, what, DASH, held=why, is_measured=False)


def screen_table(rows: Sequence[Row]) -> str:
    """Columns padded with spaces, for a terminal."""
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def markdown_table(rows: Iterable[Row], head: Sequence[str] = HEAD) -> str:
    """The same for a page, or some of its columns."""
    columns = [HEAD.index(name) for name in head]
    lines = [head, ("---",) * len(head), *([row.cells[column] for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def times(value: float) -> str:
    return f"{value:.2f}x" if value < 10 else f"{value:.0f}x"


def rate(value: float) -> str:
    return f"{value:,.1f}/s" if value < 100 else f"{value:,.0f}/s"
