"""Writes the output of commands: data to stdout in the chosen format, messages to stderr.

Text from outside is made safe to display.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO, TypeVar

from hf_gate.base.display_text import display_width, make_visible, to_json, to_one_line
from hf_gate.base.timestamps import describe_clock_skew
from hf_gate.errors import to_command_hint

from .text_layout import (
    Column,
    choose_widths,
    cut_mark,
    find_constant_columns,
    format_row,
    terminal_width,
    wrap_line,
)

if TYPE_CHECKING:
    from msgspec import Struct

    from hf_gate.core.records import Record

R = TypeVar("R")
Row = Mapping[str, object]
FIRST_ROWS = 30
_FROM_REQUESTERS = frozenset({"fullname", "answers", "facts", "private"})  # keys with text of requesters
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
STYLE_OF_MEANING: Final[Mapping[str, str]] = {
    **dict.fromkeys(("+", "✓", "accept", "accepted", "grant", "granted", "done"), "green"),
    **dict.fromkeys(("↺", "reset"), "cyan"),
    **dict.fromkeys(("✗", "-", "reject", "rejected", "revoke", "revoked", "refused"), "red"),
    **dict.fromkeys(("?", "stale", "gone", "open", "deferred"), "yellow"),
    "title": "bold",
}
"""The colours of marks, actions, statuses and outcomes. A coloured part always has its mark or word too."""


_LABELS: Final = re.compile(r" *(?:\S+(?: \S+)* {2,})+")
"""The labels at the start of a line, such as `ok    token      `."""
_COMMAND: Final = re.compile(r"( *(?:\S*/)?hf-gate (?:\S| (?! ))*)(?: {2,}(.*))?")
"""A command that stands alone in a line, and what it does."""


class StyledLine(NamedTuple):
    """A line of which `part`, where it first occurs, has a colour by its meaning; an empty part is the whole line."""

    text: str
    meaning: str
    part: str = ""


def style_mark(text: str) -> StyledLine:
    """Return a line whose leading mark, e.g. `✓`, has a colour. Give only lines that begin with our own words."""
    mark, has_rest, _ = text.lstrip(" ").partition(" ")
    is_mark = len(mark) == 1 and has_rest and mark in STYLE_OF_MEANING
    return StyledLine(text, mark, mark) if is_mark else StyledLine(text, "")


class Format(StrEnum):
    """The output formats; `auto` is resolved to another format before anything is printed."""

    HUMAN = "human"
    AGENT = "agent"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    QUIET = "quiet"


def resolve_format(name: str | None) -> Format:
    """Resolve a format name: `auto` is human, or agent if AI_AGENT or AGENT is set and stdout is not a terminal."""
    if name not in {None, "auto"}:
        return Format(name)
    is_agent = bool(os.environ.get("AI_AGENT") or os.environ.get("AGENT")) and not sys.stdout.isatty()
    return Format.AGENT if is_agent else Format.HUMAN


def should_use_color(stream: TextIO, choice: str = "auto") -> bool:
    """Return whether to use colours: on a terminal, unless an option or a variable says otherwise."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def silence(stream: TextIO) -> None:
    """Redirect an unwritable stream to /dev/null, so that flushing it at exit does not fail."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def describe_write_error(problem: OSError) -> str:
    """Return the error message for output that could not be written."""
    return f"the output could not be written: {problem.strerror or problem}."


@dataclass(slots=True)
class Output:
    """The output of one command."""

    format: Format = Format.HUMAN
    color: str = "auto"
    truncate: bool = True
    write_log: Callable[[str, str], None] | None = None  # takes messages and their styles, in place of stderr

    @property
    def is_human(self) -> bool:
        """Return whether the format is human."""
        return self.format is Format.HUMAN

    @property
    def should_rate_answers(self) -> bool:
        """Return whether the format shows the quality of answers; rating them takes longest in a list."""
        return self.format in {Format.JSON, Format.JSONL, Format.AGENT}

    # ---- messages: stderr---------------------------------------------------------------------------------------------

    def say(self, text: str | StyledLine, style: str = "") -> None:
        """Write one line to stderr, with outside text made visible."""
        if self.write_log is not None:
            self.write_log(make_visible(text.text if isinstance(text, StyledLine) else text, one_line=True), style)
            return
        for line in self._lay_out(text, sys.stderr):
            shown = line if isinstance(line, str) else self.style_part(line, sys.stderr)
            self.write_stderr((self.style(shown, style, sys.stderr) if style else shown) + "\n")

    @staticmethod
    def _lay_out(line: str | StyledLine, stream: TextIO) -> Iterator[str | StyledLine]:
        """Yield a line as a terminal shows it: wrapped at words. A command stays whole, so that it can be pasted."""
        text = line.text if isinstance(line, StyledLine) else line
        shown = make_visible(text, one_line=True).replace("\N{HORIZONTAL ELLIPSIS}", cut_mark())
        columns = terminal_width(stream) if stream.isatty() else None
        label = _LABELS.match(shown[: (columns or 0) // 2])  # later lines stand below the text beside the labels
        command = _COMMAND.match(shown)
        if columns is not None and command is not None and display_width(shown) > columns:
            yield command[1]
            if not command[2]:
                return
            shown = f"    {command[2]}"
        for part in wrap_line(shown, columns, None if label is None else label.end(), breaks_words=False):
            yield StyledLine(part, line.meaning, line.part) if isinstance(line, StyledLine) else part

    @staticmethod
    def write_stderr(text: str) -> None:
        """Write safe text to stderr and flush; a closed stderr is ignored."""
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            silence(sys.stderr)

    def warn(self, text: str) -> None:
        """Write a warning."""
        self.say(f"Warning: {text}", "yellow")

    def hint(self, text: str) -> None:
        """Write a hint for the next step."""
        self.say(f"Hint: {to_command_hint(text)}", "dim")

    def style(self, text: str, style: str, stream: TextIO | None = None) -> str:
        """Return the text in a style if colours are used."""
        if not should_use_color(stream or sys.stdout, self.color):
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    def style_part(self, line: StyledLine, stream: TextIO | None = None) -> str:
        """Return a line with outside text made visible, and its part in the colour of its meaning."""
        shown = make_visible(line.text, one_line=True)
        style = STYLE_OF_MEANING.get(line.meaning)
        part = line.part or shown
        word = part.strip(": ")  # what stands around it only says which occurrence is meant
        styled = word if style is None else self.style(word, style, stream)
        return shown.replace(part, part.replace(word, styled), 1) if word else shown

    # ---- data: stdout ------------------------------------------------------------------------------------------------

    def write_results(self, print_results: Callable[[], None], *, is_changed: bool) -> int:
        """Print the results of finished work; return 0. If printing fails, return 5 if there were changes, else 1.

        A closed pipe is no failure, because the work has its own exit code.
        """
        try:
            print_results()
            sys.stdout.flush()
        except BrokenPipeError:
            silence(sys.stdout)
        except OSError as problem:
            silence(sys.stdout)
            self.say(
                f"Error: {describe_write_error(problem)}" + (" The changes were made." if is_changed else ""), "red"
            )
            return 5 if is_changed else 1
        return 0

    def line(self, text: str | StyledLine = "", style: str = "") -> None:
        """Write one line of data, with outside text made visible."""
        for line in self._lay_out(text, sys.stdout) if self.is_human else [text]:
            shown = self.style_part(line) if isinstance(line, StyledLine) else make_visible(line, one_line=True)
            sys.stdout.write((self.style(shown, style) if style else shown) + "\n")

    def document(
        self, record: Struct | Row, lines: Callable[[], Iterable[str | StyledLine]], *, quiet: Iterable[str] = ()
    ) -> None:
        """Print one record with the version of its schema as JSON, `key TAB value`, a CSV row, `lines` or `quiet`
        names.
        """
        self.print_object({"schema_version": 1, **_builtin(record)}, lines, quiet=quiet)

    def print_object(
        self, doc: Struct | Row, lines: Callable[[], Iterable[str | StyledLine]], *, quiet: Iterable[str] = ()
    ) -> None:
        """Print one record as `document` does, without a version."""
        if self.format in {Format.JSON, Format.JSONL}:
            sys.stdout.write(to_json(doc) + "\n")
        elif self.format is Format.AGENT:
            for key, value in _mark_untrusted(_builtin(doc)).items():
                sys.stdout.write(f"{key}\t{to_one_line(value)}\n")
        elif self.format is Format.CSV:
            from hf_gate.requests.service.record_files import csv_document

            sys.stdout.writelines(csv_document(_builtin(doc)))
        else:
            for text in lines() if self.is_human else quiet:
                self.line(text)

    def records(
        self,
        kind: type[Record],
        rows: Iterable[R],
        columns: Sequence[Column[R]],
        *,
        name: Callable[[R], str],
        limit: int | None = None,
        empty: str = "No results found.",
        part: str = "",
    ) -> bool:
        """Print records; return False if `limit` (default for tables and agents: 30) cut the list, else True.

        `kind` defines the keys, even without rows. `name` gives what `-q` prints. `part`, e.g. `the newest {}`,
        describes the rows shown when the table is cut.
        """
        if limit is None and self.format in {Format.HUMAN, Format.AGENT}:
            limit = FIRST_ROWS
        source = iter(rows)
        taken = source if limit is None or limit < 0 else islice(source, limit)
        if self.is_human:
            self._table(list(taken), columns, empty)
        elif self.format is Format.QUIET:
            for row in taken:
                self.line(name(row))
        else:
            self._data(kind, taken)
        is_whole = limit is None or limit < 0 or next(source, None) is None
        if part and self.is_human and not is_whole:
            self.say(f"Showing {part.format(f'{limit:,}')}. All: --all", "dim")
        return is_whole

    def _data(self, kind: type[Record], rows: Iterable[Any]) -> None:
        from hf_gate.core.records import keys_of
        from hf_gate.requests.service import record_files

        if self.format is Format.JSON:  # written only when complete, because half an array is not JSON
            with record_files.spool(map(str.encode, record_files.json_array(rows))) as file:
                for line in io.TextIOWrapper(file, "utf-8", newline=""):
                    sys.stdout.write(line)
        elif self.format is Format.AGENT:
            sys.stdout.writelines(_tsv(keys_of(kind), rows))
        else:
            lines = record_files.json_lines(rows) if self.format is Format.JSONL else record_files.csv_lines(kind, rows)
            sys.stdout.writelines(lines)

    def _table(self, rows: Sequence[R], columns: Sequence[Column[R]], empty: str) -> None:
        titles = [
            make_visible(column.title, one_line=True) for column in columns
        ]  # labels of a form are text from outside too
        cells = [[make_visible(column.cell(row), one_line=True) for column in columns] for row in rows]
        if not cells:
            self.line(empty)
            return
        needed = [max(map(display_width, column)) for column in zip(titles, *cells, strict=True)]
        room = terminal_width(sys.stdout) if self.truncate else None
        constant = find_constant_columns(columns, cells, needed, room)
        kept = [n for n in range(len(columns)) if n not in constant]
        chosen = choose_widths([columns[n] for n in kept], [needed[n] for n in kept], room) if self.truncate else {}
        widths = {kept[n]: width for n, width in chosen.items()} if self.truncate else dict(enumerate(needed))
        sys.stdout.write(self.style(format_row(titles, widths, columns), "bold") + "\n")
        for row, texts in zip(rows, cells, strict=True):
            sys.stdout.write(format_row(texts, widths, columns, self._style_cells(row, columns)) + "\n")
        self._say_hidden([f"{titles[n]} {cells[0][n]}" for n in constant], [titles[n] for n in kept if n not in widths])

    def _say_hidden(self, constant: Sequence[str], hidden: Sequence[str]) -> None:
        """Say once what all rows have in common, and which columns had no room."""
        if constant:
            self.say(f"All rows: {', '.join(constant)}.", "dim")
        if hidden:
            self.say(f"Hidden columns: {', '.join(hidden)}. --no-truncate shows everything.", "dim")

    def _style_cells(self, row: R, columns: Sequence[Column[R]]) -> Callable[[int, str], str]:
        """Return a function that styles the text of a column, given its number, by the meaning of the cell."""
        styles = [STYLE_OF_MEANING.get(column.meaning(row)) for column in columns]

        def style(number: int, text: str) -> str:
            name = styles[number]
            return text if name is None else self.style(text, name)

        return style


def _tsv(keys: Sequence[str], rows: Iterable[Record]) -> Iterator[str]:
    """Return tab-separated lines.

    Columns with text of requesters get the prefix untrusted_, so that agents do not obey the text.
    """
    yield "\t".join(map(_agent_key, keys)) + "\n"
    for row in rows:
        yield "\t".join(map(to_one_line, _builtin(row).values())) + "\n"


def _agent_key(key: str) -> str:
    return f"untrusted_{key}" if key in _FROM_REQUESTERS else key


def _mark_untrusted(value: Any) -> Any:  # noqa: ANN401 - any part of a document
    """Rename the keys with text of requesters, at any depth of a document, as `_tsv` names its columns."""
    if isinstance(value, dict):
        return {
            _agent_key(key): each if key in _FROM_REQUESTERS else _mark_untrusted(each) for key, each in value.items()
        }
    return [_mark_untrusted(each) for each in value] if isinstance(value, list) else value


def _builtin(value: object) -> dict[str, object]:
    """Return an object with the records in it as plain JSON values."""
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(value)
    return found


def clock_advice(skew: float) -> str:
    """Return how far the clock is off, and what to do. `skew` is how many seconds the Hub's clock is ahead."""
    return f"this machine's {describe_clock_skew(skew)}. Correct the clock, then try again."


def safe_lines(text: str) -> Iterator[str]:
    """Return the lines of a text from outside, each safe to print."""
    return (make_visible(line, one_line=True) for line in make_visible(text).split("\n"))
