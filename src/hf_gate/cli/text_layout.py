"""How text takes its place on a terminal: columns that give way to each other, lines that wrap at words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

from ..domain.display_text import clip, display_width

if TYPE_CHECKING:
    from .output import Column

_GAP: Final = 2  # columns of the terminal between two of a table
_AT_EASE: Final = 20  # what a cell of words keeps before ids are cut
_UNBOUND: Final = 48  # of a cell that may be cut, where there is no terminal to fill


def terminal_width(stream: TextIO) -> int | None:
    """Columns of the terminal behind a stream, or what COLUMNS says; None where lines may be as long as they like."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return None


# ---- tables -----------------------------------------------------------------------------------------------------------


def choose_widths(columns: Sequence[Column[Any]], needed: Sequence[int], room: int | None) -> dict[int, int]:
    """Which columns are shown, and how wide, when each needs so much and there is that much room.

    Words are cut to a comfortable width first, then ids to their tails, then words to the least that says something;
    then whole columns leave, those with the highest `drop` first. What can neither be cut nor leave may overflow.
    """
    shown = list(range(len(columns)))
    if room is None:
        return {n: min(needed[n], _UNBOUND) if columns[n].is_flexible else needed[n] for n in shown}
    while True:
        widths = {n: needed[n] for n in shown}
        over = sum(widths.values()) + _GAP * (len(shown) - 1) - room
        words = [n for n in shown if columns[n].is_flexible and not columns[n].is_tail_shown]
        if over > sum(max(0, widths[n] - max(columns[n].min_width, _AT_EASE)) for n in words):
            over -= _cut_ids(widths, {n: columns[n].min_width for n in shown if columns[n].is_tail_shown})
        over -= _shrink(widths, {n: columns[n].min_width for n in words}, over)
        leaving = max(shown, key=lambda n: columns[n].drop_rank)
        if over <= 0 or not columns[leaving].drop_rank:
            return widths
        shown.remove(leaving)


def _shrink(widths: dict[int, int], least: dict[int, int], over: int) -> int:
    """Takes from the widest first, a column at a time; how much was won."""
    won = 0
    while won < over:
        wide = [n for n in least if widths[n] > least[n]]
        if not wide:
            break
        widths[max(wide, key=lambda n: widths[n])] -= 1
        won += 1
    return won


def _cut_ids(widths: dict[int, int], tails: dict[int, int]) -> int:
    """An id is whole or a tail: half of one helps nobody. How much was won."""
    won = 0
    for n, width in tails.items():
        won += max(0, widths[n] - width)
        widths[n] = min(widths[n], width)
    return won


def format_row(cells: Sequence[str], widths: dict[int, int], columns: Sequence[Column[Any]]) -> str:
    """One line of a table."""
    return (" " * _GAP).join(_fit_cell(cells[n], width, columns[n]) for n, width in widths.items()).rstrip()


def _fit_cell(text: str, width: int, column: Column[Any]) -> str:
    if display_width(text) > width:
        text = "\N{HORIZONTAL ELLIPSIS}" + text[1 - width :] if column.is_tail_shown else clip(text, width)
    space = " " * (width - display_width(text))
    return space + text if column.is_right_aligned else text + space


# ---- lines ------------------------------------------------------------------------------------------------------------


def wrap_line(text: str, columns: int | None, hang: int | None = None) -> Iterator[str]:
    """A line as lines of at most so many columns, parted between words; later ones are indented by `hang`, else as the first.

    A word that fills more than a line by itself (an address, a script without blanks) is parted where the line ends.
    """
    if columns is None or display_width(text) <= columns:
        yield text
        return
    body = text.lstrip(" ")
    line = text[: len(text) - len(body)]
    later = " " * min(len(line) if hang is None else hang, columns // 2)
    is_begun = False
    for word in body.split(" "):
        if is_begun and display_width(line) + 1 + display_width(word) > columns:
            yield line.rstrip(" ")
            line, is_begun = later, False
        line += (" " if is_begun else "") + word
        is_begun = True
        while display_width(line) > columns:
            head = clip(line, columns, ending="")
            yield head
            line = later + line[len(head) :]
    yield line
