"""The text by which a request is found: names, e-mail and every answer, folded so that case and width do not matter.

Three marks part it, none of which a folded text can hold: before each name, before each answer, and a digest of the
answer's label, so that words are looked for in answers and never in labels.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from ..domain.requests import AccessRequest

_FIRST, _COUNT = 0xE000, 0x18FF  # private use: taken out of what people write
NAME: Final = "\uf8ff"
_STRANGE = re.compile("[\x00-\x1f\x7f-\x9f\ue000-\uf8ff\ud800-\udfff]")
_BAD = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """Text that both databases can keep: without NUL and half characters."""
    return text if text.isascii() and text.isprintable() else _BAD.sub("\ufffd", text)


def folded(text: str) -> str:
    """The text without differences of case, width and compatibility; control characters become spaces."""
    if text.isascii():
        low = text.lower()
        return low if low.isprintable() else _STRANGE.sub(" ", low)
    text = _STRANGE.sub(" ", text)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@lru_cache(maxsize=4096)
def label_mark(label: str) -> str:
    """Two characters that stand for a label; labels that fold alike have the same."""
    number = int.from_bytes(hashlib.blake2b(folded(label).strip().encode(), digest_size=8).digest())
    return chr(_FIRST + number % _COUNT) + chr(_FIRST + number // _COUNT % _COUNT)


def names_text(fullname: str | None, username: str | None, email: str | None) -> str:
    """The first part: fullname, username, e-mail, each behind its mark."""
    return "".join(NAME + folded(part or "") for part in (fullname, username, email))


def answers_text(request: AccessRequest) -> str:
    """The second part: every answer behind the mark of its label."""
    return "".join(label_mark(label) + folded(value) for label, value in request.answers.items())


def split(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Names, and answers with the marks of their labels."""
    parts = list(_parts(text))
    return [value for mark, value in parts if mark == NAME], [part for part in parts if part[0] != NAME]


_PART = re.compile("(\uf8ff|[\ue000-\uf8fe]{2})([^\ue000-\uf8ff]*)")


def _parts(text: str) -> Iterator[tuple[str, str]]:
    for match in _PART.finditer(text):
        yield match[1], match[2]
