"""Rates answers: missing, empty, junk, thin or good. A doubtful answer counts as good, for the requester's benefit."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from functools import lru_cache
from itertools import pairwise
from typing import Final

from hf_gate.core.forms.roles import MAX_LABEL, Role, role_of
from hf_gate.core.records import TICKS

from . import answer_word_lists as words
from .answer_ratings import AnswerRating, Quality
from .answer_text import (
    AnswerText,
    fold_answer,
    fold_phrases,
    fold_words,
    label_matches,
    split_words,
    strip_invisible,
    words_of_label,
)
from .thin_answers import THIN, is_email_like


def is_rated(answer: str) -> bool:
    """Tell whether an answer is text that can be rated: no check box, no date and no number."""
    return answer not in TICKS and _PLAIN_VALUE.fullmatch(answer.strip()) is None


_PLAIN_VALUE: Final = re.compile(r"[\d\s./:+-]*\d[\d\s.,/:%-]*", re.ASCII)


def rate_answer(answer: str | None, label: str = "", role: Role | None = None, names: Collection[str] = ()) -> Quality:
    """Return the quality of one text answer. `names` are the username and the full name of the person.

    The default role is the one that the label suggests. Only the first 4,000 visible characters count.
    """
    if answer is None:
        return Quality.MISSING
    kind = role_of(label) if role is None else role
    return rate_with_names(rate_without_names(answer, label, kind), answer, label, kind, names)


@lru_cache(maxsize=50_000)
def rate_without_names(answer: str, label: str, role: Role) -> AnswerRating:
    """Return the rating that all people who give this answer share. Many people give the same answer."""
    text = strip_invisible(answer)
    if not text:
        return AnswerRating(Quality.EMPTY)
    given = _prepare_answer(text, label, role, ())
    has_fitting_form = _FITS.get(role)
    is_thin = THIN.get(role)
    if _is_invited(given) or (has_fitting_form is not None and has_fitting_form(given)):
        return AnswerRating(Quality.GOOD)
    if _is_echo(given):
        return AnswerRating(Quality.EMPTY)
    if not _is_date_asked_for(given):
        for is_junk in _JUNK:
            if is_junk(given):
                return AnswerRating(Quality.JUNK)
    found = Quality.THIN if is_thin is not None and is_thin(given) else Quality.GOOD
    return AnswerRating(found) if role in _NAMELESS else AnswerRating(found, len(given.words), len(given.joined_words))


def rate_with_names(rating: AnswerRating, answer: str, label: str, role: Role, names: Collection[str]) -> Quality:
    """Return the quality of a rated answer for a person: an answer that is just their name is junk."""
    for name in names if rating.words else ():
        if len(name) < rating.size and (name.isascii() or len(_fold_name(name)) < rating.size):
            continue  # the name is too short to have these words
        if len(_words_of_name(name)) == rating.words:  # only answers with as many words as the name need a second check
            given = _prepare_answer(strip_invisible(answer), label, role, names)
            return Quality.JUNK if _is_own_name(given) else rating.quality
    return rating.quality


def _prepare_answer(text: str, label: str, role: Role, names: Collection[str]) -> AnswerText:
    plain = fold_answer(text)
    return AnswerText(text, plain, split_words(plain), label, role, names)


# ---- word lists, folded like answers ---------------------------------------------------------------------------------

_HARD = fold_phrases(words.HARD_REFUSALS)
_REFUSALS = fold_phrases(words.REFUSALS) | _HARD
_STUDENT = fold_phrases(words.STUDENT_WORDS)
_YES_NO = fold_phrases(words.YES_OR_NO)
_RUN_WORDS = fold_words(words.RUN_WORDS)
_SHORT_RUNS = fold_words(words.SHORT_RUNS)
_KEY_RUNS = frozenset(
    row[start:end]
    for each in words.KEY_ROWS
    for row in (fold_answer(each), fold_answer(each)[::-1])
    for start in range(len(row))
    for end in range(start + 2, len(row) + 1)
)


# ---- answers whose form fits the role --------------------------------------------------------------------------------

_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/. ]+(\d{1,2}|\w{3,12})[-/., ]+\d{2,4}|\d{4}年|\d{4}년|^(1[89]|20)\d\d$"
)
_LINK = re.compile(r"https?://|www\.|\w-*\.[a-z]{2,12}\b|^\d{2}\.\d{4,}/\S+|^\d{4}-\d{4}-\d{4}-\d{3}[\dx]$")
_CODE = re.compile(r"[a-z]{2}")
_NO_ACRONYMS = frozenset(("na", "nan", "nil", "no", "nope", "tbd", "idk", "lol"))
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")


def _is_invited(given: AnswerText) -> bool:
    """Tell whether the label invites the answer: a refusal for "if any", a yes or no, or a date in the
    label's format.
    """
    if label_matches(given.label, words.LABEL_IS_A_DATE) and _is_date(given):
        return True
    if given.joined_words in _YES_NO and label_matches(given.label, words.LABEL_ASKS_YES):
        return True
    return given.joined_words in _REFUSALS and label_matches(given.label, words.LABEL_IS_OPTIONAL)


def _is_date_asked_for(given: AnswerText) -> bool:
    """Tell whether the answer is only a date and the label asks for one.

    Such an answer is not junk, but may be thin.
    """
    return len(given.folded) <= 40 and label_matches(given.label, words.LABEL_ASKS_DATE) and _is_date(given)


def _is_date(given: AnswerText) -> bool:
    return bool(_DATE.search(given.folded))


def _is_country_code(given: AnswerText) -> bool:
    """Tell whether the answer is two letters (NO is Norway, NA is Namibia) or a flag."""
    return bool(_CODE.fullmatch(given.folded) or _FLAG.fullmatch(given.text))


def _is_student(given: AnswerText) -> bool:
    return given.joined_words in _STUDENT


def _is_yes_or_no(given: AnswerText) -> bool:
    return given.joined_words in _YES_NO


def _is_place_name(given: AnswerText) -> bool:
    """Tell whether the answer is an acronym (MIT, DFG) or a name in digits (42)."""
    if given.text in words.NUMBER_NAMES:
        return True
    bare = given.text.replace(".", "")
    word = bare.lower()
    if not (bare.isascii() and bare.isalpha() and bare.isupper() and 2 <= len(bare) <= 5):
        return given.text in ("X", "Q")
    if word in _HARD or word in _NO_ACRONYMS or len(set(word)) == 1 or _is_echo(given):
        return False
    return len(word) < 4 or not _is_key_mash(word)


def _is_person_name(given: AnswerText) -> bool:
    """Tell whether the answer is capitalized or a single letter. Null, No, Na and Asd are real names."""
    bare = given.letters
    if len(bare) == 1 and bare.isalpha():
        return given.joined_words not in _REFUSALS
    return given.text.istitle() and len(given.words) == 1 and given.joined_words not in _HARD - {"null", "test"}


def _is_fitting_other(given: AnswerText) -> bool:
    text = given.folded
    if given.joined_words in _YES_NO and label_matches(given.label, words.LABEL_IS_QUESTION):
        return True
    if _LINK.search(text) or _DATE.search(text) or is_email_like(given):
        return True
    digits = "".join(filter(str.isdigit, text))
    if not digits or any(char.isalpha() for char in text):
        return False
    return label_matches(given.label, words.LABEL_ASKS_NUMBER) or (bool(given.label) and not _is_digit_sequence(digits))


_FITS: dict[Role, Callable[[AnswerText], bool]] = {
    Role.EMAIL: is_email_like,
    Role.BIRTH_DATE: _is_date,
    Role.COUNTRY: _is_country_code,
    Role.JOB: _is_student,
    Role.CONSENT: _is_yes_or_no,
    Role.AFFILIATION: _is_place_name,
    Role.NAME: _is_person_name,
    Role.OTHER: _is_fitting_other,
}


# ---- the question as its answer --------------------------------------------------------------------------------------


def _is_echo(given: AnswerText) -> bool:
    """Tell whether the answer is only its label or a part of it, also several times or after `Q:`."""
    said = given.words[1:] if given.words[:1] in _QUESTION_MARKS else given.words
    if not said:
        return False
    for text in (given.label, _BRACKETS.sub("", given.label[:MAX_LABEL])):
        label = words_of_label(text)
        if label and said == label * (len(said) // len(label)):
            return True
    return given.role is not Role.JOB and given.joined_words in _label_parts(given.label, given.role)


_QUESTION_MARKS: Final = (("q",), ("question",))
_BRACKETS: Final = re.compile(r"[(（\[][^)）\]]*[)）\]]")


@lru_cache(maxsize=4096)
def _label_parts(label: str, role: Role) -> frozenset[str]:
    """Return the parts of a label such as `Company / Organization` that are labels of the same role."""
    pieces = re.split(r"[/／()（）|:：]", label[:MAX_LABEL])
    return frozenset(
        " ".join(words_of_label(piece))
        for piece in pieces
        if len(pieces) > 1 and role_of(piece.strip()) is role and role is not Role.OTHER
    ) - {""}


# ---- junk ------------------------------------------------------------------------------------------------------------

_UNIT = re.compile(r"(.{1,4}?)\1{2,}")
_NO_VOWELS = re.compile("[\u0590-\u08ff]")
_JAMO = re.compile("[\u1100-\u11ff\u3131-\u318e]+")
_HOME_ROW = re.compile("[asdfghjkl]{7,}")


def _has_no_letters(given: AnswerText) -> bool:
    """Tell whether the answer has no letters, and no digits where a number can be an answer."""
    if given.role is Role.BIRTH_DATE and any(map(str.isdigit, given.text)):
        return False
    return not (given.folded[:1].isalpha() or any(unicodedata.category(char)[0] in "LM" for char in given.folded))


def _is_refusal(given: AnswerText) -> bool:
    if given.role is Role.NAME:
        return given.joined_words in _HARD
    if given.joined_words in _REFUSALS:
        return True
    return (
        1 < len(given.words) <= 4 and all(word in _REFUSALS for word in given.words) and given.role is not Role.COUNTRY
    )


def _is_only_a_student(given: AnswerText) -> bool:
    return given.joined_words in _STUDENT and given.role in (Role.AFFILIATION, Role.PURPOSE, Role.COUNTRY, Role.EMAIL)


def _is_repetition(given: AnswerText) -> bool:
    text = given.letters
    if len(text) >= 3 and text.count(text[0]) == len(text):
        return not (given.role is Role.AFFILIATION and given.text.isupper() and len(text) == 3)  # AAA, CCC, III
    if len(text) == 2 and len(set(text)) == 1 and text.isascii():
        return given.role in (Role.PURPOSE, Role.AFFILIATION) and given.text.islower()
    if len(given.words) >= 3 and given.words.count(given.words[0]) == len(given.words):
        return True
    if len(text) >= 5 and len(given.words) == 1 and max(map(text.count, set(text))) >= 0.8 * len(text):
        return True
    return len(text) >= 6 and text[0] in text[1:5] and _UNIT.fullmatch(text[:200]) is not None


def _is_typed_at_random(given: AnswerText) -> bool:
    if len(given.text) > 200 or given.letters.isdigit():
        return False
    return all(_is_key_mash(word) or word in _REFUSALS or word.isdigit() for word in given.words) and not (
        given.role is Role.PURPOSE and given.text.isupper() and len(given.text) == 3  # ASD is a diagnosis
    )


def _is_key_mash(word: str) -> bool:
    """Tell whether a word consists of runs of neighbouring keys, or of single jamo (parts of Korean syllables)."""
    if (not word.isascii() and _JAMO.fullmatch(word)) or word in _SHORT_RUNS:
        return True
    if len(word) < 4 or word in _RUN_WORDS:
        return False
    runs = _key_run_lengths(word)
    if _NO_VOWELS.match(word):  # short words, many of which are runs of keys
        return len(runs) == 1 and len(word) >= 5
    if min(runs) >= 3 or (max(runs) >= 4 and sum(run for run in runs if run >= 3) >= 0.75 * len(word)):
        return True
    return len(word) >= 5 and len(runs) <= 0.4 * len(word) + 0.6 and not set(word) - set("asdfghjkl")


def _key_run_lengths(word: str) -> list[int]:
    """Return the lengths of the runs of neighbouring keys in a word."""
    lengths = []
    start = 0
    while start < len(word):
        end = start + 1
        while end < len(word) and word[start : end + 1] in _KEY_RUNS:
            end += 1
        lengths.append(end - start)
        start = end
    return lengths


def _is_without_vowels(given: AnswerText) -> bool:
    """Tell whether a purpose is one long word of consonants or of home-row keys."""
    if given.role is not Role.PURPOSE or len(given.words) != 1 or not given.text.islower():
        return False
    word = given.letters
    if not (word.isascii() and word.isalpha()):
        return False
    mash = _HOME_ROW.fullmatch(word) is not None and word.count("a") < 0.35 * len(word)
    return mash or (len(word) >= 6 and not set(word) & set("aeiouy"))


def _is_one_letter(given: AnswerText) -> bool:
    return (
        len(given.letters) == 1
        and given.letters.isascii()
        and given.role in (Role.PURPOSE, Role.AFFILIATION, Role.EMAIL)
    )


_NAMELESS: Final = (Role.NAME, Role.COUNTRY, Role.JOB)  # a name is a valid answer here, or is never given


@lru_cache(maxsize=256)
def _words_of_name(name: str) -> tuple[str, ...]:
    """Return the words of a person's name."""
    return split_words(_fold_name(name))


