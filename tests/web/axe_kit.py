"""What axe finds on a page in a browser."""

from __future__ import annotations

from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships none
from playwright.sync_api import Page

_SCRIPT: Final[str] = Axe().axe_script
_FIRST_ROWS: Final = 8
_LATER_ROWS: Final = f"#rows > :nth-child(n+{_FIRST_ROWS + 1}), tbody > tr:nth-child(n+{_FIRST_ROWS + 1})"
_RUN: Final = """later => axe.run(
    later ? {exclude: [[later]]} : document, {resultTypes: ["violations"]}).then(found => found.violations)"""


def violations(page: Page, *, has_all_rows: bool = True) -> list[dict[str, Any]]:
    """The violations on a page. `has_all_rows=False`: of a long table only the first rows, for one more look at a page."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_SCRIPT)
    found: list[dict[str, Any]] = page.evaluate(_RUN, None if has_all_rows else _LATER_ROWS)
    return found
