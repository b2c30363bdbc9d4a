"""docs/deciding.md says what the language does."""

from __future__ import annotations

import re

import pytest

from hf_gate.core.parsing.query import KEYS
from hf_gate.errors import InvalidQuery
from hf_gate.requests.query_parser import parse_query
from tests.kits.paths import ROOT

_PAGE = (ROOT / "docs" / "deciding.md").read_text("utf-8").split("\n## Searching requests\n")[1]


def test_the_page_has_the_keys_of_the_law() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", _PAGE, re.MULTILINE))
    assert rows == {**KEYS, **{key: rows[key] for key in rows.keys() - KEYS.keys()}}
    assert list(rows)[-len(KEYS) :] == list(KEYS)


def test_the_examples_are_queries_and_the_others_are_refused_as_it_says() -> None:
    good, bad = re.findall(r"```text\n(.*?)```", _PAGE, re.DOTALL)
    for line in good.splitlines():
        assert parse_query(line).terms
    for line in bad.splitlines():
        text, said = re.split(r" {2,}", line, maxsplit=1)
        with pytest.raises(InvalidQuery) as caught:
            parse_query(text)
        told = f"{caught.value} {caught.value.hint}"
        assert all(part in told for part in said.split(" ... "))
