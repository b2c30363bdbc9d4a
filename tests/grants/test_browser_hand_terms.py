"""An acceptance with the end of the rules in a real Chromium: by keys, where the end is unknown, and of many at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.accessibility import find_accessibility_problems
from tests.kits.browser import open_page
from tests.kits.desk import GOOD, open_desk, serve_desk
from tests.kits.desk_actions import TERMS_PEOPLE, TERMS_POLICY

pytestmark = pytest.mark.slow


def test_the_key_names_the_end_and_asks_for_one_that_is_not_known(browser: Browser, tmp_path: Path) -> None:
    with open_desk(tmp_path, TERMS_POLICY.replace("UNTIL", "1y")) as desk:
        desk.ask(TERMS_PEOPLE, {"Purpose": GOOD})
        with serve_desk(desk) as url, open_page(browser, desk, url) as page:
            rows, keys = page.locator("#rows > .row"), page.locator("#accept-end")
            expect(page.locator("#rows > .row.is-focus")).to_have_count(1)
            rows.filter(has_text="ada").locator(".who").focus()
            expect(keys).to_have_text(re.compile(r"^until \d+ \w+ 20\d\d$"))
            day = (keys.text_content() or "").removeprefix("until ")
            expect(page.get_by_role("button", name=f"Accept ada until {day}")).to_be_visible()
            page.keyboard.press("a")
            expect(page.locator("#tray")).to_contain_text(f"until {day}")
            rows.filter(has_text="cyd").locator(".who").focus()
            expect(keys).to_have_text("…")
            page.keyboard.press("a")
            sheet = page.locator("#leaves")
            expect(sheet).to_contain_text("The rules give no usable date: it is not known: number of public models.")
            assert find_accessibility_problems(page) == []
            page.keyboard.press("Enter")
            expect(sheet, "without a choice it stays").to_be_visible()
            page.keyboard.press("5")
            page.keyboard.press("Enter")
            expect(sheet).to_have_count(0)
            expect(page.locator("#tray")).to_contain_text("2 decisions")
            page.keyboard.press("z")
            expect(page.locator("#tray")).to_contain_text("1 decision ")
            assert [one.change.until for one in list_waiting_decisions(desk.app_state.workspace.store)] == ["1y"]
