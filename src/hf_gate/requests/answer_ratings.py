"""The five qualities of an answer; `answer_quality` rates answers with word lists that take time to load."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Quality(StrEnum):
    """The quality of an answer.

    MISSING: the form had no such field. EMPTY: only white space and invisible characters, or the question itself.
    JUNK: a refusal to answer, random keys, or the person's own name. THIN: real words that do not answer the question.
    GOOD: the rest.
    """

    MISSING = "missing"
    EMPTY = "empty"
    JUNK = "junk"
    THIN = "thin"
    GOOD = "good"


class AnswerRating(NamedTuple):
    """The quality of an answer, without regard to who gave it.

    `words` is its number of words, and `size` the number of characters of these words and single spaces. Both are 0 if
    a name cannot lower the quality.
    """

    quality: Quality
    words: int = 0
    size: int = 0
