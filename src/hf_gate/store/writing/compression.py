"""Compresses private parts: with shared phrases if a repo has many similar records, else with deflate.

A dictionary contains only text between the values of records, never a value, so no personal data outlives its rows.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from hf_gate.base.decoding import make_json_decoder
from hf_gate.core.requests import AccessRequest

_WINDOW: Final = -12  # raw deflate, 4 KiB: records are small, and a small state is quick to create
_MEMORY: Final = 5
_LEVEL: Final = 3
_MAX_UNPACKED: Final = 1 << 28  # bytes; a crafted file could unpack to any size
_MAX_PHRASES: Final = 16  # searching for more phrases costs more than they save
_SAMPLE_SIZE: Final = 200  # records that a dictionary is built from
_MIN_OCCURRENCES: Final = 5  # records of the sample that must contain a phrase
_BATCH: Final = 256  # private parts that are unpacked together
_SEPARATOR: Final = b"\x1f"  # between private parts; the highest byte that could be a mark

DEFAULT_DICTIONARY: Final = (
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

_VALUE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:|"((?:[^"\\]|\\.)*)"|(-?\d[\d.eE+-]*)')


def build_dictionary(requests: Iterable[AccessRequest]) -> bytes:
    """Build a dictionary for the records of a repo from the phrases between values that take up most space."""
    sample = islice(requests, _SAMPLE_SIZE)
    found = Counter(phrase for request in sample for phrase in set(_iterate_phrases(request.raw_json)))
    saved = {
        phrase: len(phrase) * count for phrase, count in found.items() if count >= _MIN_OCCURRENCES and len(phrase) > 3
    }
    return (
        b"".join(b"\0" + phrase for phrase in sorted(saved, key=lambda one: (-saved[one], one))[:_MAX_PHRASES]) or b"\0"
    )


def _iterate_phrases(record: bytes) -> Iterator[bytes]:
    """Iterate over the text between the values of a record that is encoded as in its private part."""
    text = record.decode("utf-8", "replace").encode()
    start = 0
    for part in _VALUE.finditer(text):
        if part.lastindex is not None:  # a value; keys have no group
            yield msgspec.json.encode(text[start : part.start(part.lastindex)].decode())[1:-1]
            start = part.end(part.lastindex)
    yield msgspec.json.encode(text[start:].decode())[1:-1]


class _DeflateCodec:
    """Deflate with a dictionary of likely text."""

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
    """Replaces each phrase with one byte below 0x20, which canonical JSON never contains.

    It is three times as fast as deflate.
    """

    def __init__(self, phrases: Iterable[bytes]) -> None:
        self._marks = [(phrase, bytes([number])) for number, phrase in enumerate(phrases)]
        self._longest = max((len(phrase) for phrase, _ in self._marks), default=1)
        if any(
            byte < 0x20 for phrase, _ in self._marks for byte in phrase
        ):  # a mark in a phrase would unpack without end
            raise zlib.error("a dictionary of phrases contains a mark")

    def pack(self, data: bytes) -> bytes:
        for phrase, mark in self._marks:
            data = mark.join(data.split(phrase))  # `replace` searches twice: it counts first
        return data

    def unpack(self, packed: bytes) -> bytes:
        if len(packed) * self._longest > _MAX_UNPACKED:
            raise zlib.error("too much data in a private part")
        for phrase, mark in reversed(self._marks):
            packed = packed.replace(mark, phrase)
        return packed

    def unpack_together(self, packed: Sequence[bytes]) -> list[bytes] | None:
        """Unpack several private parts at once, which is faster; None if they are too large or damaged for that."""
        data = _SEPARATOR.join(packed)
        if len(self._marks) > _SEPARATOR[0] or len(data) * self._longest > _MAX_UNPACKED:
            return None
        found = self.unpack(data).split(_SEPARATOR)
        return found if len(found) == len(packed) else None


class Packer:
    """Packs and unpacks data.

    `load` returns a dictionary by its number. Dictionary 0 packs any bytes; the others pack only canonical JSON.
    """

    def __init__(self, load: Callable[[int], bytes]) -> None:
        self._load = load
        self._codecs: dict[int, _DeflateCodec | _PhraseCodec] = {}

    def pack(self, number: int, data: bytes) -> bytes:
        """Pack data; the first two bytes are the number of the dictionary."""
        return number.to_bytes(2) + self._get_codec(number).pack(data)

    def unpack(self, packed: bytes) -> bytes:
        """Return the original bytes. Damaged input gives other bytes or `zlib.error`."""
        return self._get_codec(int.from_bytes(packed[:2])).unpack(packed[2:])

    def unpack_all(self, packed: Sequence[bytes | None]) -> Iterator[bytes | None]:
        """Yield what `unpack` returns for each of these data; None for None. The caller reads it to its end."""
        for start in range(0, len(packed), _BATCH):
            batch = packed[start : start + _BATCH]
            present = [one for one in batch if one is not None]
            numbers = {one[:2] for one in present}
            codec = self._get_codec(int.from_bytes(numbers.pop())) if len(numbers) == 1 else None
            together = codec.unpack_together([one[2:] for one in present]) if isinstance(codec, _PhraseCodec) else None
            ready = iter(map(self.unpack, present) if together is None else together)
            yield from ready if len(present) == len(batch) else (None if one is None else next(ready) for one in batch)

    def clear(self) -> None:
        """Forget the dictionaries, because after a rollback a number may refer to another dictionary."""
        self._codecs = {}

    def _get_codec(self, number: int) -> _DeflateCodec | _PhraseCodec:
        way = self._codecs.get(number)
        if way is None:
            known = self._load(number) if number else DEFAULT_DICTIONARY
            way = _PhraseCodec(filter(None, known.split(b"\0"))) if number else _DeflateCodec(known)
            self._codecs[number] = way
        return way


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
