"""The text by which a request is found: names, e-mail and every answer, folded so that case and width do not matter.

Marks part it, which no folded text can hold: one before each of the three names, and before each answer a digest of
its label, so that words are looked for in answers and never in labels.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from itertools import chain
from typing import Final, TypeAlias

from ..domain.case_folding import fold_for_search
from ..domain.requests import AccessRequest

_FIRST, _COUNT = 0xE000, 0x18FE  # private use: taken out of what people write
SHORT: Final = "\uf8fe"
NAME: Final = "\uf8ff"
_BAD = re.compile("[\x00\ud800-\udfff]")
_PART = re.compile("(\uf8ff|[\ue000-\uf8fd]{2})([^\ue000-\uf8ff]*)")
_DENSE = re.compile("[\u0e00-\u0eff\u2e80-\udfff\uf900-\ufaff\U00020000-\U0003ffff]+")


SearchText: TypeAlias = tuple[str, str]
"""A search text, and what the index holds beside it."""


def clean(text: str) -> str:
    """Text that both databases can keep: without NUL and half characters."""
    return text if text.isascii() and text.isprintable() else _BAD.sub("\ufffd", text)


@lru_cache(maxsize=4096)
def label_mark(label: str) -> str:
    """Two characters that stand for a label; labels that fold alike have the same."""
    number = int.from_bytes(hashlib.blake2b(fold_for_search(label).strip().encode(), digest_size=8).digest())
    return chr(_FIRST + number % _COUNT) + chr(_FIRST + number // _COUNT % _COUNT)


@lru_cache(maxsize=256)
def _marks(labels: tuple[str, ...]) -> tuple[str, ...]:
    return (NAME, NAME, NAME, *map(label_mark, labels))


def search_text(fullname: str | None, username: str | None, email: str | None, request: AccessRequest) -> SearchText:
    """Each part behind its mark, and what the index holds beside it."""
    answers = request.answers
    values = (fullname or "", username or "", email or "", *answers.values())
    marks = _marks(tuple(answers))
    whole = "".join(values)
    if whole.isascii() and whole.isprintable():  # most are: folding is then no more than small letters
        parts = "\x1f".join(values).lower().split("\x1f")
        return "".join(chain.from_iterable(zip(marks, parts, strict=True))), ""
    return with_dense_runs("".join([mark + fold_for_search(value) for mark, value in zip(marks, values, strict=True)]))


def replace_names(text: str, fullname: str | None, username: str | None, email: str | None) -> str:
    """A search text under other names."""
    rest = [mark + value for mark, value in _PART.findall(text) if mark != NAME]
    return "".join([NAME + fold_for_search(part or "") for part in (fullname, username, email)] + rest)


def parts_of(text: str) -> list[tuple[str, str]]:
    """The marks of a search text, each with what stands behind it."""
    return _PART.findall(text)


def with_dense_runs(text: str) -> SearchText:
    """A search text with what the index holds beside it."""
    return text, find_dense_runs(text)


def find_dense_runs(text: str) -> str:
    """What the index holds beside a text: one and two characters of scripts that write whole words with so few.

    The index knows three characters in a row; a mark before the one or two makes them three.
    """
    if not _DENSE.search(text):  # as a rule; to look for all of them takes three times as long
        return ""
    return "".join(f"{SHORT}{SHORT}{run[i : i + 2]}" for run in _DENSE.findall(text) for i in range(len(run)))


def is_dense(word: str) -> bool:
    """Whether a word of one or two characters can be looked for in the index."""
    return bool(_DENSE.fullmatch(word))
