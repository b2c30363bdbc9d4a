"""Answers are judged by what they say, in any script; a good answer is never called junk."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.forms.roles import Role
from hf_gate.requests.answer_quality import rate_answer, rate_without_names
from hf_gate.requests.answer_ratings import Quality
from hf_gate.requests.answer_text import fold_answer, split_words, strip_invisible
from hf_gate.requests.answer_word_lists import PLACE_PARTS
from tests.kits.paths import DATA, ROOT
from tools.quality_table import SETS, build_table, rate_answers

DOCS = ROOT / "docs" / "internals" / "answer-quality.md"
GOOD, JUNK, THIN, EMPTY, MISSING = Quality.GOOD, Quality.JUNK, Quality.THIN, Quality.EMPTY, Quality.MISSING


def test_no_good_answer_of_the_labelled_set_is_called_junk() -> None:
    rows = list(rate_answers("answers_labelled.jsonl"))
    assert len(rows) >= 160
    assert len({row.script for row in rows}) >= 14
    assert [row for row in rows if row.wanted is GOOD and row.found is JUNK] == []
    assert sum(row.wanted is row.found for row in rows) >= 0.97 * len(rows)


def test_the_held_out_set_does_not_get_worse() -> None:
    rows = list(rate_answers("answers_heldout.jsonl"))
    assert len(rows) >= 60
    assert sum(row.wanted is GOOD and row.found is JUNK for row in rows) <= 1
    assert sum(row.wanted is row.found for row in rows) >= 0.95 * len(rows)


def test_the_sets_share_no_answer_with_the_same_question() -> None:
    keys = [
        {
            (row["answer"], row["label"], row["role"])
            for row in map(json.loads, (DATA / name).read_text("utf-8").splitlines())
        }
        for name in SETS
    ]
    assert len(keys[0] & keys[1]) == 0


def test_the_document_shows_the_tables_that_the_command_prints() -> None:
    text = DOCS.read_text("utf-8")
    for name in SETS:
        assert build_table(name) in text, f"run python tools/quality_table.py, and put its tables into {DOCS}"


# ---- roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "role", "wanted"),
    [
        ("NO", Role.COUNTRY, GOOD),
        ("na", Role.COUNTRY, GOOD),
        ("N/A", Role.COUNTRY, JUNK),
        ("🇩🇪", Role.COUNTRY, GOOD),
        ("Earth", Role.COUNTRY, THIN),
        ("III", Role.AFFILIATION, GOOD),
        ("AAA", Role.AFFILIATION, THIN),
        ("aaa", Role.AFFILIATION, JUNK),
        ("DFG", Role.AFFILIATION, GOOD),
        ("ASDF", Role.AFFILIATION, JUNK),
        ("NONE", Role.AFFILIATION, JUNK),
        ("T.U.M.", Role.AFFILIATION, GOOD),
        ("x", Role.PURPOSE, JUNK),
        ("X", Role.AFFILIATION, GOOD),
        ("42", Role.AFFILIATION, GOOD),
        ("123", Role.AFFILIATION, JUNK),
        ("Reza", Role.NAME, GOOD),
        ("Null", Role.NAME, GOOD),
        ("null", Role.NAME, JUNK),
        ("Mertz Werther", Role.NAME, GOOD),
        ("student", Role.JOB, GOOD),
        ("student", Role.AFFILIATION, JUNK),
        ("PhD student", Role.AFFILIATION, THIN),
        ("student at TU Wien", Role.AFFILIATION, GOOD),
        ("yes", Role.CONSENT, GOOD),
        ("no", Role.CONSENT, GOOD),
        ("1999", Role.BIRTH_DATE, GOOD),
        ("25", Role.BIRTH_DATE, GOOD),
        ("gmail", Role.EMAIL, THIN),
        ("ASD", Role.PURPOSE, THIN),
        ("asd", Role.PURPOSE, JUNK),
        ("Alaska Dallas salad", Role.PURPOSE, GOOD),
        ("правда о детских лекарствах", Role.PURPOSE, GOOD),
    ],
)
def test_the_role_decides_what_a_short_answer_is_worth(answer: str, role: Role, wanted: Quality) -> None:
    assert rate_answer(answer, "", role) is wanted


@pytest.mark.parametrize(
    ("answer", "label", "wanted"),
    [
        ("n/a", "Company (if any)", GOOD),
        ("n/a", "Company", JUNK),
        ("无", "公司（如有）", GOOD),
        ("no", "Do you plan to publish?", GOOD),
        ("no", "Team name", JUNK),
        ("4155550100", "Phone", GOOD),
        ("8", "How many GPUs?", GOOD),
        ("1", "Team name", JUNK),
        ("0000-0002-1825-0097", "ORCID", GOOD),
        ("2027-06-30", "Expected completion date", GOOD),
        ("2028-08-15", "Planned end of the project (YYYY-MM-DD)", GOOD),
        ("2028-08-15", "Purpose, and until when", THIN),
        ("asdf", "Purpose, and until when", JUNK),
        ("2028-08-15", "Purpose", JUNK),
        ("institution", "Affiliation / Institution", EMPTY),
        ("所屬單位", "所屬單位(Affiliation)", EMPTY),
        ("MIT", "Affiliation (e.g. Google, MIT)", GOOD),
        ("Job title", "Job title", EMPTY),
    ],
)
def test_the_label_decides_what_it_invites(answer: str, label: str, wanted: Quality) -> None:
    assert rate_answer(answer, label) is wanted


def test_ones_own_name_is_an_answer_only_where_a_name_is_asked_for() -> None:
    names = ("ana-p", "Ana Pereira")
    assert rate_answer("Ana Pereira", "Affiliation", names=names) is JUNK
    assert rate_answer("pereira, ANA", "Purpose", names=names) is JUNK
    assert rate_answer("Ana Pereira", "Full name", names=names) is GOOD
    assert rate_answer("ana-p", "HF username", names=names) is GOOD
    assert rate_answer("Acme Robotics Ltd", "Company", names=("acme", "Acme Robotics Ltd")) is GOOD
    assert rate_answer("WU", "University", names=("wu", "")) is GOOD


@pytest.mark.parametrize(
    "answer", ["", " ", "\u200b\u200d", "\u3164\u2800", "\u00ad\ufeff\n", "\u2800" * 100_000, "\U000e0041"]
)
def test_what_cannot_be_seen_is_empty(answer: str) -> None:
    assert rate_answer(answer, "Affiliation") is EMPTY


def test_a_key_that_is_absent_is_missing_and_not_empty() -> None:
    assert rate_answer(None, "Affiliation") is MISSING


def test_what_stands_behind_a_wall_of_invisible_characters_counts() -> None:
    assert rate_answer("\u200b" * 100_000 + "MIT", "Affiliation") is GOOD


@pytest.mark.parametrize("role", list(Role))
def test_a_long_answer_is_weighed_by_its_beginning(role: Role) -> None:
    assert rate_answer("We study dialects of Bavarian, x@y.test 1999 " * 50_000, "", role) is GOOD


def test_case_width_and_points_do_not_hide_junk() -> None:
    for answer in ("N/A", "n.a.", "Ｎ／Ａ", "(n/a)", "«N/A»", " n / a "):
        assert rate_answer(answer, "Affiliation") is JUNK


ANSWERS = st.one_of(
    st.none(),
    st.text(),
    st.text(alphabet="asdf \u200bйц无研究 12.,N/A"),
    st.text(st.characters(categories=["Lo", "Mn", "Mc"])),
)


@given(
    ANSWERS,
    st.text(max_size=30),
    st.one_of(st.none(), st.sampled_from(Role)),
    st.lists(st.text(max_size=10), max_size=2),
)
def test_any_answer_has_a_quality(answer: str | None, label: str, role: Role | None, names: list[str]) -> None:
    found = rate_answer(answer, label, role, names)
    assert (found is MISSING) == (answer is None)


@given(
    st.lists(
        st.sampled_from(["speech", "кошки", "脑电信号", "음성합성", "tomato", "ละคร", "ביולוגיה"]),
        min_size=4,
        max_size=12,
    )
)
def test_four_words_that_say_something_are_never_junk(words: list[str]) -> None:
    if len(set(words)) > 1:
        assert rate_answer(" ".join(words), "Intended use") is GOOD


@given(st.text(st.one_of(st.characters(), st.sampled_from(" '`\u2019\"aZé\u0301٣Ⅷ漢ｱ\u093f😀\u200b")), max_size=40))
def test_words_are_the_runs_of_letters_marks_and_digits_of_every_script(text: str) -> None:
    folded = fold_answer(strip_invisible(text))
    plain = "".join(char for char in folded if char not in "'`\u2018\u2019\u02bc\u05f3\u05f4\"")
    runs = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in plain)
    assert split_words(folded) == tuple(runs.split())


@given(st.text(max_size=12), st.text(max_size=3))
def test_an_answer_of_exactly_the_words_of_a_name_is_junk_and_any_other_answer_is_not_affected(
    name: str, rest: str
) -> None:
    own = sorted(split_words(fold_answer(strip_invisible(name))))
    is_place = re.search(PLACE_PARTS, " ".join(split_words(fold_answer(strip_invisible(name))))) is not None
    for answer in (name, name.upper(), f"{name} {rest}", " ".join(reversed(name.split()))):
        shared = rate_without_names(answer, "", Role.PURPOSE)
        words = sorted(split_words(fold_answer(strip_invisible(answer))))
        wanted = JUNK if shared.words and own and own == words and not is_place else shared.quality
        assert rate_answer(answer, "", Role.PURPOSE, (name,)) is wanted
