"""Finding requests in a real Chromium: junk answers are found and sent back in counted steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.kits.browser import WATCH, read_moves
from tests.kits.desk import GOOD, Desk, open_desk, serve_desk

pytestmark = pytest.mark.slow
POLICY = """\
version: 1
policy: house
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - id: rest
    then: human
"""


@contextmanager
def _page(browser: Browser, desk: Desk) -> Iterator[Page]:
    with serve_desk(desk) as url:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=url)
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(f"/sign-in?t={desk.authenticator.make_link()}")
        yield page
        assert page.evaluate("window.blocked") == []
        context.close()


@pytest.fixture
def junk(tmp_path: Path) -> Iterator[Desk]:
    """Of 70 who wait, 30 wrote nothing of use; no rule sends them back."""
    with open_desk(tmp_path, POLICY) as desk:
        desk.ask([{"username": f"good-{n:02d}"} for n in range(40)], {"Purpose": GOOD})
        for number, text in enumerate(("asdf", "...", "")):
            desk.ask([{"username": f"junk-{number}{n}"} for n in range(10)], {"Purpose": text})
        yield desk


class _Steps:
    """Acts for a person and counts: a click, a key, a text that is typed."""

    def __init__(self) -> None:
        self.count = 0

    def click(self, where: Locator) -> None:
        self.count += 1
        where.click()

    def type(self, where: Locator, text: str) -> None:
        self.count += 1
        where.fill(text)


def test_30_junk_answers_are_found_and_sent_back_in_at_most_12_steps(browser: Browser, junk: Desk) -> None:
    with _page(browser, junk) as page:
        steps = _Steps()
        choice = page.locator("#facets").get_by_role("link", name="nothing useful")
        expect(choice).to_contain_text("30")
        steps.click(choice)
        expect(page.locator("#rows > .row")).to_have_count(30)
        expect(page.locator("#rows")).not_to_contain_text("good-")
        steps.click(page.get_by_label("Select this page"))
        expect(page.locator("#bulk")).to_contain_text("30 selected")
        steps.click(page.locator("#bulk").get_by_role("button", name="Send back"))
        steps.type(page.locator("#reason"), "Please say what you will use it for, then ask again.")
        steps.type(page.locator("#typed"), "30")
        steps.click(page.locator("main form [data-enter]").first)
        expect(page.locator("#tray")).to_contain_text("30")
        assert steps.count <= 12, steps.count
        junk.send_due()
    assert len(read_moves(junk.local)) == 30
    assert set(read_moves(junk.local).values()) == {"reset"}
    assert all(name.startswith("junk-") for name in read_moves(junk.local))
