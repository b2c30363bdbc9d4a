"""Reads the first sheet of an .xlsx workbook through `openpyxl`, an optional package of the extra `excel`.

A workbook is hostile input: its size, its parts, its rows and its columns are bounded before and while it is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime, time
from typing import Final
from xml.parsers import expat

from hf_gate.errors import UsageError
from hf_gate.grants.people_files import MAX_PEOPLE, SheetLine
from hf_gate.policies.parsing.table_text import MAX_COLUMNS

_MAX_BYTES: Final = 8 << 20
_MAX_UNPACKED: Final = 64 << 20
_MAX_PARTS: Final = 1_000
_MAX_ELEMENTS: Final = 4_000_000  # of XML, in all parts
_MAX_TOGETHER: Final = 100_000  # that are in memory at once
_MAX_ATTRIBUTES: Final = 200
_WITHOUT_ROWS: Final = frozenset({"xl/styles.xml", "xl/workbook.xml", "[Content_Types].xml"})
_SAVE: Final = "Save the sheet as CSV UTF-8."


def read_workbook(content: bytes) -> list[SheetLine]:
    """Return the rows of the first sheet that are not empty. Raises UsageError if it cannot be read."""
    if len(content) > _MAX_BYTES:
        raise UsageError(f"the workbook is larger than {_MAX_BYTES >> 20} MiB.", hint=_SAVE)
    try:
        import openpyxl
    except ImportError:
        raise UsageError(
            "an .xlsx file needs the package openpyxl.",
            hint="Install hf-gate with the extra [excel].",
        ) from None
    try:
        _check_parts(content)
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        found = list(_read_lines(sheet.iter_rows(max_row=MAX_PEOPLE + 1, max_col=MAX_COLUMNS + 1, values_only=True)))
    except UsageError:
        raise
    except Exception as problem:  # the package raises what its XML parser, its numbers and its dates raise
        raise UsageError("the workbook cannot be read; it may be damaged or protected.", hint=_SAVE) from problem
    if found and found[-1].line > MAX_PEOPLE:
        raise UsageError(f"the sheet has more than {MAX_PEOPLE:,} rows.", hint=_SAVE)
    return found


def _check_parts(content: bytes) -> None:
    """Raise UsageError if the parts of a workbook are too many or too large, or declare entities."""
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        if len(parts.infolist()) > _MAX_PARTS or sum(part.file_size for part in parts.infolist()) > _MAX_UNPACKED:
            raise UsageError(f"the workbook is larger than {_MAX_UNPACKED >> 20} MiB when unpacked.", hint=_SAVE)
        check = _ElementCheck()
        for part in parts.infolist():
            with suppress(expat.ExpatError):  # a picture; openpyxl stops at the same place of a damaged part
                check.check_part(parts.read(part), has_rows=part.filename not in _WITHOUT_ROWS)


class _ElementCheck:
    """Counts the XML elements of a workbook before `openpyxl` makes objects of them, each a hundred times as large.

    A part is read into memory as a whole, but a part with rows or shared texts only one of these at a time.
    """

    def __init__(self) -> None:
        self._count = 0

    def check_part(self, part: bytes, *, has_rows: bool) -> None:
        """Raise UsageError if a part has too many elements, or declares entities."""
        self._row = self._count
        self._has_rows = has_rows
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse_declaration
        parser.StartElementHandler = self._count_element
        parser.Parse(part, True)

    def _refuse_declaration(self, *_: object) -> None:
        raise UsageError("the workbook has declarations that no spreadsheet writes.", hint=_SAVE)

    def _count_element(self, name: str, attributes: Mapping[str, str]) -> None:
        self._count += 1
        if self._has_rows and name.rpartition(":")[2] in {"row", "si"}:
            self._row = self._count
        if self._count > _MAX_ELEMENTS or self._count - self._row > _MAX_TOGETHER or len(attributes) > _MAX_ATTRIBUTES:
            raise UsageError("the workbook has more cells or formats than a list of people needs.", hint=_SAVE)


def _read_lines(rows: Iterator[tuple[object, ...]]) -> Iterator[SheetLine]:
    for line, values in enumerate(rows, 1):
        cells = [_write_cell(value) for value in values]
        if any(cells):
            while not cells[-1]:
                cells.pop()
            yield SheetLine(line, cells)


def _write_cell(value: object) -> str:
    """Return the text of a cell; a date as ISO 8601."""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value).strip()
