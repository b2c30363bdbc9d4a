"""What a browser sends in a form with a file comes out as it was put in, and anything else gives no field."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hf_gate.desk.http_context import MAX_PARTS, parse_form
from tests.kits.desk_actions import MULTIPART_TYPE, encode_multipart

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\r\n%\0'), min_size=1, max_size=8)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=60)), max_size=5))
def test_the_bytes_of_each_part_come_out_as_they_went_in(parts: list[tuple[str, bytes]]) -> None:
    found = parse_form(MULTIPART_TYPE, encode_multipart(parts))
    wanted: dict[str, list[bytes]] = {}
    for name, content in parts:
        wanted.setdefault(name, []).append(content)
    assert {
        name: [text.encode("utf-8", "surrogateescape") for text in texts] for name, texts in found.items()
    } == wanted


@given(st.text(max_size=80), st.binary(max_size=200))
def test_no_body_breaks_the_parser(content_type: str, body: bytes) -> None:
    for kind in (content_type, MULTIPART_TYPE, "multipart/form-data", f"{MULTIPART_TYPE}; x=1"):
        assert isinstance(parse_form(kind, body), dict)


def test_too_many_parts_give_no_field() -> None:
    assert parse_form(MULTIPART_TYPE, encode_multipart([("a", b"1")] * (MAX_PARTS + 1))) == {}
    assert len(parse_form(MULTIPART_TYPE, encode_multipart([("a", b"1")] * MAX_PARTS))["a"]) == MAX_PARTS


def test_a_plain_form_is_read_as_before() -> None:
    assert parse_form("application/x-www-form-urlencoded", b"a=1&a=%C3%A9&b=") == {"a": ["1", "é"], "b": [""]}
