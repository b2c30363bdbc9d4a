"""A pasted list is read whatever separates it, and nothing of it vanishes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.stored_rows import Identity, PersonRow
from hf_gate.errors import UsageError
from hf_gate.grants.people_files import MAX_ENTRIES, parse_pasted_list
from hf_gate.grants.service.tables.people_lists import PeopleIndex

NAME, ADDRESS, ID, UNREADABLE = "username", "email", "user_id", ""


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("ada", [(NAME, "ada")]),
        ("Ada;ADA,@ada", [(NAME, "ada")]),
        ("ada\tbob|cyd\r\ndan, eva", [(NAME, name) for name in ("ada", "bob", "cyd", "dan", "eva")]),
        ('"ada", (bob); [cyd] • dan', [(NAME, name) for name in ("ada", "bob", "cyd", "dan")]),
        ("Ada Lovelace <Ada@Uni.example>", [(ADDRESS, "ada@uni.example")]),
        ("Ada L. <ada@uni.example> bob <cyd@uni.example>", [(ADDRESS, "ada@uni.example"), (ADDRESS, "cyd@uni.example")]),
        ("Ada <ada@uni.example> bob", [(ADDRESS, "ada@uni.example"), (NAME, "bob")]),
        ("mailto:ada@uni.example.", [(ADDRESS, "ada@uni.example")]),
        ("ada@BÜCHER.example", [(ADDRESS, "ada@xn--bcher-kva.example")]),
        ("a@b", [(ADDRESS, "a@b")]),
        ("a@b@", [(UNREADABLE, "a@b@")]),
        ("https://huggingface.co/ada https://huggingface.co/bob/", [(NAME, "ada"), (NAME, "bob")]),
        ("https://huggingface.co/ada/model", [(UNREADABLE, "https://huggingface.co/ada/model")]),
        ("0123456789ABCDEF01234567", [(ID, "0123456789abcdef01234567")]),
        ("адa", [(UNREADABLE, "адa")]),
        ("ada\u2028bob\x85cyd\u3000dan", [(NAME, name) for name in ("ada", "bob", "cyd", "dan")]),
    ],
)  # fmt: skip
def test_a_list_is_read_by_form(text: str, entries: list[tuple[str, str]]) -> None:
    assert [(entry.kind, entry.key) for entry in parse_pasted_list(text)] == entries


def test_a_list_that_looks_like_one_endless_address_is_read_in_linear_time() -> None:
    """By squares it would take minutes, and the whole desk would wait."""
    assert [entry.kind for entry in parse_pasted_list("<" + "@" * 99_000)] == [UNREADABLE]


@pytest.mark.parametrize("text", ["", " \n,;", '"" <> ()'])
def test_an_empty_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        parse_pasted_list(text)


WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,15}", fullmatch=True)
SEPARATORS = st.sampled_from([",", ";", " ", "\n", "\r\n", "\t", "|", ", ", " ; ", "\n\n"])


@given(st.lists(st.tuples(WORDS, SEPARATORS), min_size=1, max_size=40))
def test_no_word_vanishes_whatever_separates_them(parts: list[tuple[str, str]]) -> None:
    found = parse_pasted_list("".join(word + separator for word, separator in parts))
    assert [entry.key for entry in found] == list(dict.fromkeys(word.lower() for word, _ in parts))


@given(st.text(max_size=2000))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_pasted_list(text)
    except UsageError:
        return
    assert 1 <= len(found) <= MAX_ENTRIES
    assert len({(entry.kind, entry.key) for entry in found}) == len(found)


# ---- matching --------------------------------------------------------------------------------------------------------


def _person(ident: int, name: str, email: str | None = None) -> PersonRow:
    return PersonRow(ident, f"p{ident}", Identity(f"{ident:024x}", name, None, email))


ADA, BOB, CYD = _person(1, "Ada", "Ada@Uni.example"), _person(2, "bob", "team@uni.example"), _person(3, "cyd")


def test_a_key_that_two_people_share_identifies_neither() -> None:
    index = PeopleIndex([BOB, _person(4, "dan", "Team@uni.example"), _person(5, "eva", "team@uni.example"), BOB])
    assert len(index.find("email", "team@uni.example")) == 2
    assert index.identify({"email": "team@uni.example"}) == []
    assert index.identify({"email": "team@uni.example", "username": "eva"})[0].id == 5


def test_keys_that_disagree_identify_two_people_the_most_reliable_first() -> None:
    keys = {"username": "cyd", "email": "ada@uni.example"}
    assert PeopleIndex([CYD, ADA]).identify(keys) == [ADA, CYD]
    assert PeopleIndex([CYD]).identify(keys) == [CYD]
