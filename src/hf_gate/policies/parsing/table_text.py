"""Splits the text of a table file (CSV or JSON lines) into records with their places, and reports each problem.

A CSV line that begins with `# ` (or is only `#`) is a comment, unless it is inside a quoted cell.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import is_id
from hf_gate.policies.facts.tables import KEYS, TableProblem

MAX_ROWS = 1_000_000
MAX_COLUMNS: Final = 200
_TOO_MANY_COLUMNS: Final = f"more than {MAX_COLUMNS} columns; keep those that the policies read"
DATE_COLUMNS: Final = ("from", "expires")
"""The columns that say when a row counts."""

KNOWN_COLUMNS: Final = frozenset({*KEYS, *DATE_COLUMNS})
KEY_COLUMN: Final = "key"
"""A column with an account id or a username, for a file that has neither column."""

_COLUMN_ALIASES: Final = {
    "e_mail": "email",
    "mail": "email",
    "userid": "user_id",
    "user_name": "username",
    "expires_at": "expires",
}
_COMMENT: Final = re.compile(r"#(?:[ \t#]|[\r\n]|\Z)")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


class ParsedFile(Struct, frozen=True):
    """The header, the records with their line numbers, and the problems of a file."""

    header: tuple[str, ...] = ()
    records: tuple[tuple[int, Mapping[str, str]], ...] = ()
    problems: tuple[TableProblem, ...] = ()
    skipped: tuple[int, ...] = ()
    refused: str = ""


class TextRecord(NamedTuple):
    """One record of a CSV file: its first line, its place in the text, and its cells."""

    line: int
    start: int
    end: int
    cells: list[str]


def parse_file(content: bytes, key: Sequence[str], *, is_json: bool) -> ParsedFile:
    """Parse the content of a table file: JSON lines or CSV."""
    try:
        text = decode(content)
    except UnicodeDecodeError as problem:
        return ParsedFile(refused=_describe_encoding_error(content, problem))
    return parse_json_lines(text) if is_json else parse_csv(text, key)


def decode(content: bytes) -> str:
    """Decode the content of a table file. Raises UnicodeDecodeError if it is not UTF-8."""
    return content.decode("utf-8-sig")


def _describe_encoding_error(content: bytes, problem: UnicodeDecodeError) -> str:
    """Return where a file stops being UTF-8, and what to do."""
    if content.startswith(_UTF16):
        return "the file is UTF-16, not UTF-8; save it as CSV UTF-8"
    line = content.count(b"\n", 0, problem.start) + 1
    return f"the file is not UTF-8 (line {line}); save it as CSV UTF-8"


def column_name(name: str) -> str:
    """Return the canonical name of a known column; other names stay unchanged."""
    plain = "_".join(re.split(r"[\s_-]+", name.strip().lower()))
    plain = _COLUMN_ALIASES.get(plain, plain)
    return plain if plain in KNOWN_COLUMNS else name.strip()


def has_key_column(header: Sequence[str], key: Sequence[str]) -> bool:
    """Return whether the column `key` identifies people, because the file has no column of ids or usernames."""
    return KEY_COLUMN in header and not {"user_id", "username"} & {*header} and bool({"user_id", "username"} & {*key})


def spread_key(cells: Mapping[str, str]) -> dict[str, str]:
    """Return the cells with the column `key` as the account id, the e-mail address or the username that it holds."""
    text = cells.get(KEY_COLUMN, "").strip()  # a JSON line may lack it
    if not text:
        return {column: cell for column, cell in cells.items() if column != KEY_COLUMN}
    name = "user_id" if is_id(text) else "email" if "@" in text.lstrip("@") else "username"
    rest = {column: cell for column, cell in cells.items() if column != KEY_COLUMN}
    return rest if name == "email" and rest.get("email", "").strip() else {**rest, name: text}


def header_line(columns: Sequence[str]) -> bytes:
    """Return the first line of a new CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(columns)
    return text.getvalue().encode()


# ---- CSV -------------------------------------------------------------------------------------------------------------


