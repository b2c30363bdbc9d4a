"""Changes single rows in the text of a table file; everything else in it stays byte for byte as its owner wrote it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from hf_gate.base.display_text import SURROGATE, csv_cell
from hf_gate.base.ids import is_id
from hf_gate.errors import UsageError
from hf_gate.policies.parsing.table_text import (
    DATE_COLUMNS,
    KEY_COLUMN,
    KNOWN_COLUMNS,
    MAX_COLUMNS,
    TextRecord,
    column_name,
    decode,
    find_delimiter,
    has_key_column,
    iterate_csv,
)

MAX_CELL: Final = 2_000
Cells = Mapping[str, str]
"""Bytes of an argument that are not UTF-8 arrive as these."""


class RowEdits(Struct, frozen=True):
    """What changes in a file: new rows, new values of rows by their first line, and the lines of rows that go."""

    added: Sequence[Cells] = ()
    changed: Mapping[int, Cells] = field(default_factory=dict)
    removed: Collection[int] = ()


def edit_table(content: bytes, edits: RowEdits, *, key: Sequence[str], is_json: bool) -> bytes:
    """Return the content with these edits, without a byte order mark.

    Cells of columns that a change does not name keep their values. Text that a spreadsheet would read as a formula gets
    a leading `'`. A file gets the columns `DATE_COLUMNS` if it lacks them; UsageError is raised for all others.
    """
    given = (*edits.added, *edits.changed.values())
    for cells in given:
        _check_cells(cells)
    text = decode(content)
    if is_json:
        return _JsonText(text).apply(edits).encode()
    filled = {column_name(name) for cells in given for name, value in cells.items() if value}
    file = _CsvText(text, key)
    if missing := [name for name in DATE_COLUMNS if name in filled and name not in file.names]:
        file = _CsvText(file.widen(missing), key)
    return file.apply(edits).encode()


def to_safe_cell(column: str, text: str) -> str:
    """Return the text as it is written into a cell. Keys and dates stay as they are, because they are checked."""
    plain = text.replace("\x00", "\ufffd").strip()
    return plain if column in KNOWN_COLUMNS or column == KEY_COLUMN else csv_cell(plain)


def _check_cells(cells: Cells) -> None:
    if len(cells) > MAX_COLUMNS:
        raise UsageError(f"a row has at most {MAX_COLUMNS} cells.")
    broken = next((name for name, text in cells.items() if SURROGATE.search(name + text)), None)
    if broken is not None:
        name = SURROGATE.sub("\ufffd", broken[:60])
        raise UsageError(f"the value of {name} is not UTF-8 text.", hint="Write it in a terminal that uses UTF-8.")
    long = next((name for name, text in cells.items() if len(text) > MAX_CELL), None)
    if long is not None:
        raise UsageError(f"the value of {long[:60]} is longer than {MAX_CELL:,} characters.", hint="Shorten it.")


def _line_end(text: str, records: Sequence[tuple[int, int]]) -> str:
    """Return how the first record of a text ends, as its owner writes lines."""
    for start, end in records:
        record = text[start:end]
        return "\r\n" if record.endswith("\r\n") else "\r" if record.endswith("\r") else "\n"
    return "\n"


class _Text:
    """The text of a table file with the places of its records. Subclasses render one record."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.places: dict[int, tuple[int, int]] = {}  # of the rows, by their first line
        self.header: tuple[int, int] = (0, 0)

    @property
    def line_end(self) -> str:
        """How the lines of this file end."""
        return _line_end(self.text, [place for place in (self.header, *self.places.values()) if place[1]])

    def render(self, cells: Cells, line: int | None) -> str:
        """Return one record without its line end: a new one, or the one at `line` with these cells changed."""
        raise NotImplementedError

    def apply(self, edits: RowEdits) -> str:
        """Return the text with the edits."""
        parts = []
        at = 0
        for line, (start, end) in self.places.items():
            if line in edits.changed:
                ending = self.text[start:end][len(self.text[start:end].rstrip("\r\n")) :]
                parts += [self.text[at:start], self.render(edits.changed[line], line), ending]
                at = end
            elif line in edits.removed:
                parts.append(self.text[at:start])
                at = end
        parts.append(self.text[at:])
        text = "".join(parts)
        end_of_line = self.line_end
        had_end = not self.text or self.text.endswith(("\n", "\r"))
        if edits.removed and not had_end and text.endswith(end_of_line):
            text = text.removesuffix(end_of_line)
        new = [self.render(cells, None) for cells in edits.added]
        if not new:
            return text
        between = "" if not text or text.endswith(("\n", "\r")) else end_of_line
        return text + between + end_of_line.join(new) + (end_of_line if had_end else "")


