"""Builds the search text of a request: names, e-mail address and every answer, folded to ignore case and width.

Marks separate the parts; no folded text can contain them. Each of the three names has the same mark. The mark of each
answer is a digest of its label, so that words are found in answers and never in labels.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Final, TypeAlias

from hf_gate.core.forms.case_folding import MAX_FOLDED, fold_for_search
from hf_gate.core.requests import AccessRequest

_MAX_LABEL: Final = 2000  # characters of a label that its mark depends on
# Unicode private use; folding removes these characters from texts
_FIRST = 0xE000
_COUNT = 0x18FE
SHORT: Final = "\uf8fe"
NAME: Final = "\uf8ff"
_BAD = re.compile("[\x00\ud800-\udfff]")
_PART = re.compile("(\uf8ff|[\ue000-\uf8fd]{2})([^\ue000-\uf8ff]*)")
_DENSE = re.compile("[\u0e00-\u0eff\u2e80-\udfff\uf900-\ufaff\U00020000-\U0003ffff]+")


SearchText: TypeAlias = tuple[str, str]
"""A search text, and additional text for the index only."""


EMPTY_TEXT: Final[SearchText] = (NAME * 3, "")
"""The search text of a request whose personal data was deleted: three empty names."""


def clean(text: str) -> str:
    """Return text that both databases can store: without NUL and surrogates."""
    return text if text.isascii() and text.isprintable() else _BAD.sub("\ufffd", text)


@lru_cache(maxsize=4096)
def label_mark(label: str) -> str:
    """Return the mark of a label, two characters. Labels that fold to the same text share a mark."""
    number = int.from_bytes(
        hashlib.blake2b(fold_for_search(label, _MAX_LABEL).strip().encode(), digest_size=8).digest()
    )
    return chr(_FIRST + number % _COUNT) + chr(_FIRST + number // _COUNT % _COUNT)


@lru_cache(maxsize=256)
def _marks(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(label_mark, labels))


def search_text(
    fullname: str | None,
    username: str | None,
    email: str | None,
    request: AccessRequest,
    folded_answers: str | None = None,
) -> SearchText:
    """Return the search text of a request, and the additional text for the index.

    `folded_answers` are the answers as `fold_answers` returns them, if they were folded before.
    """
    answers = request.answers
    names = (fullname or "", username or "", email or "")
    values = (*names, *answers.values())
    whole = "" if folded_answers is not None else "".join(values)
    if (
        folded_answers is None and len(whole) <= MAX_FOLDED and whole.isascii() and whole.isprintable()
    ):  # the usual case, where folding is just lower()
        parts = "\x1f".join(values).lower().split("\x1f")
        marks = (NAME, NAME, NAME, *_marks(tuple(answers)))
        return "".join(chain.from_iterable(zip(marks, parts, strict=True))), ""
    text = _fold_names(names) + (fold_answers(request) if folded_answers is None else folded_answers)
    return with_dense_runs(text)


def fold_answers(request: AccessRequest) -> str:
    """Return the part of a search text that holds the answers, up to a common limit. No search finds what follows."""
    found = []
    left = MAX_FOLDED
    for mark, answer in zip(_marks(tuple(request.answers)), request.answers.values(), strict=True):
        folded = fold_for_search(answer, left)
        left -= len(folded)
        found += [mark, folded]
    return "".join(found)


def _fold_names(names: Iterable[str | None]) -> str:
    return "".join([NAME + fold_for_search(part or "") for part in names])


def replace_names(text: str, fullname: str | None, username: str | None, email: str | None) -> str:
    """Return a search text with its names replaced."""
    rest = [mark + value for mark, value in _PART.findall(text) if mark != NAME]
    return "".join([_fold_names((fullname, username, email)), *rest])


def parts_of(text: str) -> list[tuple[str, str]]:
    """Split a search text into marks, each with the text after it."""
    return _PART.findall(text)


def with_dense_runs(text: str) -> SearchText:
    """Return a search text together with its additional text for the index."""
    return text, find_dense_runs(text)


def find_dense_runs(text: str) -> str:
    """Return additional text for the index: every one or two characters in scripts whose words are that short.

    The index contains trigrams only, so marks pad these runs to three characters.
    """
    if not _DENSE.search(text):  # the usual case; findall takes three times as long
        return ""
    return "".join(f"{SHORT}{SHORT}{run[i : i + 2]}" for run in _DENSE.findall(text) for i in range(len(run)))


def is_dense(word: str) -> bool:
    """Return whether the index can find a word of one or two characters."""
    return bool(_DENSE.fullmatch(word))