@lru_cache(maxsize=256)
def _fold_name(name: str) -> str:
    return fold_answer(strip_invisible(name[:200]))


def _is_own_name(given: AnswerText) -> bool:
    if given.role in _NAMELESS or _is_allowed_name(given):
        return False
    for name in given.names:
        own = _words_of_name(name)
        if own and sorted(given.words) == sorted(own):
            return not re.search(words.PLACE_PARTS, " ".join(own))
    return False


def _is_allowed_name(given: AnswerText) -> bool:
    if given.role is Role.AFFILIATION:  # an organisation's account whose name is spelt like the organisation
        return given.text.isupper() and len(given.words) == 1
    return given.role is Role.OTHER and label_matches(given.label, words.LABEL_IS_ACCOUNT)


def _is_digit_sequence(digits: str) -> bool:
    """Tell whether the digits are arbitrary: 0, 1, 123, 54321, 7777."""
    if len(digits) < 2:
        return True
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(digits)}
    return len(steps) == 1 and steps <= {0, 1, 9}


def _is_filler_text(given: AnswerText) -> bool:
    return given.joined_words.startswith("lorem ipsum")


_JUNK: tuple[Callable[[AnswerText], bool], ...] = (
    _has_no_letters,
    _is_refusal,
    _is_only_a_student,
    _is_repetition,
    _is_typed_at_random,
    _is_without_vowels,
    _is_one_letter,
    _is_filler_text,
)
