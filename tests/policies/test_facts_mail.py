"""E-mail addresses and domains: look-alikes are never equal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.policies.facts.email_addresses import parse_address, parse_domain


@pytest.mark.parametrize(
    "text",
    [
        "x@example.org.evil.com", "x@notexample.org", "x@example.org@evil", "x@еxample.org", "x@exаmple.org", "x@example.оrg",
        "x@exam\u212aple.org", "x@ｅxample.org", "x@example。org", "x@example.org\u200b", "x@example.org/", "x@example.org\n.evil.com",
        "x@example.org%00.evil.com", "x@example.org#evil", "x@[example.org]", "@example.org", "x@", "x@.example.org", "x@example..org",
        "x y@example.org", "x@example.org>", "x@sub.example.org", "x@examp1e.org", "x@exаmplе.org", "x@example-org.evil.com",
    ],
)  # fmt: skip
def test_an_address_that_only_looks_like_the_domain_is_not_of_the_domain(text: str) -> None:
    address = parse_address(text)
    assert address is None or address.domain != "example.org"


@pytest.mark.parametrize(
    "text",
    [
        "X@EXAMPLE.ORG",
        "x@example.org.",
        " x@example.org ",
        "x+tag@Example.Org",
        '"x y"@example.org',
        '"x@evil.com"@example.org',
    ],
)
def test_case_blanks_and_a_dot_at_the_end_do_not_count(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert address.domain == "example.org"


def test_domains_of_other_scripts_are_spelled_as_dns_spells_them() -> None:
    assert parse_domain("пример.рф") == "xn--e1afmkfd.xn--p1ai"
    assert parse_domain("BÜCHER.de") == parse_domain("bücher.de") == "xn--bcher-kva.de"
    assert parse_domain("straße.de") != parse_domain("strasse.de")


@given(st.text(max_size=80))
def test_what_is_read_once_reads_the_same_again(text: str) -> None:
    address = parse_address(text)
    if address:
        assert address.domain.isascii()
        assert parse_address(str(address)) == address
