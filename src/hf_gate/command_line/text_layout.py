"""Fits text to a terminal: chooses the columns of a table and their widths, and wraps lines at words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TextIO, TypeVar

from msgspec import Struct

from hf_gate.base.display_text import clip, display_width

R = TypeVar("R")
_GAP: Final = 2  # spaces between two columns
_COMFORTABLE_WIDTH: Final = 20  # text is cut down to this width before ids are cut
_MAX_CELL: Final = 48  # without a terminal, the maximum width of a cell that can be cut


def terminal_width(stream: TextIO) -> int | None:
    """Return the width of the terminal or the value of COLUMNS; None if lines can have any length."""
    declared = os.environ.get("COLUMNS", "")
    if declared.isdecimal() and int(declared) > 0:
        return int(declared)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return None


def cut_mark() -> str:
    """Return what stands for text that was cut: an ellipsis, or three dots where LC_ALL asks for ASCII."""
    return "..." if os.environ.get("LC_ALL") in {"C", "POSIX"} else "\N{HORIZONTAL ELLIPSIS}"


def clip_text(text: str, columns: int) -> str:
    """Cut one line to at most `columns` columns, and mark the cut."""
    return clip(text, columns, ending=cut_mark())


# ---- tables ----------------------------------------------------------------------------------------------------------


class Column(Struct, Generic[R], frozen=True):
    """One column of a table, and how it shrinks on a narrow terminal.

    A flexible column is cut at its end, down to `min_width`; with `is_tail_shown`, at its start. If that is not enough,
    columns with a `drop_rank` are dropped, the highest rank first. Other columns are never cut.
    """

    title: str
    cell: Callable[[R], str]
    is_right_aligned: bool = False
    is_flexible: bool = False
    min_width: int = 8
    is_tail_shown: bool = False
    drop_rank: int = 0
    is_said_once: bool = False  # leaves a table that is too wide if all cells are equal; the note below names the cell
    meaning: Callable[[R], str] = lambda _: ""  # what the cell means, e.g. `accepted`; gives it a colour


def find_constant_columns(
    columns: Sequence[Column[Any]], cells: Sequence[Sequence[str]], needed: Sequence[int], room: int | None
) -> list[int]:
    """Return the columns to say once below a table that is too wide: those whose cells are all equal."""
    if room is None or len(cells) < 2 or sum(needed) + _GAP * (len(needed) - 1) <= room:
        return []
    return [n for n, column in enumerate(columns) if column.is_said_once and len({row[n] for row in cells}) == 1]


def choose_widths(columns: Sequence[Column[Any]], needed: Sequence[int], room: int | None) -> dict[int, int]:
    """Return the width of each column that is shown, given the widths `needed` and the available `room`.

    The steps are, in this order: cut text to a comfortable width, cut ids to their tails, cut text to its minimum
    width, drop columns by the highest `drop_rank`. Columns that can be neither cut nor dropped may overflow.
    """
    shown = list(range(len(columns)))
    if room is None:
        return {n: min(needed[n], _MAX_CELL) if columns[n].is_flexible else needed[n] for n in shown}
    while True:
        widths = {n: needed[n] for n in shown}
        over = sum(widths.values()) + _GAP * (len(shown) - 1) - room
        words = [n for n in shown if columns[n].is_flexible and not columns[n].is_tail_shown]
        if over > sum(max(0, widths[n] - max(columns[n].min_width, _COMFORTABLE_WIDTH)) for n in words):
            over -= _cut_ids(widths, {n: columns[n].min_width for n in shown if columns[n].is_tail_shown})
        over -= _shrink(widths, {n: columns[n].min_width for n in words}, over)
        dropped = max(shown, key=lambda n: columns[n].drop_rank)
        if over <= 0 or not columns[dropped].drop_rank:
            return widths
        shown.remove(dropped)


def _shrink(widths: dict[int, int], least: dict[int, int], over: int) -> int:
    """Repeatedly shrink the widest column by one; return the width that was saved."""
    saved = 0
    while saved < over:
        wide = [n for n in least if widths[n] > least[n]]
        if not wide:
            break
        widths[max(wide, key=lambda n: widths[n])] -= 1
        saved += 1
    return saved


def _cut_ids(widths: dict[int, int], tails: dict[int, int]) -> int:
    """Cut ids to their tails, which all have the same width; return the width that was saved."""
    saved = 0
    for n, width in tails.items():
        saved += max(0, widths[n] - width)
        widths[n] = min(widths[n], width)
    return saved


def format_row(
    cells: Sequence[str],
    widths: dict[int, int],
    columns: Sequence[Column[Any]],
    style: Callable[[int, str], str] = lambda _, text: text,
) -> str:
    """Return one line of a table. `style` gets the number and the text of each cell, and returns the styled text."""
    line = ""
    for n, width in widths.items():
        text = _cut_cell(cells[n], width, columns[n])
        space = " " * (width - display_width(text))
        styled = style(n, text)
        line += (space + styled if columns[n].is_right_aligned else styled + space) + " " * _GAP
    return line.rstrip()


def _cut_cell(text: str, width: int, column: Column[Any]) -> str:
    if display_width(text) <= width:
        return text
    mark = cut_mark()
    return mark + text[len(text) - width + len(mark) :] if column.is_tail_shown else clip_text(text, width)


# ---- lines -----------------------------------------------------------------------------------------------------------


def wrap_line(text: str, columns: int | None, hang: int | None = None, *, breaks_words: bool = True) -> Iterator[str]:
    """Wrap a line at words to `columns`. Later lines are indented by `hang`, by default like the first.

    A word longer than a line, e.g. a URL, is broken at the end of the line, or left to the terminal.
    """
    if columns is None or display_width(text) <= columns:
        yield text
        return
    body = text.lstrip(" ")
    line = text[: len(text) - len(body)]
    later = " " * min(len(line) if hang is None else hang, columns // 2)
    has_words = False
    for word in body.split(" "):
        if has_words and display_width(line) + 1 + display_width(word) > columns:
            yield line.rstrip(" ")
            line = later
            has_words = False
        line += (" " if has_words else "") + word
        has_words = True
        while breaks_words and display_width(line) > columns:
            head = clip(line, columns, ending="")
            yield head
            line = later + line[len(head) :]
    yield line
