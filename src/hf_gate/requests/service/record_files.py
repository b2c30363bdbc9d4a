"""Encodes records as JSON, JSON lines and CSV in bounded memory, for commands and for downloads from the desk.

CSV has one column for each question, status, outcome or cell in a map of a record, and for each part of a verdict and a
grant: `answers.Purpose`, `counts.done`, `row.note`, `verdict.action`, `grant.ends_at`.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

import msgspec

from hf_gate.base.display_text import csv_cell, csv_value, make_visible, to_json
from hf_gate.core.records import GrantRecord, R, Record, RecordedVerdict, keys_of

SPREAD: Final = ("answers", "counts", "requests", "row")
"""Fields that CSV spreads over columns. A requester can invent labels, so the number of columns is limited."""

_LEFT_OUT: Final = frozenset({"quality", *SPREAD})
MAX_COLUMNS: Final = 200  # of labels
_NESTED: Final[dict[str, list[str]]] = {
    name: [f"{name}.{key}" for key in keys_of(kind)]
    for name, kind in (("verdict", RecordedVerdict), ("grant", GrantRecord))
}
_IN_MEMORY: Final = 1 << 20  # bytes; larger output goes to an unnamed temporary file


def json_lines(records: Iterable[Record]) -> Iterator[str]:
    """Yield each record as a line of JSON."""
    for record in records:
        yield to_json(record) + "\n"


def json_array(records: Iterable[Record]) -> Iterator[str]:
    """Yield a JSON array with one record on each line."""
    before = "["
    for record in records:
        yield before + to_json(record)
        before = ",\n "
    yield "]\n" if before != "[" else "[]\n"


def csv_lines(kind: type[R], records: Iterable[R]) -> Iterator[str]:
    """Yield the header and a line for each record."""
    keys = [part for key in keys_of(kind) if key not in _LEFT_OUT for part in _NESTED.get(key, [key])]
    spread = [key for key in SPREAD if key in keys_of(kind)]
    if not spread:
        return _csv_sheet(keys, (msgspec.to_builtins(record) for record in records))
    return _csv_with_spread_columns(keys, spread, records)


def csv_document(document: dict[str, Any]) -> Iterator[str]:
    """Yield one document as a header and a line."""
    return _csv_sheet(list(document), [document])


def _csv_with_spread_columns(keys: list[str], spread: Sequence[str], records: Iterable[Record]) -> Iterator[str]:
    """Yield CSV with one column per label.

    The header names every label, so all records are read before it is written.
    """
    counts: Counter[tuple[str, str]] = Counter()

    def encode_rows() -> Iterator[bytes]:
        for record in records:
            for key in spread:
                counts.update((key, label) for label in getattr(record, key) or ())
            yield _encode_row(record) + b"\n"

    with spool(encode_rows()) as file:
        frequent = {label for label, _ in counts.most_common(MAX_COLUMNS)}
        shown = [label for label in counts if label in frequent]  # in the order of their first occurrence
        others = [f"other {key}" for key in spread] if len(shown) < len(counts) else []
        rows = (_flatten(_decode_row(line), spread, set(shown)) for line in file)
        yield from _csv_sheet([*keys, *(f"{key}.{label}" for key, label in shown), *others], rows)


def _encode_row(record: Record) -> bytes:
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:  # a lone surrogate
        return to_json(record).encode()


def _decode_row(line: bytes) -> dict[str, Any]:
    try:
        row: dict[str, Any] = msgspec.json.decode(line)
    except msgspec.DecodeError:
        row = json.loads(line)
    return row


def _flatten(row: dict[str, Any], spread: Sequence[str], shown: set[tuple[str, str]]) -> dict[str, Any]:
    for name in _NESTED:
        row |= {f"{name}.{key}": _cell(value) for key, value in (row.get(name) or {}).items()}
    for key in spread:
        values = row.pop(key) or {}
        row |= {f"{key}.{label}": value for label, value in values.items() if (key, label) in shown}
        row[f"other {key}"] = {label: value for label, value in values.items() if (key, label) not in shown} or None
    return row


def _cell(value: object) -> object:
    return " && ".join(map(str, value)) if isinstance(value, list) else value


def _csv_sheet(keys: list[str], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    out = io.StringIO()
    sheet = csv.writer(out, lineterminator="\n")
    sheet.writerow([csv_cell(make_visible(key, one_line=True)) for key in keys])
    for row in rows:
        yield _take_text(out)
        sheet.writerow([csv_value(row.get(key)) for key in keys])
    yield _take_text(out)


def _take_text(out: io.StringIO) -> str:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text


def spool(parts: Iterable[bytes]) -> IO[bytes]:
    """Write all parts to a temporary file before the first part is used, so that an error leaves no partial output."""
    made: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        made.writelines(parts)
    except BaseException:
        made.close()
        raise
    made.seek(0)
    return made
