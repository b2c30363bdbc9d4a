"""Text from strangers is shown so that nothing in it acts, hides or reorders, and normal text stays as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.display_text import MAX_MARKS, clip, csv_cell, display_width, make_visible

# Drawn from Unicode's categories, not from the module's own table.
HIDDEN = "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060\u2061\u2064\u2800\u3164\ufeff\uffa0\U000e0001\U000e0041\U000e007f"
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            HIDDEN + "\u200c\u200d\ufe0f\ufe0e\U000e0100\u180b\u0301\u20e3\r\n\t\x1b\x9b\x7f\u202e\u2066\ud800"
        ),
        st.sampled_from("ab1=+-@ \u0645\u0646\u0915\u094d\u0937\u845b\u1820\u2764\U0001f469\U0001f52c"),
        st.characters(),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "␛[2J"),
        ("a\x00b\x07", "a␀b␇"),
        ("\x7f", "␡"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("secret\rpublic", "secret␍public"),
        ("invoice\u202egpj.exe", "invoice⟨U+202E⟩gpj.exe"),
        ("\u2066a\u2069\u200f", "⟨U+2066⟩a⟨U+2069⟩⟨U+200F⟩"),
        ("pay\u200bpal", "pay⟨U+200B⟩pal"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("a\u200cb", "a⟨U+200C⟩b"),
        ("a\u200c\u0646", "a⟨U+200C⟩\u0646"),
        ("\u200d\U0001f469", "⟨U+200D⟩\U0001f469"),
        ("\ud800", "⟨U+D800⟩"),
        ("hi\U000e0049\U000e0067", "hi⟨U+E0049⟩⟨U+E0067⟩"),
        ("a\ufe0f", "a⟨U+FE0F⟩"),
        ("\u3164", "⟨U+3164⟩"),
        ("a\u2028b", "a⟨U+2028⟩b"),
        ("Z" + "\u0301" * 200, "Z" + "\u0301" * MAX_MARKS + f"⟨+{200 - MAX_MARKS} marks⟩"),
        ("a\r\nb", "a\nb"),
    ],
)
def test_what_acts_or_hides_is_made_visible(text: str, shown: str) -> None:
    assert make_visible(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain", "two\nlines\tand a tab", "Nguyễn Thị Ánh", unicodedata.normalize("NFD", "Nguyễn Thị Ánh"), "İpek Straße",
        "نمی\u200cدانم", "پایان\u200cنامه", "क्\u200dष", "ශ්\u200dරී", "ക്\u200cഷ", "שָׁלוֹם", "ใจ ปั้น", "\u0e19\u0e49\u0e33", "မြန်မာ", "ខ្មែរ",
        "김동현", "葛\U000e0100城", "ᠮᠣᠩᠭᠣᠯ", "👩\u200d🔬", "👩🏽\u200d💻", "❤\ufe0f", "❤\ufe0f\u200d🔥", "🏴\u200d☠\ufe0f", "1\ufe0f\u20e3", "🇩🇪", "Ｌａｔｉｎ", "a b", "𐍈𠮷",
        "\N{IDEOGRAPHIC SPACE}", "…—“”",
    ],
)  # fmt: skip
def test_normal_text_of_every_script_is_returned_itself(text: str) -> None:
    assert make_visible(text) is text


def test_one_line_stays_one_line() -> None:
    assert make_visible("a\nb\r\nc\td", one_line=True) == "a␊b␍␊c␉d"


@given(HOSTILE, st.booleans())
def test_nothing_dangerous_is_left(text: str, one_line: bool) -> None:
    shown = make_visible(text, one_line=one_line)
    shown.encode()  # no half characters
    for index, char in enumerate(shown):
        category = unicodedata.category(char)
        if category in {"Cc", "Zl", "Zp"}:
            assert char in "\n\t"
            assert not one_line
        assert char not in HIDDEN + BIDI
        if char in "\u200c\u200d":
            assert index
            assert ord(shown[index - 1]) > 0xA8


@given(HOSTILE, st.booleans())
def test_a_second_pass_changes_nothing(text: str, one_line: bool) -> None:
    shown = make_visible(text, one_line=one_line)
    assert make_visible(shown, one_line=one_line) is shown


@given(
    st.text(
        st.characters(categories=("Lu", "Ll", "Lt", "Lm", "Nd", "Pd", "Po", "Sc", "Zs"), exclude_characters="\u3164")
    )
)
def test_letters_digits_and_points_are_never_touched(text: str) -> None:
    assert make_visible(text) is text


@pytest.mark.parametrize("text", ["=1+1", "+49", "-2", "@SUM(1)", "\t=1", "\rx", "\x00x", "\nx", " =1", "＝1", "＋1", "－1", "＠x", "\ufeff=1", "\u200b=1"])  # fmt: skip
def test_a_cell_that_looks_like_a_formula_gets_a_guard(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "cell"),
    [("x;=1;y", "x;'=1;y"), ("x\n=1", "x\n'=1"), ("x\r\n +1", "x\r\n' +1"), ("\n=1", "'\n'=1"), (";@x", ";'@x")],
)
def test_a_formula_behind_a_semicolon_or_a_line_break_gets_a_guard_too(text: str, cell: str) -> None:
    """A spreadsheet whose list separator is the semicolon splits there, also within quotes."""
    assert csv_cell(text) == cell


@pytest.mark.parametrize("text", ["", "a=1", "a; b", "a\nb", "a@b.test", "1-2", "'=1", "东京", "(−1)"])
def test_a_cell_that_bites_nobody_stays(text: str) -> None:
    assert csv_cell(text) == text


def test_width_counts_columns() -> None:
    assert [display_width(text) for text in ("abc", "清华", "e\u0301", "क्\u200dष", "🤗", "")] == [3, 4, 1, 2, 2, 0]


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [
        ("hello", 5, "hello"),
        ("hello world", 8, "hello w…"),
        ("清华大学", 8, "清华大学"),
        ("清华大学", 7, "清华大…"),
        ("清华大学", 6, "清华…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
    ],
)
def test_a_long_text_is_clipped_to_columns(text: str, columns: int, cut: str) -> None:
    assert clip(text, columns) == cut


@given(HOSTILE, st.integers(0, 30))
def test_a_clipped_text_fits(text: str, columns: int) -> None:
    assert display_width(clip(make_visible(text, one_line=True), columns)) <= columns
