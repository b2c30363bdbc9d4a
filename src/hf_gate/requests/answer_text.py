"""Prepares answers for `answer_quality`: removes invisible characters, folds, and splits into words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

from hf_gate.base.normalization import normalize
from hf_gate.core.forms.roles import MAX_LABEL, Role


class AnswerText:
    """An answer in the forms that the checks use; each form is computed once."""

    __slots__ = ("folded", "joined_words", "label", "letters", "names", "role", "text", "words")

    def __init__(
        self, text: str, folded: str, words: tuple[str, ...], label: str, role: Role, names: Collection[str]
    ) -> None:
        self.text = text  # the visible characters
        self.folded = folded  # without differences of case, width and accents
        self.words = words  # of the folded text, without punctuation
        self.label = label
        self.role = role
        self.names = names
        self.joined_words = " ".join(words)
        self.letters = "".join(words)


_LIMIT = 4000
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff\x00-\x08\x0e-\x1f\x7f-\x9f]+"
)
_ACCENTS = re.compile("[\u0300-\u0309\u030b-\u036f\u064b-\u0652\u05b0-\u05c7]+")
_SAME_LETTERS = str.maketrans("أإآىيکڪ", "اااییكك")
_APOSTROPHES = "'`\u2018\u2019\u02bc\u05f3\u05f4\""


def strip_invisible(answer: str) -> str:
    """Return the visible part of an answer, at most 4,000 characters. Strangers can send a million invisible ones."""
    if len(answer) <= _LIMIT and answer.isascii() and answer.isprintable():  # the usual case
        return answer.strip()
    text = answer if len(answer) <= _LIMIT else _INVISIBLE.sub("", answer).lstrip()[:_LIMIT]
    text = normalize("NFKC", text)[:_LIMIT]  # one character can become eighteen
    return _INVISIBLE.sub("", text).strip()


def fold_answer(text: str) -> str:
    if text.isascii():
        return text.lower()
    plain = _ACCENTS.sub("", normalize("NFD", text.casefold()))
    return normalize("NFC", plain).translate(_SAME_LETTERS).replace("ı", "i").replace("đ", "d")


class _WordCharacters(dict[int, str | None]):
    """What becomes of each character before a text is split at spaces. Only those of the basic plane are remembered."""

    def __missing__(self, code: int) -> str:
        found = chr(code) if unicodedata.category(chr(code))[0] in "LMN" else " "
        if code < 0x10000:
            self[code] = found
        return found


_NO_APOSTROPHES: dict[int, str | None] = dict.fromkeys(map(ord, _APOSTROPHES))
_WORD_CHARACTERS = _WordCharacters(_NO_APOSTROPHES)
_ASCII_APOSTROPHES = bytes(code for code in _NO_APOSTROPHES if code < 128)
_ASCII_CHARACTERS = bytes(code if chr(code) in "abcdefghijklmnopqrstuvwxyz0123456789" else 32 for code in range(256))


def split_words(folded: str) -> tuple[str, ...]:
    """Return the runs of letters, marks and digits."""
    if folded.isascii():
        return tuple(folded.encode().translate(_ASCII_CHARACTERS, _ASCII_APOSTROPHES).decode().split())
    text = folded.translate(_WORD_CHARACTERS)
    return tuple(text.split())


def fold_phrases(text: str) -> frozenset[str]:
    """Return a list of phrases, folded like answers."""
    return frozenset(
        " ".join(split_words(fold_answer(strip_invisible(item))))
        for line in text.splitlines()
        for item in line.split("|")
        if item
    )


@lru_cache(maxsize=4096)
def words_of_label(label: str) -> tuple[str, ...]:
    """Return the words of a label, folded like answers."""
    return split_words(fold_answer(strip_invisible(label)))


def fold_words(text: str) -> frozenset[str]:
    return frozenset(word for item in text.split() for word in split_words(fold_answer(strip_invisible(item))))


@lru_cache(maxsize=4096)
def label_matches(label: str, pattern: str) -> bool:
    return re.search(pattern, label[:MAX_LABEL].casefold()[:MAX_LABEL]) is not None
