"""How a command speaks: data on stdout in seven formats, talk on stderr; no text from outside reaches either unseen."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

from ..domain.display_text import display_width, make_visible, to_json, to_one_line
from .text_layout import choose_widths, format_row, terminal_width

if TYPE_CHECKING:
    from ..application.records import Record

R = TypeVar("R")
Row = Mapping[str, object]
FIRST_ROWS = 30
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Format(StrEnum):
    """The seven formats; `auto` becomes one of them before anything is printed."""

    HUMAN = "human"
    AGENT = "agent"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    QUIET = "quiet"
    SVG = "svg"


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column of the table for people, and how it gives way when the terminal is narrow.

    A flexible one is cut down to `least`, at its end or, with `tail`, at its head. One with a `drop` leaves when that
    is not enough, the highest first. All others are shown whole.
    """

    title: str
    cell: Callable[[R], str]
    is_right_aligned: bool = False
    is_flexible: bool = False
    min_width: int = 8
    is_tail_shown: bool = False
    drop_rank: int = 0


def resolve_format(name: str | None) -> Format:
    """`auto` is for people, except where an agent says in AI_AGENT or AGENT that it reads and stdout is no terminal."""
    if name not in {None, "auto"}:
        return Format(name)
    is_agent = bool(os.environ.get("AI_AGENT") or os.environ.get("AGENT")) and not sys.stdout.isatty()
    return Format.AGENT if is_agent else Format.HUMAN


def should_use_color(stream: TextIO, choice: str = "auto") -> bool:
    """Colours where a terminal shows them and nobody objected."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def silence(stream: TextIO) -> None:
    """Lets a stream that cannot be written end in nothing, so that its unwritten rest is no complaint at exit."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def describe_write_error(problem: OSError) -> str:
    """The sentence about output that could not be written."""
    return f"the output could not be written: {problem.strerror or problem}."


@dataclass(slots=True)
class Output:
    """Where a command puts what it has to say."""

    format: Format = Format.HUMAN
    color: str = "auto"
    truncate: bool = True
    hidden_columns: tuple[str, ...] = ()  # titles of the columns for which the last table had no room

    @property
    def is_human(self) -> bool:
        """Whether a person reads stdout."""
        return self.format is Format.HUMAN

    # ---- talk: stderr ------------------------------------------------------------------------------------------------

    def say(self, text: str, style: str = "") -> None:
        """One line on stderr, with what came from outside made visible."""
        shown = make_visible(text, one_line=True)
        self.write_stderr((self.style(shown, style, sys.stderr) if style else shown) + "\n")

    @staticmethod
    def write_stderr(text: str) -> None:
        """Text that is safe already, on stderr at once; where nobody can hear it, the work goes on."""
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            silence(sys.stderr)

    def warn(self, text: str) -> None:
        """What the reader should know before trusting the rest."""
        self.say(f"Warning: {text}", "yellow")

    def hint(self, text: str) -> None:
        """What to do next."""
        self.say(f"Hint: {text}", "dim")

    def style(self, text: str, style: str, stream: TextIO | None = None) -> str:
        """The text in a colour, where colours are wanted."""
        if not should_use_color(stream or sys.stdout, self.color):
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    # ---- data: stdout ------------------------------------------------------------------------------------------------

    def write_results(self, tell: Callable[[], None], *, is_changed: bool) -> int:
        """Has results printed whose work is over: 0; 5 or 1 when they could not be written, changed or not.

        A reader who left early is no fault: the work has its own code.
        """
        try:
            tell()
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

    def line(self, text: str = "") -> None:
        """One line for people; what came from outside was made visible by the caller, or is here."""
        sys.stdout.write(make_visible(text, one_line=True) + "\n")

    def document(self, doc: Row, lines: Callable[[], Iterable[str]], *, quiet: Iterable[str] = ()) -> None:
        """One object: as JSON, as `key TAB value`, as one row of CSV, as the lines for people, or only its names."""
        if self.format in {Format.JSON, Format.JSONL}:
            sys.stdout.write(to_json(doc) + "\n")
        elif self.format is Format.AGENT:
            for key, value in _builtin(doc).items():
                sys.stdout.write(f"{key}\t{to_one_line(value)}\n")
        elif self.format is Format.CSV:
            from ..application.record_files import csv_document  # noqa: PLC0415 - help needs none of it

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
        """Print many records; return True when all were read, False when `limit` (30 for people and agents) left some out.

        `kind` names the keys, also where there is no row; `name` is what `-q` prints. `part`, such as `the newest {}`,
        says for people which rows were shown.
        """
        if limit is None and self.format in {Format.HUMAN, Format.AGENT}:
            limit = FIRST_ROWS
        source = iter(rows)
        taken = source if limit is None or limit < 0 else islice(source, limit)
        if self.is_human:
            self._table(taken, columns, empty)
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
        from ..application import record_files  # noqa: PLC0415 - help needs none of it
        from ..application.records import keys_of  # noqa: PLC0415 - as above

        if self.format is Format.JSON:  # all or nothing, since half an array is not JSON
            with record_files.spool(map(str.encode, record_files.json_array(rows))) as file:
                for line in io.TextIOWrapper(file, "utf-8", newline=""):
                    sys.stdout.write(line)
        elif self.format is Format.AGENT:
            sys.stdout.writelines(_tsv(keys_of(kind), rows))
        else:
            lines = record_files.json_lines(rows) if self.format is Format.JSONL else record_files.csv_lines(kind, rows)
            sys.stdout.writelines(lines)

    def _table(self, rows: Iterable[R], columns: Sequence[Column[R]], empty: str) -> None:
        titles = [
            make_visible(column.title, one_line=True) for column in columns
        ]  # labels of a form are from outside too
        cells = [[make_visible(column.cell(row), one_line=True) for column in columns] for row in rows]
        if not cells:
            self.line(empty)
            return
        needed = [max(map(display_width, column)) for column in zip(titles, *cells, strict=True)]
        widths = (
            choose_widths(columns, needed, terminal_width(sys.stdout)) if self.truncate else dict(enumerate(needed))
        )
        self.hidden_columns = tuple(title for n, title in enumerate(titles) if n not in widths)
        sys.stdout.write(self.style(format_row(titles, widths, columns), "bold") + "\n")
        for row in cells:
            sys.stdout.write(format_row(row, widths, columns) + "\n")


