"""The link of an invitation in a real Chromium: on top, with a button that copies it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.kits.accessibility import find_accessibility_problems
from tests.kits.desk import open_desk, serve_desk


@pytest.mark.parametrize("may_copy", [True, False])
def test_the_link_stands_on_top_and_is_copied_by_a_button(browser: Browser, tmp_path: Path, may_copy: bool) -> None:
    with open_desk(tmp_path) as desk, serve_desk(desk) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=url)
        page = context.new_page()
        page.goto(f"/sign-in?t={desk.authenticator.make_link()}")
        page.goto("/settings")
        headings = page.get_by_role("heading", level=2).all_inner_texts()
        assert headings.index("Members") < headings.index("Your permissions")
        page.get_by_label("Name", exact=True).fill("mia")
        page.get_by_role("button", name="Create link").click()
        link = page.locator("#invite-link").inner_text()
        expect(page.locator("#invite-link")).to_be_in_viewport()
        assert find_accessibility_problems(page) == []
        if may_copy:
            context.grant_permissions(["clipboard-read", "clipboard-write"])
        else:
            page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")  # as without TLS
        page.get_by_role("button", name="Copy").click()
        expect(page.locator("#said")).to_contain_text("Copied." if may_copy else "press Ctrl+C")
        copied = "navigator.clipboard.readText()" if may_copy else "String(getSelection())"
        assert page.evaluate(copied) == link
        context.close()
