"""Normalises Unicode text from strangers in linear time: nothing else in this package normalises text.

Some Pythons sort the combining marks after a letter in quadratic time, so the marks are limited first.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal, TypeAlias

NormalForm: TypeAlias = Literal["NFC", "NFD", "NFKC", "NFKD"]

MAX_MARKS: Final = 30
"""Combining marks after one letter; Unicode's limit for text in streams. No language needs more."""

# Every run of marks is in a run of these characters: a mark is neither a letter nor a digit, but for the two that
# Japanese writes at half width.
_LONG_RUN = re.compile(rf"(?:[^\w\s\x00-\x7f]|[\uff9e\uff9f]){{{MAX_MARKS + 1},}}")


def normalize(form: NormalForm, text: str) -> str:
    """Return the text in a normal form, without the marks that `limit_marks` removes."""
    return unicodedata.normalize(form, limit_marks(text))


def limit_marks(text: str) -> str:
    """Return the text without the combining marks after the first 30 of a letter; they are never part of a word."""
    if len(text) <= MAX_MARKS or text.isascii():
        return text
    if len(text.encode("utf-8", "surrogatepass")) <= len(text) + MAX_MARKS:  # too few characters outside ASCII
        return text
    return _LONG_RUN.sub(_drop_extra_marks, text)


def _drop_extra_marks(run: re.Match[str]) -> str:
    kept: list[str] = []
    marks = 0
    for char in run[0]:
        marks = marks + 1 if _is_mark(char) else 0
        if marks <= MAX_MARKS:
            kept.append(char)
    return "".join(kept)


def _is_mark(char: str) -> bool:
    """Tell whether a character is a combining mark, or becomes several of them."""
    return unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0
