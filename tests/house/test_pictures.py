"""Pictures of the desk in the docs: small, and each one shown on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.paths import ROOT

PICTURES = sorted((ROOT / "docs" / "images").glob("*.png"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_shown(picture: Path) -> None:
    assert picture.stat().st_size <= 150_000
    assert picture.read_bytes()[25] == 3, "by a palette, as tools/desk_pictures.py makes it"
    assert any(f"images/{picture.name})" in page.read_text("utf-8") for page in PAGES)
