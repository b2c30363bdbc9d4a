"""Durations, dates, rates and repo globs in policies, and suggestions for other spellings."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import parse_repo
from hf_gate.core.parsing.literals import (
    InvalidLiteralError,
    Rate,
    glob_matches,
    glob_matches_path,
    globs_overlap,
    parse_duration,
    parse_glob,
    parse_rate,
    parse_until,
)


@given(st.integers(1, 99), st.sampled_from(["d", "w", "mo", "y"]))
def test_a_length_of_time_reads_back_as_the_same(number: int, unit: str) -> None:
    span = parse_duration(f"{number}{unit}")
    assert parse_duration(str(span)) == span


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("30 days", "30d"),
        ("30", "30d"),
        ("30D", "30d"),
        ("720h", "30d"),
        ("P30D", "30d"),
        ("6 months", "6mo"),
        ("6m", "6mo"),
        ("1 year", "1y"),
        ("2 weeks", "2w"),
    ],
)
def test_other_ways_to_write_a_length_of_time_are_offered_in_ours(wrong: str, right: str) -> None:
    with pytest.raises(InvalidLiteralError) as raised:
        parse_duration(wrong)
    assert raised.value.fix == right
    parse_duration(right)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("30.06.2027", "2027-06-30"),
        ("2027/6/30", "2027-06-30"),
        ("30 June 2027", "2027-06-30"),
        ("June 30, 2027", "2027-06-30"),
        ("06/30/2027", "2027-06-30"),
        ("2027-02-31", "2027-02-28"),
        ("05/06/2027", None),
    ],
)
def test_other_ways_to_write_a_day_are_offered_in_ours_unless_they_can_mean_two(wrong: str, right: str | None) -> None:
    with pytest.raises(InvalidLiteralError) as raised:
        parse_until(wrong)
    assert raised.value.fix == right


def test_months_of_a_span_are_those_of_the_calendar() -> None:
    assert parse_duration("1mo").after(datetime(2027, 1, 31, tzinfo=UTC)) == datetime(2027, 2, 28, tzinfo=UTC)
    assert parse_duration("1w").after(datetime(2027, 1, 31, tzinfo=UTC)) == datetime(2027, 2, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "rate"), [("20000/h", Rate(20_000, 3600)), ("25/day", Rate(25, 86_400)), ("0/h", Rate(0, 3600))]
)
def test_rates_read_back_as_they_were(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert str(rate) == text


@pytest.mark.parametrize(
    ("wrong", "right"), [("25 per day", "25/day"), ("20,000/hour", "20000/h"), ("5/d", "5/day"), ("many", None)]
)
def test_other_ways_to_write_a_rate_are_offered_in_ours(wrong: str, right: str | None) -> None:
    with pytest.raises(InvalidLiteralError) as raised:
        parse_rate(wrong)
    assert raised.value.fix == right


@pytest.mark.parametrize(
    ("glob", "repo", "is_named"),
    [
        ("acme/med-*", "acme/med-7b", True),
        ("acme/med-*", "datasets/acme/med-7b", False),
        ("datasets/acme/*", "datasets/acme/x", True),
        ("*/*", "a/b", True),
        ("*/*", "datasets/a/b", False),
        ("acme/m?d", "acme/mid", True),
        ("acme/med.x", "acme/medyx", False),
        ("Acme/MED", "acme/med", True),
    ],
)
def test_a_bare_glob_names_models_and_a_star_stays_within_its_part(glob: str, repo: str, is_named: bool) -> None:
    assert glob_matches(parse_glob(glob), parse_repo(repo)) is is_named


_glob = st.text("ab*?", min_size=1, max_size=8)


@given(_glob, st.text("ab", min_size=1, max_size=8))
def test_a_part_fits_as_a_regular_expression_would_have_it(glob: str, text: str) -> None:
    meant = glob.replace("*", ".*").replace("?", ".")
    assert glob_matches_path(f"x/{glob}", f"x/{text}") is (re.fullmatch(meant, text) is not None)


def test_many_stars_take_no_time() -> None:
    assert not glob_matches_path(f"x/{'*?' * 20}z", f"x/{'a' * 90}")


_PART = st.text("ab*?", min_size=1, max_size=5)


@given(_PART, _PART, st.text("ab", min_size=1, max_size=5))
def test_globs_that_name_one_repo_together_meet(one_part: str, other_part: str, name: str) -> None:
    repo = parse_repo(f"x/{name}")
    both = all(glob_matches(f"x/{part}", repo) for part in (one_part, other_part))
    assert not both or globs_overlap(f"x/{one_part}", f"x/{other_part}")


def test_globs_of_a_model_and_of_a_dataset_never_meet() -> None:
    assert not globs_overlap("*/*", "datasets/*/*")
    assert globs_overlap("acme/a*", "*/*b")
    assert not globs_overlap("acme/a*", "acme/b*")