class _CsvText(_Text):
    def __init__(self, text: str, key: Sequence[str]) -> None:
        super().__init__(text)
        self.delimiter = find_delimiter(text, key)
        if self.delimiter is None:
            raise UsageError("the file is empty, so it has no columns.", hint=f"Write a first line: {','.join(key)}")
        records = iterate_csv(text, self.delimiter)
        head = next(records)
        self.header = (head.start, head.end)
        self.names = [column_name(cell) for cell in head.cells]
        self.has_key = has_key_column(self.names, key)
        self.records: dict[int, TextRecord] = {record.line: record for record in records}
        self.places = {line: (each.start, each.end) for line, each in self.records.items()}
        self.is_quoted = text[head.start : head.end].lstrip().startswith('"')

    def widen(self, names: Sequence[str]) -> str:
        """Return the text with more columns, which are empty in its rows."""
        quote = '"' if self.is_quoted else ""
        parts = []
        at = 0
        for start, end in (self.header, *self.places.values()):
            cells = names if start == self.header[0] else [""] * len(names)
            stop = start + len(self.text[start:end].rstrip("\r\n"))
            parts += [self.text[at:stop], *(f"{self.delimiter}{quote}{cell}{quote}" for cell in cells)]
            at = stop
        return "".join([*parts, self.text[at:]])

    def render(self, cells: Cells, line: int | None) -> str:
        found = dict.fromkeys(self.names, "") if line is None else dict(self._cells_of(line))
        for name, value in self._columns_of(cells):
            found[name] = to_safe_cell(name, value)
        return self._write(list(found.values()))

    def _cells_of(self, line: int) -> Iterator[tuple[str, str]]:
        return zip(self.names, self.records[line].cells, strict=True)

    def _columns_of(self, cells: Cells) -> Iterator[tuple[str, str]]:
        """Yield each cell with the column of the file that holds it."""
        for given, value in cells.items():
            name = column_name(given)
            if name in self.names:
                yield name, value
            elif value and self.has_key and (name == "username" or (name == "user_id" and is_id(value.strip()))):
                yield KEY_COLUMN, value
            elif value:
                known = ", ".join(each for each in self.names if each)
                raise UsageError(
                    f"the table has no column {given[:60]}; its columns are {known[:200]}.",
                    hint="Add the column to the first line of the file, or leave the value out.",
                )

    def _write(self, cells: Sequence[str]) -> str:
        text = self._join(cells, is_quoted=self.is_quoted)
        return self._join(cells, is_quoted=True) if text.startswith("#") else text  # it would be a comment

    def _join(self, cells: Sequence[str], *, is_quoted: bool) -> str:
        out = io.StringIO()
        csv.writer(
            out,
            delimiter=self.delimiter or ",",
            lineterminator="",
            quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL,
        ).writerow(cells)
        return out.getvalue()


class _JsonText(_Text):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        at = 0
        for number, line in enumerate(text.split("\n"), 1):
            end = min(at + len(line) + 1, len(text))
            if line.strip():
                self.places[number] = (at, end)
            at = end

    def render(self, cells: Cells, line: int | None) -> str:
        found: dict[str, Any] = {} if line is None else json.loads(self.text[slice(*self.places[line])])
        names = {column_name(name): name for name in found}
        for given, value in cells.items():
            name = column_name(given)
            if value or name in names:
                found[names.get(name, name)] = to_safe_cell(name, value)
        return json.dumps(found, ensure_ascii=False)