def _tsv(keys: Sequence[str], rows: Iterable[Record]) -> Iterator[str]:
    """Tab-separated lines; an agent must not obey what a requester wrote, so those columns are marked."""
    yield "\t".join(f"untrusted_{key}" if key in {"fullname", "answers"} else key for key in keys) + "\n"
    for row in rows:
        yield "\t".join(map(to_one_line, _builtin(row).values())) + "\n"


def _builtin(value: object) -> dict[str, object]:
    """Return an object with the records in it as plain JSON values."""
    import msgspec  # noqa: PLC0415 - help needs none of it

    found: dict[str, object] = msgspec.to_builtins(value)
    return found


def count_of(count: int, one: str, many: str | None = None) -> str:
    """`1 request`, `1,204 requests`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def format_age(since: datetime, now: datetime) -> str:
    """How long ago, in a unit that says something: `40s`, `12m`, `3h`, `9d`, `5mo`, `3.1y`, `12y`."""
    seconds = max(0, int((now - since).total_seconds()))
    days = seconds / 86400
    if days >= 730:
        years = int(days / 36.525) / 10  # never older than it is
        return f"{int(years)}y" if years >= 10 else f"{years:.1f}y"
    if days >= 90:
        return f"{int(days / 30.4375)}mo"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def format_duration(seconds: float) -> str:
    """A length of time for people: `45 s`, `1 min 50 s`, `2 h 5 min`, `12 days`."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole >= 2 * 86400:
        return f"{whole // 86400:,} days"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_end(seconds: float) -> str:
    """When something that is so many seconds ahead ends, or since when it is over."""
    return f"in {format_duration(seconds)}" if seconds > 0 else f"over for {format_duration(-seconds)}"


def clock_advice(skew: float) -> str:
    """Which way this machine's clock is off, and what to do; `skew`: seconds that the Hub's is ahead."""
    return f"{describe_clock_skew(skew)}. Set it right, and try again."


def describe_clock_skew(skew: float) -> str:
    """Which way it is off alone."""
    return f"this machine's clock is {format_duration(abs(skew))} {'behind' if skew > 0 else 'ahead of'} the Hub's"


def safe_lines(text: str) -> Iterator[str]:
    """The lines of a text from outside, each safe to print."""
    return (make_visible(line, one_line=True) for line in make_visible(text).split("\n"))
