"""The bad night of docs/messages.md is as the page says: which notice arrives when and where."""

from __future__ import annotations

import pytest

from tools.night import PAGE, make_table, renew


@pytest.mark.slow
def test_the_night_is_as_the_page_says() -> None:
    page = PAGE.read_text("utf-8")
    assert renew(page, make_table()) == page, "make night"
