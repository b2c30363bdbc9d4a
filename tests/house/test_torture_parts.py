"""Every test whose numbers grow under the torture profile lies in exactly one part of `make torture`."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from tests.kits.paths import ROOT
from tests.kits.random_days import SHARDS
from tools.torture import PARTS

GROWS: Final = re.compile(r"^from hypothesis|^import schemathesis|mark\.torture|\"HF_GATE_TEST_PROFILE\"", re.MULTILINE)
LISTED: Final = Counter(one for part in PARTS.values() for one in part)


def growing() -> set[str]:
    """The files of tests that grow: they use Hypothesis, are marked, or ask for the profile."""
    files = (ROOT / "tests").rglob("test_*.py")
    found = {file.relative_to(ROOT).as_posix() for file in files if GROWS.search(file.read_text("utf-8"))}
    return found - {"tests/house/test_torture_parts.py"}


def names_in(name: str) -> set[str]:
    return {
        f"{name}::{test}" for test in re.findall(r"^def (test_\w+)", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    }


def test_every_file_of_tests_that_grow_is_listed_and_no_other() -> None:
    assert {one.partition("::")[0] for one in LISTED} == growing()


def test_nothing_is_listed_twice() -> None:
    assert [one for one, times in LISTED.items() if times > 1] == []
    whole = {one for one in LISTED if "::" not in one}
    assert [one for one in LISTED if "::" in one and one.partition("::")[0] in whole] == []


def test_of_a_file_that_is_split_every_test_is_listed_with_all_its_shards() -> None:
    split = {one.partition("[")[0] for one in LISTED if "::" in one}
    assert split == {test for file in {one.partition("::")[0] for one in split} for test in names_in(file)}
    shards: dict[str, list[int]] = {}
    for one in LISTED:
        if match := re.fullmatch(r"(.*)\[(\d+)\]", one):
            shards.setdefault(match[1], []).append(int(match[2]))
    assert [sorted(numbers) for numbers in shards.values()] == [list(range(SHARDS["torture"]))]
