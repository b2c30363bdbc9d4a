"""Decodes documents and plain values into typed values, in any thread.

msgspec describes a type to itself when it first decodes it, and stores the description before it is complete. A
thread that meets such a description ends the process. So each description is completed under one lock before a value
is decoded.
"""

from __future__ import annotations

from threading import RLock
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

_lock: Final = RLock()
_described: Final = set[object]()


def prepare_type(kind: object) -> None:
    """Let msgspec describe a type and the types within it, if it has not done so."""
    if kind not in _described:
        with _lock:
            msgspec.json.Decoder(kind)
            _described.add(kind)


def make_json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return a decoder of JSON documents of a type."""
    prepare_type(kind)
    return msgspec.json.Decoder(kind)


def make_msgpack_decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """Return a decoder of MessagePack documents of a type."""
    prepare_type(kind)
    return msgspec.msgpack.Decoder(kind)


def decode_json(document: bytes | str, kind: type[T]) -> T:
    """Decode a JSON document. Raises msgspec.ValidationError or DecodeError if it is no value of the type."""
    prepare_type(kind)
    return msgspec.json.decode(document, type=kind)


def convert_value(value: Any, kind: type[T], *, is_strict: bool = True) -> T:  # noqa: ANN401 - any plain value
    """Convert a plain value. Raises msgspec.ValidationError if it is no value of the type."""
    prepare_type(kind)
    return msgspec.convert(value, kind, strict=is_strict)
