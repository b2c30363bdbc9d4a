"""Days of a steward in a real Chromium, by keys alone: a plan applied and watched, a selection that stays, a link that is not lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.kits.browser import open_page, read_moves
from tests.kits.desk import GOOD, open_desk, serve_desk

pytestmark = pytest.mark.slow
STEPS = 120  # of the Tab key until something is said to be out of reach


def _tab_to(page: Page, where: Locator) -> None:
    """By the Tab key alone, from wherever the focus is."""
    expect(where).to_be_visible()
    page.wait_for_load_state()  # its scripts hear keys
    for _ in range(STEPS):
        if where.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab never reaches {where}")


def _press(page: Page, where: Locator, key: str = "Enter") -> None:
    _tab_to(page, where)
    page.keyboard.press(key)


def _go(page: Page, key: str, title: str) -> None:
    page.keyboard.press("g")
    page.keyboard.press(key)
    expect(page.get_by_role("heading", level=1)).to_contain_text(title)


def test_a_plan_is_applied_and_watched_to_its_end_by_keys_alone(browser: Browser, tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk, serve_desk(desk) as url:
        good, poor = [f"ada-{n:02}" for n in range(24)], ["bob"]
        desk.ask([{"username": name, "email": f"{name}@ethz.ch"} for name in good], {"Purpose": GOOD})
        desk.ask([{"username": name} for name in poor], {"Purpose": "test"})
        desk.local.set_faults(["delay_before:s=6:times=1:on=batch"])
        with open_page(browser, desk, url) as page:
            _go(page, "p", "Plans")
            _press(page, page.get_by_role("button", name="Make a plan now"))
            expect(page.get_by_role("heading", level=1)).to_contain_text("Plan: 25 changes")
            expect(page.locator("main")).to_contain_text("24 people get access")
            _press(page, page.get_by_role("button", name="Apply 25 changes"))
            expect(page.get_by_role("heading", level=1)).to_contain_text("pply", use_inner_text=True)
            expect(page.locator("#live")).to_contain_text(" of 25")
            expect(page.get_by_role("button", name="Pause")).to_be_visible()
            assert desk.local.journal()[-1]["route"] not in {"handle", "batch"}
            expect(page.get_by_role("heading", level=1)).to_contain_text("25 changes: ended", timeout=30_000)
            expect(page.locator("#live")).to_contain_text("25 of 25")
            expect(page.get_by_role("button", name="Plan an undo")).to_be_visible()
        assert read_moves(desk.local) == dict.fromkeys(good, "accepted") | dict.fromkeys(poor, "reset")


def test_a_selection_stays_over_three_pages_and_a_poll_and_while_others_are_decided(
    browser: Browser, tmp_path: Path
) -> None:
    with open_desk(tmp_path) as desk, serve_desk(desk) as url:
        desk.ask([{"username": f"p{n:03}"} for n in range(140)], {"Purpose": GOOD})
        with open_page(browser, desk, url) as page:
            picked = []
            for number in (1, 2, 3):
                expect(page.locator(".row.is-focus")).to_be_visible()
                page.keyboard.press("j")
                page.keyboard.press("x")
                expect(page.locator("#bulk")).to_contain_text(f"{number} selected")
                picked.append(page.locator(".row.is-focus").get_attribute("data-request-id"))
                if number < 3:
                    _press(page, page.locator(".pager a[rel=next]"))
                    expect(page.locator(".pager a", has_text="First page")).to_be_visible()
                    expect(page.locator(f'[data-request-id="{picked[-1]}"]')).to_have_count(0)
            page.locator("#rows .who").last.focus()
            page.keyboard.press("a")
            expect(page.locator("#tray")).to_contain_text("1 decision will be sent in")
            for _ in range(2):
                with page.expect_response(lambda answer: "/tray?rows=" in answer.url):
                    pass
            expect(page.locator("#bulk")).to_contain_text("3 others stay selected")
            page.goto(f"{url}/queue")
            expect(page.locator("#rows [data-pick]:checked")).to_have_count(1)
            expect(page.locator(f'[data-request-id="{picked[0]}"] [data-pick]')).to_be_checked()
            _press(page, page.locator("#bulk").get_by_role("button", name="Reject"))
            expect(page.get_by_role("heading", level=1)).to_contain_text("Reject 3 requests?")
            page.go_back()
            expect(page.locator("#bulk")).to_contain_text("3 selected")


def test_a_link_followed_from_a_page_that_waits_is_not_lost(browser: Browser, tmp_path: Path) -> None:
    """The page reloads itself every 2 s until the first sync; the next page takes longer."""
    with open_desk(tmp_path) as desk, serve_desk(desk) as url, open_page(browser, desk, url) as page:
        expect(page.locator("[data-wait]")).to_be_visible()

        def answer_late(route: Route) -> None:
            time.sleep(3.5)
            route.continue_()

        page.route("**/policies", answer_late)
        page.get_by_role("link", name="Policies").first.click(no_wait_after=True)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Policies", timeout=8000)
