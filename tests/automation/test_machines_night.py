"""The night of two machines in docs/more-machines.md is as the page says."""

from __future__ import annotations

import pytest

from tools.machines_night import PAGE, make_table
from tools.night import renew


@pytest.mark.slow
def test_the_night_is_as_the_page_says() -> None:
    page = PAGE.read_text("utf-8")
    assert renew(page, make_table()) == page, "make night"
