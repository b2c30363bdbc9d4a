"""Reads the first sheet of an .xlsx workbook through `openpyxl`, an optional package of the extra `excel`.

A workbook is hostile input: its size, its parts, its rows and its columns are bounded before and while it is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Final

from hf_gate.errors import UsageError
from hf_gate.grants.people_files import MAX_PEOPLE, SheetLine
from hf_gate.policies.parsing.table_text import MAX_COLUMNS

_MAX_BYTES: Final = 8 << 20
_MAX_UNPACKED: Final = 64 << 20
_MAX_PARTS: Final = 1_000
_MARKUP_DECLARATION: Final = b"<!DOCTYPE"
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
        if any(_MARKUP_DECLARATION in parts.read(part) for part in parts.infolist()):
            raise UsageError("the workbook has declarations that no spreadsheet writes.", hint=_SAVE)


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
