"""When access ends, counted from its accept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.parsing.literals import InvalidLiteralError, parse_until
from hf_gate.core.people.grants import Duration, parse_grant_end
from hf_gate.policies.evaluation.opinions import grant_end as end_by_rule

ZURICH = ZoneInfo("Europe/Zurich")
JANUARY = datetime(2027, 1, 31, 9, 30, tzinfo=UTC)

MOMENTS = st.integers(0, 200_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))

ENDS = [
    ("30d", "2027-03-02T09:30:00"),
    ("12w", "2027-04-25T09:30:00"),
    ("1mo", "2027-02-28T09:30:00"),
    ("13mo", "2028-02-29T09:30:00"),
    ("1y", "2028-01-31T09:30:00"),
    ("2027-06-30", "2027-06-30T22:00:00"),  # the end of that day in Zurich, summer time
    ("2027-12-31", "2027-12-31T23:00:00"),
    ("1y,2027-06-30", "2027-06-30T22:00:00"),
    ("2027-06-30T09:30:00.000Z", "2027-06-30T09:30:00"),
]


@pytest.mark.parametrize(("written", "end"), ENDS)
def test_an_end_as_a_rule_writes_it(written: str, end: str) -> None:
    assert parse_grant_end(written, JANUARY, ZURICH) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@given(
    MOMENTS,
    st.integers(1, 99_999),
    st.sampled_from(["d", "w", "mo", "y"]),
)
def test_an_end_lies_ahead_whatever_is_written(accepted: datetime, number: int, unit: str) -> None:
    assert parse_grant_end(f"{number}{unit}", accepted, ZURICH) > accepted


@given(MOMENTS, st.integers(1, 600))
def test_so_many_months_are_about_so_many_months(accepted: datetime, months: int) -> None:
    days = (parse_grant_end(f"{months}mo", accepted, UTC) - accepted) / timedelta(days=1)
    assert months * 28 <= days <= months * 31


@pytest.mark.parametrize("written", ["", "0d", "30", "d", "-1d", "1.5d", "2027-13-01", "30d;", "9999999d"])
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are date.fromisoformat's
        parse_grant_end(written, JANUARY, UTC)


SPELT = r"[1-9][0-9]{0,2}(d|w|mo)|[1-9][0-9]?y|20[3-9][0-9]-0[1-9]-[12][0-8]"


@given(MOMENTS, st.from_regex(SPELT, fullmatch=True))
def test_a_rule_and_a_grant_end_at_the_same_moment(accepted: datetime, written: str) -> None:
    assert end_by_rule(parse_until(written), accepted, ZURICH) == parse_grant_end(written, accepted, ZURICH)


@given(MOMENTS, st.builds(Duration, days=st.integers(0, 90), months=st.integers(0, 30)), st.integers(1, 5_000_000))
def test_the_first_moment_from_which_a_length_reaches_an_end(end: datetime, length: Duration, seconds: int) -> None:
    first = length.first_before(end)
    assert length.after(first) >= end
    assert length.after(first - timedelta(milliseconds=1)) < end
    assert length.after(first - timedelta(seconds=seconds)) < end


@pytest.mark.parametrize("written", ["3\u0660d", "203\u0660-01-10"])
def test_digits_of_other_scripts_make_no_end(written: str) -> None:
    with pytest.raises(InvalidLiteralError):
        parse_until(written)
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        parse_grant_end(written, JANUARY, UTC)
