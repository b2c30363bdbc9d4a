"""The query language of requests: what is written comes back, and what is no query is refused with a way to mend it."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.parsing.query import KEY_VALUES, KEYS, NO_END, UNITS, Age, Day, Pattern, Query, Term
from hf_gate.errors import InvalidQuery, QueryTooLarge
from hf_gate.requests.query_parser import MAX_CHARACTERS, MAX_TERMS, MAX_VALUES, parse_query

# ---- round trip ----------------------------------------------------------------------------------------------------------

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["<2d", "-x", "a:b", "a,b", '"', "\\", " "]
)


def _squeezed(parts: list[str]) -> Pattern:
    return Pattern((parts[0], *(part for part in parts[1:-1] if part), *parts[-1:]) if len(parts) > 1 else (parts[0],))


_patterns = st.lists(_text, min_size=1, max_size=4).map(_squeezed)
_words = _patterns.filter(lambda pattern: pattern.parts != ("",))
_ages = st.builds(Age, st.sampled_from([">", ">=", "<", "<="]), st.integers(0, 99999), st.sampled_from(list(UNITS)))
_days = st.builds(Day, st.sampled_from(["", ">", ">=", "<", "<="]), st.dates(date(1, 1, 1), date(9999, 12, 30)))


@st.composite
def _terms(draw: st.DrawFn) -> Term:
    key = draw(st.sampled_from(["", *KEYS]))
    is_not = draw(st.booleans())
    if not key:
        return Term("", (draw(_words),), is_not)
    values: st.SearchStrategy[Pattern | Age | Day] = _patterns
    if key == "age":
        values = _ages
    elif key in {"asked", "reviewed"}:
        values = _days
    elif key == "ends":
        values = _ages | _days | st.sampled_from([Pattern((NO_END,)), Pattern(("", ""))])
    elif key in KEY_VALUES:
        values = st.sampled_from([Pattern((word,)) for word in KEY_VALUES[key]] + [Pattern(("", ""))])
    elif key == "same":
        values = st.integers(0, 10**18 - 1).map(lambda number: Pattern((str(number),)))
    elif key == "repo":
        values = st.sampled_from([Pattern(("acme/a",)), Pattern(("datasets/acme/b",)), Pattern(("datasets/", ""))])
    label = draw(_text) if key == "form" else None
    return Term(key, tuple(draw(st.lists(values, min_size=1, max_size=3))), is_not, label)


@given(st.lists(_terms(), max_size=4))
def test_what_is_printed_is_read_as_the_same(terms: list[Term]) -> None:
    query = Query(tuple(terms))
    assert parse_query(str(query)) == query


@given(st.text(max_size=40) | st.text(st.sampled_from('ab:,-"\\*<>. 0123form'), max_size=30))
def test_any_text_is_a_query_or_refused_with_place_and_suggestion(text: str) -> None:
    for _ in range(40):  # a text may be wrong in several places: each suggestion mends one
        read = _read(text)
        if isinstance(read, Query):
            assert parse_query(str(read)) == read
            return
        assert 0 <= read.at <= len(text)
        assert read.hint
        assert read.suggestion != text
        text = read.suggestion
    pytest.fail(f"no end of mending: {text!r}")


def _read(text: str) -> Query | InvalidQuery:
    try:
        return parse_query(text)
    except InvalidQuery as problem:
        return problem


# ---- what is meant -------------------------------------------------------------------------------------------------------


def test_a_query_with_everything_in_it() -> None:
    query = parse_query('status:pending domain:*.edu,ethz.ch -country:US age:>2d form."Intended use":*robot* sleep')
    assert query.terms == (
        Term("status", (Pattern(("pending",)),)),
        Term("domain", (Pattern(("", ".edu")), Pattern(("ethz.ch",)))),
        Term("country", (Pattern(("US",)),), is_not=True),
        Term("age", (Age(">", 2, "d"),)),
        Term("form", (Pattern(("", "robot", "")),), label="Intended use"),
        Term("", (Pattern(("sleep",)),)),
    )
    assert [term.at for term in query.terms] == [0, 15, 36, 48, 56, 84]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("STATUS:pending", "status:pending"),
        ("repo:hf://datasets/acme/eeg-1", "repo:datasets/acme/eeg-1"),
        ("repo:dataset:acme/eeg-1", "repo:datasets/acme/eeg-1"),
        ("form.Name:x", 'form."Name":x'),
        ('"two words"', '"two words"'),
        ("a***b", "a*b"),
        (r"a\*b", r"a\*b"),
        ("", ""),
    ],
)
def test_other_spellings_of_the_same(text: str, same: str) -> None:
    assert str(parse_query(text)) == same


def test_a_star_stands_for_any_text_and_a_lone_one_for_any_but_none() -> None:
    (term,) = parse_query("user:a*b*").terms
    (pattern,) = term.patterns
    assert [pattern.matches(text) for text in ("ab", "axbx", "xab", "a")] == [True, True, False, False]
    assert [Pattern(("", "")).matches(text) for text in ("", "x")] == [False, True]
    assert Pattern(("Straße",)).matches("strasse")
    assert Pattern((".",)).matches("x") is False


def test_days_are_whole() -> None:
    day, after = date(2026, 11, 1), date(2026, 11, 2)
    bounds = {sign: Day(sign, day).bounds for sign in ("", ">", ">=", "<", "<=")}
    assert bounds == {"": (day, after), ">": (after, None), ">=": (day, None), "<": (None, day), "<=": (None, after)}


@pytest.mark.parametrize(
    ("text", "at", "suggestion"),
    [
        ("stauts:pending", 0, "status:pending"),
        ("x -stauts:pending", 2, "x -status:pending"),
        ("status:pendng", 7, "status:pending"),
        ("verdict:acept,human", 8, "verdict:accept,human"),
        ("age:2d", 4, "age:>2d"),
        ("age:>2days", 4, "age:>2d"),
        ("asked:>1.11.2026", 6, "asked:>2026-11-01"),
        ("http://example.org", 0, '"http://example.org"'),
        ("user: x", 5, "user:* x"),
        ('form."Use" x', 0, 'form."Use":* x'),
        ("form:robot", 0, 'form."Label":robot'),
        ('"open', 0, '"open"'),
        ("repo:a/b/c", 5, "repo:*"),
        ("- x", 0, '"-" x'),
    ],
)
def test_what_is_no_query_is_refused_at_its_place_with_what_may_have_been_meant(
    text: str, at: int, suggestion: str
) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_query(text)
    assert (caught.value.at, caught.value.suggestion) == (at, suggestion)
    assert str(caught.value).startswith(f"column {at + 1}: ")
    parse_query(suggestion)


# ---- size ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("-rule:x*y " * 1_000, "2,000 characters"),
        ("a" * (MAX_CHARACTERS + 1), "2,000 characters"),
        (" ".join(["-rule:x*y"] * (MAX_TERMS + 1)), "64 terms"),
        ("domain:" + ",".join(["x"] * (MAX_VALUES + 1)), "256 values"),
    ],
)
def test_a_query_that_is_too_large_is_refused_before_it_costs_anything(text: str, limit: str) -> None:
    with pytest.raises(QueryTooLarge, match=limit) as caught:
        parse_query(text)
    assert caught.value.hint
    assert len(caught.value.suggestion) <= MAX_CHARACTERS


def test_a_query_as_large_as_it_may_be_is_read() -> None:
    assert len(parse_query(" ".join(["-rule:x*y"] * MAX_TERMS)).terms) == MAX_TERMS
    assert len(parse_query("domain:" + ",".join(["x"] * MAX_VALUES)).terms[0].values) == MAX_VALUES
    parse_query("a" * MAX_CHARACTERS)


# ---- gaps ------------------------------------------------------------------------------------------------------------------

_gapped = st.lists(st.text("ab", max_size=2), min_size=1, max_size=4).map(_squeezed)


@given(_gapped, st.text("ab\n", max_size=10))
def test_a_pattern_fits_as_a_regular_expression_would_have_it(pattern: Pattern, text: str) -> None:
    meant = re.compile(".*".join(pattern.parts), re.DOTALL)
    assert pattern.matches(text) is (meant.fullmatch(text) is not None and not (pattern.is_any and not text))
    assert pattern.matches_within(text) is (meant.search(text) is not None)


def test_many_gaps_take_no_time() -> None:
    many = Pattern(("", *("a",) * 40, "b"))
    assert not many.matches("a" * 4000)
    assert not many.matches_within("a" * 4000)
