"""Rows as a file: JSON, JSON lines or CSV, the same rows in each; written aside first, so that many need no memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..domain.text import csv_value, one_line, to_json
from .visit import NotFound

_TYPES: Final = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
_IN_MEMORY: Final = 1 << 20  # bytes; what is longer lies in a file without a name until it was sent
_PIECE: Final = 1 << 16


class EscapedJSON(JSONResponse):
    r"""JSON with `\u` escapes where a character acts, hides or reorders."""

    def render(self, content: object) -> bytes:
        return to_json(content).encode("utf-8", "replace")


def exported(name: str, kind: str, keys: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Response:
    """The rows as `name.kind`; a kind that there is not is not there. JSON is shown, the others are kept as files."""
    if kind not in _TYPES:
        raise NotFound
    text = {"json": _json, "jsonl": _jsonl, "csv": _csv}[kind](keys, rows)
    return file_of(
        (part.encode("utf-8", "replace") for part in text), _TYPES[kind], "" if kind == "json" else f"{name}.{kind}"
    )


def file_of(parts: Iterable[bytes], media_type: str, name: str = "") -> Response:
    """All of it is made before the first byte leaves: an error is still an error then. `name`: to be kept under."""
    made: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when it was sent
    try:
        made.writelines(parts)
    except BaseException:
        made.close()
        raise
    made.seek(0)
    headers = {"content-disposition": f'attachment; filename="{name}"'} if name else {}
    pieces = iter(lambda: made.read(_PIECE), b"")
    return StreamingResponse(pieces, headers=headers, media_type=media_type, background=BackgroundTask(made.close))


def _jsonl(keys: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    for row in rows:
        yield to_json({key: row[key] for key in keys}) + "\n"


def _json(keys: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    yield "["
    for number, line in enumerate(_jsonl(keys, rows)):
        yield f"{',' if number else ''}\n{line[:-1]}"
    yield "\n]\n"


def _csv(keys: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    out = io.StringIO()
    sheet = csv.writer(out, lineterminator="\r\n")
    head: list[str | int | float] = [one_line(key) for key in keys]
    for cells in chain([head], ([csv_value(row[key]) for key in keys] for row in rows)):
        sheet.writerow(cells)
        yield out.getvalue()
        out.seek(0)
        out.truncate()