class _Lines:
    """Hands the lines of a text to `csv.reader`, without comments, and knows where the current record began."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.number = self.end = self.start = 0
        self.first = 1
        self.is_between = True  # between two records

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        while True:
            line = next(self._lines)
            start = self.end
            self.end = self.end + len(line)
            self.number += 1
            if not self.is_between:
                return line
            if _COMMENT.match(line) is None:
                self.is_between = False
                self.first = self.number
                self.start = start
                return line


def find_delimiter(text: str, key: Sequence[str]) -> str | None:
    """Return the delimiter of a CSV file by its first line that is no comment; None if there is no such line."""
    lines = (line for line in text.splitlines() if line.strip() and _COMMENT.match(line) is None)
    first = next(lines, None)
    if first is None:
        return None
    return max(",;\t", key=lambda sign: (_count_known_columns(first, sign, key), first.count(sign)))


def _count_known_columns(line: str, sign: str, key: Sequence[str]) -> int:
    names = {column_name(cell.strip('"')) for cell in line.split(sign)}
    return sum(each in names for each in (*key, KEY_COLUMN))


def iterate_csv(text: str, delimiter: str) -> Iterator[TextRecord]:
    """Yield the records of a CSV text, the header first, without comments and blank lines. Raises csv.Error."""
    lines = _Lines(text)
    for cells in csv.reader(lines, delimiter=delimiter, strict=True):
        lines.is_between = True
        if any(map(str.strip, cells)):
            yield TextRecord(lines.first, lines.start, lines.end, cells)


def parse_csv(text: str, key: Sequence[str]) -> ParsedFile:
    """Parse a CSV text."""
    delimiter = find_delimiter(text, key)
    if delimiter is None:
        return ParsedFile(refused="the file is empty")
    header: tuple[str, ...] = ()
    records: list[tuple[int, Mapping[str, str]]] = []
    problems: list[TableProblem] = []
    line = 1
    try:
        for found in iterate_csv(text, delimiter):
            at = found.line
            line = found.line + 1
            names = tuple(map(column_name, found.cells)) if not header or len(found.cells) == len(header) else ()
            if not header:
                header = names
                if problem := _check_header(header):
                    return ParsedFile(header[:MAX_COLUMNS], refused=problem)
            elif names == header:
                return ParsedFile(header, refused=f"line {at} repeats the header; the file may contain its rows twice")
            elif len(found.cells) != len(header):
                words = f"{len(found.cells)} cells where the header has {len(header)}."
                problems.append(TableProblem(at, "cells_differ", words))
            elif len(records) >= MAX_ROWS:
                return ParsedFile(header, refused=f"more than {MAX_ROWS:,} rows")
            else:
                records.append((at, dict(zip(header, found.cells, strict=True))))
    except csv.Error as problem:
        return ParsedFile(header, refused=f"line {line}: {problem}; the file may be incomplete")
    return _check_ending(ParsedFile(header, tuple(records), tuple(problems), tuple(each.line for each in problems)))


def _check_header(header: tuple[str, ...]) -> str:
    """Return why a file with these columns is refused; empty if it is not."""
    if len(header) > MAX_COLUMNS:
        return _TOO_MANY_COLUMNS
    times = Counter(header)
    twice = next((name for name in header if name and times[name] > 1), None)
    return f"duplicate column {twice}" if twice else ""


def _check_ending(read: ParsedFile) -> ParsedFile:
    """Reject a file with an incomplete last record."""
    last = read.records[-1][0] if read.records else 0
    if read.skipped and read.skipped[-1] > last:
        return replace(read, refused=f"the last line, {read.skipped[-1]}, is incomplete; the file may be cut off")
    return read


# ---- JSON lines ------------------------------------------------------------------------------------------------------


def parse_json_lines(text: str) -> ParsedFile:
    """Parse JSON lines."""
    header: dict[str, None] = {}
    records: list[tuple[int, Mapping[str, str]]] = []
    problems: list[TableProblem] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        cells = _parse_object(line)
        if isinstance(cells, str):
            problems.append(TableProblem(number, "no_json", cells))
        elif len(records) >= MAX_ROWS:
            return ParsedFile(refused=f"more than {MAX_ROWS:,} rows")
        else:
            header.update(dict.fromkeys(cells))
            if len(header) > MAX_COLUMNS:
                return ParsedFile(refused=_TOO_MANY_COLUMNS)
            records.append((number, cells))
    return _check_ending(
        ParsedFile(tuple(header), tuple(records), tuple(problems), tuple(problem.line for problem in problems))
    )


def _parse_object(line: str) -> dict[str, str] | str:
    """Parse one JSON line as cells; return a message if it is invalid."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return "Not JSON: write one object for each line."
    if not isinstance(value, dict):
        return "Not an object: write `{...}`."
    cells: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, (dict, list)):
            return f"{name[:60]} is a list or an object; write a text."
        text = "" if item is None else item if isinstance(item, str) else json.dumps(item)
        cells[column_name(name)] = text
    return cells
