"""Reads a file whose rows are added to a table."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UsageError
from ..sources.table_text import decode, parse_csv, parse_json_lines
from .own_tables import OwnTable


def read_import(own: OwnTable, content: bytes, *, is_json: bool) -> dict[int, Mapping[str, str]]:
    """Return the records of a file by line. Raises UsageError with the place if any of them cannot be used."""
    read = own.parse(content, is_json=is_json)
    wrong = next((each for each in read.problems if each.is_error and each.line), None)
    if read.refusal or wrong is not None:
        message = read.refusal.partition(": ")[2] if wrong is None else f"line {wrong.line}: {wrong.message[:-1]}"
        raise UsageError(f"the file cannot be used: {message}.", hint="Correct it. Nothing was written.")
    text = decode(content)
    parsed = parse_json_lines(text) if is_json else parse_csv(text, own.spec.key)
    if not parsed.records:
        raise UsageError("the file has no rows.", hint="Nothing was written.")
    return dict(parsed.records)
