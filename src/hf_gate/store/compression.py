"""Private parts on the disk, as canonical JSON made shorter: quickly where a repo has many records alike, else deflated.

A dictionary holds what stands between the values of records, never a value, so that nothing of a person outlives the
rows about them.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec

from ..domain.requests import AccessRequest

_WINDOW: Final = -12  # raw deflate, 4 KiB: a record is small, and a small state is quickly made
_MEMORY: Final = 5
_LEVEL: Final = 3
_MAX_UNPACKED: Final = 1 << 28  # bytes of anything unpacked: a crafted file can unfold to any size
_MAX_PHRASES: Final = 16  # of more, each takes longer to look for than it saves
_SAMPLE_SIZE: Final = 200  # records that a dictionary is learnt from
_MIN_OCCURRENCES: Final = 5  # of them that a phrase must stand in

DEFAULT_DICTIONARY: Final = (
    b'{"because":[{"expr":"","facts":{"","value":true,"lists":{"reason":"note":"why":"granted_by":{"id":"fullname":null'
    b'{"record":"{\\"status\\":\\"pending\\",\\"reviewedAt\\":\\"2026-01-01T00:00:00.000Z\\",\\"grantedBy\\":{\\"_id\\":\\"'
    b'\\"verifiedOrgNames\\":[],\\"type\\":\\"user\\",\\"isPro\\":false,\\"avatarUrl\\":\\"/avatars/\\",\\"fields\\":{'
    b'{"record":"{\\"requestId\\":\\"6\\",\\"user\\":{\\"_id\\":\\"6\\",\\"avatarUrl\\":\\"/avatars/.svg\\",\\"isPro\\":false,'
    b'\\"fullname\\":\\"\\",\\"user\\":\\"\\",\\"type\\":\\"user\\",\\"verifiedOrgNames\\":[],\\"email\\":\\"@gmail.com\\"},'
    b'\\"timestamp\\":\\"2026-01-01T00:00:00.000Z\\",\\"status\\":\\"pending\\",\\"fields\\":{\\"'
)

_VALUE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:|"((?:[^"\\]|\\.)*)"|(-?\d[\d.eE+-]*)')


def build_dictionary(requests: Iterable[AccessRequest]) -> bytes:
    """A dictionary for the records of a repo: the phrases between values that take up most of these."""
    sample = islice(requests, _SAMPLE_SIZE)
    found = Counter(phrase for request in sample for phrase in set(_iterate_phrases(request.raw_json)))
    saved = {
        phrase: len(phrase) * count for phrase, count in found.items() if count >= _MIN_OCCURRENCES and len(phrase) > 3
    }
    return (
        b"".join(b"\0" + phrase for phrase in sorted(saved, key=lambda one: (-saved[one], one))[:_MAX_PHRASES]) or b"\0"
    )


def _iterate_phrases(record: bytes) -> Iterator[bytes]:
    """What stands around the values of a record, as it reads within its private part."""
    text, start = record.decode("utf-8", "replace").encode(), 0
    for part in _VALUE.finditer(text):
        if part.lastindex is not None:  # else a key
            yield msgspec.json.encode(text[start : part.start(part.lastindex)].decode())[1:-1]
            start = part.end(part.lastindex)
    yield msgspec.json.encode(text[start:].decode())[1:-1]


class _DeflateCodec:
    """Deflated, with a dictionary of what is likely to come."""

    def __init__(self, known: bytes) -> None:
        self._known = known
        self._primed = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, known)

    def pack(self, data: bytes) -> bytes:
        press = self._primed.copy()
        return press.compress(data) + press.flush()

    def unpack(self, packed: bytes) -> bytes:
        open_ = zlib.decompressobj(_WINDOW, zdict=self._known)
        found = open_.decompress(packed, _MAX_UNPACKED)
        if open_.unconsumed_tail:
            raise zlib.error("too much data in a packed document")
        return found + open_.flush()


class _PhraseCodec:
    """With one byte in place of each phrase: of those below 0x20, which canonical JSON has none of. A third of the time of deflating."""

    def __init__(self, phrases: Iterable[bytes]) -> None:
        self._marks = [(phrase, bytes([number])) for number, phrase in enumerate(phrases)]
        self._longest = max((len(phrase) for phrase, _ in self._marks), default=1)
        if any(
            byte < 0x20 for phrase, _ in self._marks for byte in phrase
        ):  # a mark in a phrase would unfold without end
            raise zlib.error("a dictionary of phrases holds a mark")

    def pack(self, data: bytes) -> bytes:
        for phrase, mark in self._marks:
            data = data.replace(phrase, mark)
        return data

    def unpack(self, packed: bytes) -> bytes:
        if len(packed) * self._longest > _MAX_UNPACKED:
            raise zlib.error("too much data in a private part")
        for phrase, mark in reversed(self._marks):
            packed = packed.replace(mark, phrase)
        return packed


class Packer:
    """Packs and unpacks; `load` finds a dictionary by its number. Those of `learn` are for canonical JSON alone, 0 for all bytes."""

    def __init__(self, load: Callable[[int], bytes]) -> None:
        self._load = load
        self._codecs: dict[int, _DeflateCodec | _PhraseCodec] = {}

    def pack(self, number: int, data: bytes) -> bytes:
        """Two bytes say which dictionary."""
        return number.to_bytes(2) + self._get_codec(number).pack(data)

    def unpack(self, packed: bytes) -> bytes:
        """The bytes that were packed; of damaged ones others come, or `zlib.error`."""
        return self._get_codec(int.from_bytes(packed[:2])).unpack(packed[2:])

    def clear(self) -> None:
        """After a rollback a number may come to mean another dictionary."""
        self._codecs = {}

    def _get_codec(self, number: int) -> _DeflateCodec | _PhraseCodec:
        way = self._codecs.get(number)
        if way is None:
            known = self._load(number) if number else DEFAULT_DICTIONARY
            way = _PhraseCodec(filter(None, known.split(b"\0"))) if number else _DeflateCodec(known)
            self._codecs[number] = way
        return way


def encode_record_part(raw: bytes) -> bytes:
    """The canonical private part that holds a record and nothing else, made quickly: there are so many of them."""
    return b'{"record":' + msgspec.json.encode(raw.decode("utf-8", "replace")) + b"}"


class _Private(msgspec.Struct):
    record: str = "null"


_decode = msgspec.json.Decoder(_Private).decode
_decode_all = msgspec.json.Decoder(dict).decode


def decode_record(unpacked: bytes) -> bytes:
    """The Hub's record in a private part, as it was sent."""
    return _decode(unpacked).record.encode()


def decode_private_part(unpacked: bytes) -> Mapping[str, object]:
    """A private part as a whole."""
    found: dict[str, object] = _decode_all(unpacked)
    return found
