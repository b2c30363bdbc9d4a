"""Parses the body of a form: URL-encoded, or with an uploaded file."""

from __future__ import annotations

import re
from typing import Final

from .request_context import parse_fields

MAX_PARTS: Final = 200
_MULTIPART: Final = re.compile(
    r'multipart/form-data\s*;\s*boundary="?([A-Za-z0-9\'()+_,./:=?-]{1,70})"?\s*\Z', re.IGNORECASE
)
_NAME: Final = re.compile(rb'content-disposition:\s*form-data;[^\r\n]*?\bname="([^"\r\n]*)"', re.IGNORECASE)


def parse_form(content_type: str, body: bytes) -> dict[str, list[str]]:
    """Return the fields of a form. Bytes of a file that are not UTF-8 become lone surrogates."""
    match = _MULTIPART.match(content_type.strip())
    if match is None:
        return parse_fields(body.decode("utf-8", "replace"))
    return _parse_multipart(match[1].encode(), body)


def _parse_multipart(boundary: bytes, body: bytes) -> dict[str, list[str]]:
    """Return the contents of the parts by name, as browsers write them; nothing if there are too many parts."""
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 2)[1:]
    if len(parts) > MAX_PARTS + 1:
        return {}
    found: dict[str, list[str]] = {}
    for part in parts:
        head, mark, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if mark and name is not None:
            key = name[1].decode("utf-8", "replace").replace("%22", '"')
            found.setdefault(key, []).append(content.decode("utf-8", "surrogateescape"))
    return found
