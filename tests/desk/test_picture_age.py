"""The pictures of the desk in README and docs show the pages as they are now."""

from __future__ import annotations

import difflib
import json

import pytest

from tests.kits.desk import find_chromium
from tools.desk_pictures import PICTURES, WORDS, take_pictures

CHROMIUM = find_chromium()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: tools/chromium.sh brings one")
def test_no_picture_is_older_than_its_page() -> None:
    assert CHROMIUM is not None
    then = json.loads(WORDS.read_text("utf-8"))
    assert then.keys() == PICTURES.keys()
    changed = {}
    for name, _, words in take_pictures(list(PICTURES), CHROMIUM):
        lines = difflib.unified_diff(then[name].split(), words, "picture", "page", n=2, lineterm="")
        if different := list(lines):
            changed[name] = different[:40]
    assert not changed, f"take them anew with `python -m tools.desk_pictures`: {changed}"
