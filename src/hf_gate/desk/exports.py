"""Sends records as JSON, JSON lines or CSV; spooled to a temporary file, so large exports need little memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response, StreamingResponse

from hf_gate.base.display_text import to_json
from hf_gate.core.records import R, Record
from hf_gate.requests.service.record_files import csv_lines, json_array, json_lines, spool

from .http_context import require_one_of

_TYPES: Final = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
_CHUNK: Final = 1 << 16


class EscapedJSON(JSONResponse):
    r"""JSON with `\u` escapes for control, invisible and bidirectional characters."""

    def render(self, content: object) -> bytes:
        return to_json(content).encode()


class ErrorOut(Record, frozen=True, kw_only=True):
    """An error, and what to do."""

    error: str
    hint: str


def error_response(status: int, error: str, hint: str | None = None) -> Response:
    """Return an error as JSON."""
    return EscapedJSON(ErrorOut(error=error, hint=hint or ""), status)


def export_response(name: str, kind: str, record: type[R], rows: Iterable[R]) -> Response:
    """Return records as a file `name.kind`; NotFound for an unknown kind. JSON is shown, other kinds are downloaded."""
    require_one_of(kind, _TYPES)
    text = csv_lines(record, rows) if kind == "csv" else json_array(rows) if kind == "json" else json_lines(rows)
    return file_response(map(str.encode, text), _TYPES[kind], "" if kind == "json" else f"{name}.{kind}")


def file_response(parts: Iterable[bytes], media_type: str, name: str = "") -> Response:
    """Return a file, made completely before the first byte is sent, so that errors still get an error status.

    `name`: the name of the download; without one, the browser shows the file.
    """
    made = spool(parts)
    headers = {"content-disposition": f'attachment; filename="{name}"'} if name else {}
    pieces = iter(lambda: made.read(_CHUNK), b"")
    return StreamingResponse(pieces, headers=headers, media_type=media_type, background=BackgroundTask(made.close))
