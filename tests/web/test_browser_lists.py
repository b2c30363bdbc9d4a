"""A rule from a list, in a real Chromium: a reviewer makes a list, the owner writes a rule, and a plan applies it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.kits.accessibility import find_accessibility_problems
from tests.kits.browser import open_page, read_moves
from tests.kits.desk import GOOD, POLICY, open_desk, serve_desk

pytestmark = pytest.mark.slow
ALLOWED = "desk: {may_write_tables: true}\ntables: {partners: {file: tables/partners.csv, key: username}}\n"
PARTNERS = ["ada", "bob", "cem"]
OTHERS = [f"p{number:03}" for number in range(110)]
LIST = "Institute,username,expires\nETH,ada,2099-06-30\nUZH,@bob,\nUZH,cem,\nUniBas,nobody-known,\n"


def _check(page: Page) -> None:
    assert find_accessibility_problems(page) == [], page.url


def _import_list(page: Page, url: str) -> None:
    """Paste the rows of the list, look at what they mean, and write them."""
    page.goto(f"{url}/tables/partners")
    page.get_by_label("Or paste its lines").fill(LIST)
    page.get_by_role("button", name="Show what it means").click()
    expect(page.locator("main")).to_contain_text("nobody-known")
    _check(page)
    page.get_by_role("button", name="Import").click()
    expect(page.locator("main")).to_contain_text("4 rows")


def test_a_rule_from_a_list(browser: Browser, tmp_path: Path) -> None:
    with open_desk(tmp_path, config=ALLOWED) as desk, serve_desk(desk) as url:
        desk.ask([{"username": name, "email": f"{name}@outlook.com"} for name in PARTNERS], {"Purpose": GOOD})
        desk.ask([{"username": name, "email": f"{name}@gmail.com"} for name in OTHERS], {"Purpose": GOOD})
        desk.visitor().post("/plans")
        with open_page(browser, desk, url) as page:
            _import_list(page, url)
            house = tmp_path / "policies" / "house.yaml"
            rule = "  - {id: listed, when: tables.partners, then: accept, until: tables.partners.expires}\n"
            house.write_text(POLICY.replace("  - id: rest", f"{rule}  - id: rest"), "utf-8")
            desk.app_state.policies.expire()
            page.goto(f"{url}/policies/house")
            expect(page.locator("#rule-listed")).to_contain_text("Accept when listed in partners")
            _check(page)
            page.goto(f"{url}/plans")
            page.get_by_role("button", name="Make a plan now").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text("Plan: 1 change")
            page.get_by_role("button", name="Apply 1 change").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text("1 change: ended", timeout=30_000)
        assert read_moves(desk.local) == {"ada": "accepted"}  # an acceptance of the others has no end
