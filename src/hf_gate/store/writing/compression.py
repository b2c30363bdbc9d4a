"""Compresses private parts and documents with deflate, and encodes and decodes the private parts of records."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

import msgspec

from hf_gate.base.decoding import make_json_decoder

_WINDOW: Final = -12  # raw deflate, 4 KiB: records are small, and a small state is quick to create
_MEMORY: Final = 5
_LEVEL: Final = 3
_MAX_UNPACKED: Final = 1 << 28  # bytes; a crafted file could unpack to any size

LIKELY_TEXT: Final = (
    b'{"because":[{"expr":"","facts":{"","value":true,"lists":{"reason":"note":"why":"granted_by":{"id":"fullname":null'
    b'{"record":"{\\"status\\":\\"pending\\",\\"reviewedAt\\":\\"2026-01-01T00:00:00.000Z\\",'
    b'\\"grantedBy\\":{\\"_id\\":\\"'
    b'\\"verifiedOrgNames\\":[],\\"type\\":\\"user\\",\\"isPro\\":false,\\"avatarUrl\\":\\"/avatars/\\",\\"fields\\":{'
    b'{"record":"{\\"requestId\\":\\"6\\",\\"user\\":{\\"_id\\":\\"6\\",\\"avatarUrl\\":\\"/avatars/.svg\\",'
    b'\\"isPro\\":false,'
    b'\\"fullname\\":\\"\\",\\"user\\":\\"\\",\\"type\\":\\"user\\",\\"verifiedOrgNames\\":[],'
    b'\\"email\\":\\"@gmail.com\\"},'
    b'\\"timestamp\\":\\"2026-01-01T00:00:00.000Z\\",\\"status\\":\\"pending\\",\\"fields\\":{\\"'
)
"""What private parts often contain, which makes them shorter."""

_primed: Final = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, LIKELY_TEXT)


def pack(data: bytes) -> bytes:
    """Compress data."""
    press = _primed.copy()
    return press.compress(data) + press.flush()


def unpack(packed: bytes) -> bytes:
    """Return the original bytes. Damaged input gives other bytes or `zlib.error`."""
    open_ = zlib.decompressobj(_WINDOW, zdict=LIKELY_TEXT)
    found = open_.decompress(packed, _MAX_UNPACKED)
    if open_.unconsumed_tail:
        raise zlib.error("too much data in a packed document")
    return found + open_.flush()


def encode_record_part(raw: bytes) -> bytes:
    """Encode the private part of a record without other data.

    This code is hand-written for speed: there are many records.
    """
    return b'{"record":' + msgspec.json.encode(raw.decode("utf-8", "replace")) + b"}"


class _Private(msgspec.Struct):
    record: str = "null"


_decode = make_json_decoder(_Private).decode
_decode_all = make_json_decoder(dict).decode


def decode_record(unpacked: bytes) -> bytes:
    """Return the Hub's record from a private part, as the Hub sent it."""
    return _decode(unpacked).record.encode()


def decode_private_part(unpacked: bytes) -> Mapping[str, object]:
    """Return a complete private part."""
    found: dict[str, object] = _decode_all(unpacked)
    return found
