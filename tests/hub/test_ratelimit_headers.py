"""Rate-limit headers: valid, malformed and hostile."""

from __future__ import annotations

from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.hub.protocol.ratelimit_headers import MAX_WAIT_S, AnnouncedLimit, parse_retry_after, read_limits
from tests.kits.pacing_model import START

HUB: Final = {"ratelimit": '"api";r=495;t=23', "ratelimit-policy": '"fixed window";"api";q=500;w=300'}


def limits(limit: str, policy: str = "") -> tuple[AnnouncedLimit, ...]:
    return read_limits({"ratelimit": limit, "ratelimit-policy": policy})


def test_the_hubs_own_headers_are_read() -> None:
    assert read_limits(HUB) == (AnnouncedLimit("api", 495, 23, 500, 300),)


@pytest.mark.parametrize(
    ("limit", "policy", "expected"),
    [
        ('"api";r=5;t=9', "", [AnnouncedLimit("api", 5, 9)]),
        ("api;r=5;t=9", "api;q=10;w=60", [AnnouncedLimit("api", 5, 9, 10, 60)]),
        (' "api" ; t=9;x;pk=:YQ==:;R=5 ', '"api";w=60;q=10', [AnnouncedLimit("api", 5, 9, 10, 60)]),
        (
            '"a";r=5;t=9, "b";r=1;t=2',
            '"b";q=2;w=3,"a";q=9;w=10',
            [AnnouncedLimit("a", 5, 9, 9, 10), AnnouncedLimit("b", 1, 2, 2, 3)],
        ),
        ('"a";r=5;t=9,"a";r=2;t=8,"a";r=7;t=7', "", [AnnouncedLimit("a", 2, 8)]),
        (r'"a\"b,c;d\\";r=5;t=9', r'"a\"b,c;d\\";q=7;w=9', [AnnouncedLimit('a"b,c;d\\', 5, 9, 7, 9)]),
        ('"api";r=5;t=9', '"fixed window", "api";q=10;w=60', [AnnouncedLimit("api", 5, 9, 10, 60)]),
        ('"api";r=5;t=9', '"fixed window"', [AnnouncedLimit("api", 5, 9)]),
        ('"api";r=5', '"api";q=10;w=60', [AnnouncedLimit("api", 5, 60, 10, 60)]),
        ('"api";r=5;t=900', '"api";q=10;w=60', [AnnouncedLimit("api", 5, 60, 10, 60)]),
        ('"api";r=5;t=99999999', "", [AnnouncedLimit("api", 5, MAX_WAIT_S)]),
        ('"api";r=999999999999999;t=9', '"api";q=0;w=0', [AnnouncedLimit("api", 999999999999999, 9)]),
        ('"api";r=5;t=9', '"api";q=10;w=86401', [AnnouncedLimit("api", 5, 9, 10)]),
        ('"api";r=5', "", []),
        ('"api";r=-5;t=9,"b";r=5;t=-9,"c";r=1.5;t=9,"d";r=1;t=9.0,"e";r=9999999999999999;t=1,"f";r="5";t=9', "", []),
        ('"api";r=\u0665;t=9', "", []),
        (";r=5;t=9,=;r=5;t=1,,r=5;t=9", "", []),
        ("limit=100, remaining=50, reset=5", "", []),
        ('"ok";r=5;t=9,"open;r=5;t=9,"c";r=5', "", [AnnouncedLimit("ok", 5, 9)]),
        ('"up";r=900;t=9', '"up";q=1000;w=60;qu="content-bytes"', []),
    ],
)
def test_members_are_read_one_by_one(limit: str, policy: str, expected: list[AnnouncedLimit]) -> None:
    assert list(limits(limit, policy)) == expected


NOON: Final = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("999999999", float(MAX_WAIT_S)),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:07 GMT", 0.0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", float(MAX_WAIT_S)),
        ("Sun Nov  6 08:49:47 1994", None),  # formats that nobody writes any more
        ("Sunday, 06-Nov-94 08:49:47 GMT", None),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1e3", None),
        ("7, 7", None),
        ("\u0667", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected: float | None) -> None:
    assert parse_retry_after({"retry-after": text}, NOON) == expected


def test_no_header_is_no_limit() -> None:
    assert read_limits({}) == ()
    assert parse_retry_after({}, START) is None


fields = st.one_of(
    st.text(),
    st.text(alphabet='"\\;=,apirtqw 0159-.*:\u0661'),
    st.lists(
        st.sampled_from(['"api"', "api", ";", "=", ",", "r", "t", "q", "w", "5", "-1", "1.0", '"', "\\", " "])
    ).map("".join),
)


@given(fields, fields, fields)
def test_no_text_makes_the_header_parsers_raise(limit: str, policy: str, after: str) -> None:
    for found in limits(limit, policy):
        assert found.name
        assert found.remaining >= 0
        assert 0 <= found.reset_s <= MAX_WAIT_S
    wait = parse_retry_after({"retry-after": after}, START)
    assert wait is None or 0 <= wait <= MAX_WAIT_S


@given(
    st.dictionaries(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12),
        st.tuples(st.integers(0, 10**9), st.integers(0, 300), st.integers(1, 10**9), st.integers(300, 3600)),
        max_size=4,
    ),
    st.randoms(use_true_random=False),
)
def test_members_in_any_order_are_read(table: dict[str, tuple[int, int, int, int]], chance: Random) -> None:
    def member(name: str, **parameters: int) -> str:
        pieces = [f";{key}={value}" for key, value in parameters.items()]
        chance.shuffle(pieces)
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' + "".join(pieces)

    policies = [member(name, q=q, w=w) for name, (_, _, q, w) in table.items()]
    chance.shuffle(policies)
    found = limits(", ".join(member(name, r=r, t=t) for name, (r, t, _, _) in table.items()), ",".join(policies))
    assert found == tuple(AnnouncedLimit(name, *values) for name, values in table.items())
