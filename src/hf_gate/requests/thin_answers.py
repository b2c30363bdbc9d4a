"""Tells for each role whether an answer in real words is too thin."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from hf_gate.core.forms.roles import Role

from . import answer_word_lists as words
from .answer_text import AnswerText, fold_phrases, fold_words, split_words

_GREETINGS = fold_phrases(words.GREETINGS)
_GENERIC = fold_words(words.GENERIC_WORDS)
_PLACES = fold_words(words.GENERIC_PLACES)
_STOP = fold_words(words.STOP_WORDS)
_FILLERS = re.compile("|".join(sorted(map(re.escape, fold_phrases(words.UNSPACED_GENERIC)), key=len, reverse=True)))
_EMAIL = re.compile(r"[^\s@]@[^\s@]|\S ?[(\[{<] ?at ?[)\]}>] ?\S|\S at \S+ dot \S")


def is_email_like(given: AnswerText) -> bool:
    """Tell whether an answer contains an e-mail address, in any usual spelling."""
    return bool(_EMAIL.search(given.text))


# Letters of scripts without spaces, and the part of a word that one letter makes.
_UNSPACED: tuple[tuple[str, float], ...] = (
    ("\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3005\U00020000-\U0003ffff", 0.5),  # Han
    ("\u3041-\u30ff\u31f0-\u31ff", 0.34),  # kana
    ("\uac00-\ud7a3", 0.5),  # Hangul: compounds without spaces
    ("\u0e01-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1780-\u17ff\uaa60-\uaa7f", 0.25),  # Thai, Lao, Tibetan, Myanmar, Khmer
)
_RUNS = tuple((re.compile(f"[{letters}]+"), weight) for letters, weight in _UNSPACED)
_ANY_UNSPACED = re.compile("[" + "".join(letters for letters, _ in _UNSPACED) + "]+")
_NO_COUNTRIES = frozenset(("earth", "world", "home", "global", "worldwide", "international", "planet earth", "here"))
_LONG_WORD = 17  # a word at least this long counts as two
_LONG_COMPOUND = 12  # the same for languages that write compounds as one word
_COMPOUNDING = re.compile(words.COMPOUNDING)
_ATTACHED = re.compile("^(?:لل|وال|ال|ول|بال|[لبو]|[לבהו])")


def _is_thin_purpose(given: AnswerText) -> bool:
    """Tell whether a purpose has fewer than three content words, or none that is specific.

    A letter of a script without spaces counts as part of a word. Two words in such scripts are enough if they are not
    generic.
    """
    if given.joined_words in _GREETINGS:
        return True
    if given.folded.isascii():
        unspaced = 0.0
        spaced = given.words
    else:
        unspaced = _count_unspaced_words(given.folded)
        spaced = split_words(_ANY_UNSPACED.sub(" ", given.folded))
    content, specific = _count_words(given, spaced)
    if not unspaced:
        return content < 3 or specific < 1
    left = _count_unspaced_words(_FILLERS.sub(" ", given.folded))
    if left >= 1.9:
        return False
    return left + specific < 0.9 or content + unspaced < 3


def _count_words(given: AnswerText, spaced: Sequence[str]) -> tuple[float, int]:
    """Count the content words and the specific words, and stop once both counts are enough for any answer."""
    content = 0.0
    specific = 0
    for word in spaced:
        if word in _STOP:
            continue
        is_number = word.isdigit()
        if not is_number or len(word) == 4:
            content += 2.0 if _is_compound(word, given) else 1.0
        specific += not (is_number or _is_generic(word))
        if specific and content >= 3:
            break
    return content, specific


def _is_compound(word: str, given: AnswerText) -> bool:
    if len(word) < _LONG_COMPOUND:
        return False
    return len(word) >= _LONG_WORD or _COMPOUNDING.search(given.text.casefold()) is not None


def _count_unspaced_words(text: str) -> float:
    """Estimate how many words the letters of scripts without spaces make."""
    return sum(
        weight * sum(unicodedata.category(char) in ("Lo", "Lm") for run in pattern.findall(text) for char in run)
        for pattern, weight in _RUNS
    )


def _is_generic(word: str) -> bool:
    return word in _GENERIC or (not word.isascii() and _ATTACHED.sub("", word) in _GENERIC)


def _is_thin_affiliation(given: AnswerText) -> bool:
    if given.joined_words in _GREETINGS or (len(given.letters) == 1 and not given.letters.isascii()):
        return True
    if len(given.letters) == 3 and len(set(given.letters)) == 1:
        return given.text != "III"
    return all(word in _PLACES or word in _STOP for word in given.words) and not _PLACES.isdisjoint(given.words)


def _is_thin_email(given: AnswerText) -> bool:
    return not is_email_like(given)


def _is_thin_date(given: AnswerText) -> bool:
    return not any(char.isdigit() for char in given.text)


def _is_thin_name(given: AnswerText) -> bool:
    return given.joined_words in {"user", "admin", "me", "myself", "anonymous", "someone", "somebody", "anon", "person"}


def _is_thin_country(given: AnswerText) -> bool:
    return given.joined_words in _GREETINGS | _NO_COUNTRIES


def _is_thin_job(given: AnswerText) -> bool:
    return given.joined_words in _GREETINGS | {"work", "working", "job", "employee", "me"}


THIN: dict[Role, Callable[[AnswerText], bool]] = {
    Role.PURPOSE: _is_thin_purpose,
    Role.AFFILIATION: _is_thin_affiliation,
    Role.EMAIL: _is_thin_email,
    Role.BIRTH_DATE: _is_thin_date,
    Role.NAME: _is_thin_name,
    Role.COUNTRY: _is_thin_country,
    Role.JOB: _is_thin_job,
}
"""The check of each role: whether an answer that is not junk is too thin."""
