"""Checks a page in a browser with axe."""

from __future__ import annotations

import os
from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships none
from playwright.sync_api import Page

_SCRIPT: Final[str] = Axe().axe_script
_HAS_ALL_ROWS: Final = os.environ.get("HF_GATE_TEST_PROFILE") == "torture"
_OF_A_SHAPE: Final = 2
_MARK_ALIKE: Final = """most => {
  const shape = (element) => {
    const names = [...element.attributes].map(({name, value}) => name + (value === "" ? "-" : ""));
    const within = [...element.children].map(shape).join();
    const text = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    return `${element.localName}.${element.getAttribute("class")}[${names}]${text ? "t" : ""}(${within})`;
  };
  const seen = new Map();
  for (const row of document.querySelectorAll("#rows > *, tbody > tr, main ul > li")) {
    const key = row.parentElement.localName + shape(row), count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    if (count > most) row.dataset.axeAlike = "";
  }
}"""
_ALIKE: Final = "[data-axe-alike]"
_COLOURS: Final = ("color-contrast", "link-in-text-block")
"""The rules whose result depends on colours alone, if what is shown and where it stands does not change."""
_RUN: Final = """([alike, rules]) => axe.run(
    document.querySelector(alike) ? {exclude: [[alike]]} : document,
    {resultTypes: ["violations"], ...(rules ? {runOnly: rules} : {})}).then(found => found.violations)"""


def find_accessibility_problems(
    page: Page, *, has_all_rows: bool = _HAS_ALL_ROWS, is_recoloured: bool = False
) -> list[dict[str, Any]]:
    """The violations on a page.

    Of the rows of a list that have the same elements, classes and attributes, the first two count; with `has_all_rows`, as
    in `make torture`, all of them. With `is_recoloured`, the page was looked at before, and only its colours have changed.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_SCRIPT)
    if not has_all_rows:
        page.evaluate(_MARK_ALIKE, _OF_A_SHAPE)
    found: list[dict[str, Any]] = page.evaluate(_RUN, [_ALIKE, list(_COLOURS) if is_recoloured else None])
    return found
