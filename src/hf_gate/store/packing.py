"""Private parts on the disk: canonical JSON, deflated with a dictionary of what every record of a repo has in common.

A dictionary holds keys and labels, never a value, so that nothing of a person outlives the rows about them.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from ..domain.requests import AccessRequest

_WINDOW: Final = -12  # raw deflate, 4 KiB: a record is small, and a small state is quickly made
_MEMORY: Final = 5
_LEVEL: Final = 3
_LIMIT: Final = 4_000  # bytes of a dictionary

PLAIN: Final = (
    b'{"because":[{"expr":"","facts":{"","value":true,"lists":{"reason":"note":"why":"granted_by":{"id":"fullname":null'
    b'{"record":"{\\"status\\":\\"pending\\",\\"reviewedAt\\":\\"2026-01-01T00:00:00.000Z\\",\\"grantedBy\\":{\\"_id\\":\\"'
    b'\\"verifiedOrgNames\\":[],\\"type\\":\\"user\\",\\"isPro\\":false,\\"avatarUrl\\":\\"/avatars/\\",\\"fields\\":{'
    b'{"record":"{\\"requestId\\":\\"6\\",\\"user\\":{\\"_id\\":\\"6\\",\\"avatarUrl\\":\\"/avatars/.svg\\",\\"isPro\\":false,'
    b'\\"fullname\\":\\"\\",\\"user\\":\\"\\",\\"type\\":\\"user\\",\\"verifiedOrgNames\\":[],\\"email\\":\\"@gmail.com\\"},'
    b'\\"timestamp\\":\\"2026-01-01T00:00:00.000Z\\",\\"status\\":\\"pending\\",\\"fields\\":{\\"'
)


def learn(requests: Iterable[AccessRequest]) -> bytes:
    """A dictionary for the records of a repo: the labels that several of these have."""
    labels = Counter(label for request in requests for label in request.answers)
    shared = [label for label, count in labels.most_common() if count >= 5]
    text = b"".join(b'\\",\\"' + msgspec.json.encode(label)[1:-1] + b'\\":\\"' for label in reversed(shared))
    return (text + PLAIN)[-_LIMIT:]


class Packer:
    """Packs and unpacks; `load` finds a dictionary by its number."""

    def __init__(self, load: Callable[[int], bytes]) -> None:
        self._load = load
        self._dictionaries: dict[int, bytes] = {0: PLAIN}
        self._primed: dict[int, zlib._Compress] = {}

    def pack(self, number: int, data: bytes) -> bytes:
        """Two bytes say which dictionary, the rest is deflated."""
        primed = self._primed.get(number)
        if primed is None:
            known = self._dictionary(number)
            primed = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, known)
            self._primed[number] = primed
        press = primed.copy()
        return number.to_bytes(2) + press.compress(data) + press.flush()

    def unpack(self, packed: bytes) -> bytes:
        """The bytes that were packed; raises `zlib.error` for damaged ones."""
        open_ = zlib.decompressobj(_WINDOW, zdict=self._dictionary(int.from_bytes(packed[:2])))
        return open_.decompress(packed[2:]) + open_.flush()

    def forget(self) -> None:
        """After a rollback a number may come to mean another dictionary."""
        self._dictionaries = {0: PLAIN}
        self._primed = {}

    def _dictionary(self, number: int) -> bytes:
        if number not in self._dictionaries:
            self._dictionaries[number] = self._load(number)
        return self._dictionaries[number]


def sealed_record(raw: bytes) -> bytes:
    """The canonical private part that holds a record and nothing else, made quickly: there are so many of them."""
    return b'{"record":' + msgspec.json.encode(raw.decode("utf-8", "replace")) + b"}"


class _Private(msgspec.Struct):
    record: str = "null"


_decode = msgspec.json.Decoder(_Private).decode
_decode_all = msgspec.json.Decoder(dict).decode


def record_of(unpacked: bytes) -> bytes:
    """The Hub's record in a private part, as it was sent."""
    return _decode(unpacked).record.encode()


def private_of(unpacked: bytes) -> Mapping[str, object]:
    """A private part as a whole."""
    found: dict[str, object] = _decode_all(unpacked)
    return found
