"""Text from strangers is normalised in bounded time: marks, labels and answers are cut first, and again where they grew."""

from __future__ import annotations

import unicodedata
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.display_text import display_width
from hf_gate.base.normalization import MAX_MARKS, limit_marks, normalize
from hf_gate.core.forms.case_folding import MAX_FOLDED, fold_for_search
from hf_gate.core.forms.roles import Role, role_of
from hf_gate.policies.facts.countries import country_key
from hf_gate.policies.facts.email_addresses import parse_domain
from hf_gate.requests.answer_text import fold_answer, strip_invisible

GROWING = "\ufdfa"  # becomes eighteen characters
PILES = ("\u0301\u0323", "\u0344\u0323", "\u0f73", "\uff9e\u0323", "\U0001e8d0\u0301", "\u0345\u0301")


def longest_run_of_marks(text: str) -> int:
    """How many marks follow each other once the text is decomposed, which is what is sorted."""
    decomposed = "".join(unicodedata.normalize("NFKD", char) for char in text)
    runs = groupby(decomposed, key=lambda char: unicodedata.combining(char) != 0)
    return max((len(list(run)) for is_mark, run in runs if is_mark), default=0)


@pytest.mark.parametrize("pile", PILES)
def test_an_answer_of_combining_marks_reaches_the_normalisation_with_thirty_of_them(pile: str) -> None:
    text = "a" + pile * 20_000
    assert longest_run_of_marks(limit_marks(text)) <= 3 * MAX_MARKS
    assert len(limit_marks(text)) == 1 + MAX_MARKS
    assert len(fold_for_search(text)) <= 1 + 3 * MAX_MARKS
    assert longest_run_of_marks(fold_answer(text)) <= 3 * MAX_MARKS


def test_each_letter_keeps_thirty_marks() -> None:
    pile = "\u0301" * MAX_MARKS
    text = f"a{pile}b{pile}"
    assert limit_marks(text) is text
    assert limit_marks(f"a{pile}\u0323b{pile}\u0323") == text


@pytest.mark.parametrize(
    "word", ["Nguyễn Thị Hồng", "שָׁלוֹם עֲלֵיכֶם", "བརྒྱད་ཅུ", "ガﾞギﾟ", "नमस्ते", "👩‍👩‍👧‍👦" * 20, "!" * 200, "—" * 200]
)
def test_words_of_real_languages_stay_as_they_are(word: str) -> None:
    assert limit_marks(word) == word
    assert normalize("NFC", word) == unicodedata.normalize("NFC", word)


@given(st.text(st.sampled_from("aé 1!\u0301\u0323\u0344\u0f73\uff9e\u200d\ufdfa\U0001f469"), max_size=300))
def test_the_limit_removes_only_marks_and_changes_nothing_the_second_time(text: str) -> None:
    limited = limit_marks(text)
    assert limit_marks(limited) == limited
    assert longest_run_of_marks(limited) <= 3 * MAX_MARKS + 3
    is_mark = {char: unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0 for char in text}
    assert [char for char in limited if not is_mark[char]] == [char for char in text if not is_mark[char]]
    if longest_run_of_marks(text) <= MAX_MARKS:
        assert limited == text


def test_a_label_that_grows_when_it_is_normalised_is_cut_again() -> None:
    assert role_of(GROWING * 20 + " e-mail") is Role.EMAIL
    assert role_of(GROWING * 100 + " e-mail") is Role.OTHER  # the word is behind 1,800 characters


def test_a_text_that_grows_when_it_is_normalised_is_cut_again() -> None:
    assert len(strip_invisible(GROWING * 4_000)) <= 4_000
    assert len(fold_for_search(GROWING * 50_000)) == MAX_FOLDED
    assert len(country_key(GROWING * 200)) <= 200


def test_a_domain_that_is_too_long_is_invalid_before_it_is_encoded() -> None:
    assert parse_domain("ä" * 321 + ".de") is None
    assert parse_domain("e\u0301cole.fr") == "xn--cole-9oa.fr"


def test_the_width_of_a_long_run_of_flags_is_measured_in_parts() -> None:
    assert display_width("\U0001f1e9\U0001f1ea" * 5_000) == 10_000
