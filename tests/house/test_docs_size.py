"""The documentation stays small: at most 30 pages, and 45,000 words written by hand."""

from __future__ import annotations

import re

from tests.kits.paths import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
MAINTAINERS = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")]
_GENERATED = re.compile(r"<!-- generated: .*?<!-- end generated -->", re.DOTALL)


def test_the_docs_have_at_most_30_pages() -> None:
    assert len(PAGES) <= 30


def test_at_most_45000_words_are_written_by_hand() -> None:
    words = {path.name: len(_GENERATED.sub("", path.read_text("utf-8")).split()) for path in [*PAGES, *MAINTAINERS]}
    assert sum(words.values()) <= 45_000, words
