"""docs/internals/reliability.md names tests that are there."""

from __future__ import annotations

import re

from tests.kits.paths import KITS, ROOT

PAGE = (ROOT / "docs" / "internals" / "reliability.md").read_text("utf-8")


def test_every_test_that_the_page_names_is_there() -> None:
    short = dict(re.findall(r"`(\w+)`\s+is\s+`(tests/[\w/]+\.py)`", PAGE))
    named = re.findall(r"`([\w/.]+)::(test_\w+)`", PAGE)
    assert len(named) > 50
    missing = [
        f"{where}::{name}"
        for where, name in named
        if f"def {name}(" not in (ROOT / short.get(where, where)).read_text("utf-8")
    ]
    assert missing == []


def test_every_check_that_the_page_names_is_there() -> None:
    source = (KITS / "invariants.py").read_text("utf-8")
    checks = PAGE.partition("## What is checked each time")[2].partition("These checks run")[0]
    names = {name for name in re.findall(r"`(\w+)`", checks) if "::" not in name}
    assert {name for name in names if f"def {name}(" not in source} <= {"carry"}
