"""The queue in a real Chromium after decisions were sent: the bar, the numbers, and the rows that others decided."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.kits.accessibility import find_accessibility_problems
from tests.kits.browser import open_queue, open_waiting_desk
from tests.kits.desk import Desk

NAMES = ("ada", "bob", "cyd", "dan")


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_waiting_desk(tmp_path_factory.mktemp("desk"), NAMES) as made:
        yield made


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Iterator[Page]:
    with open_queue(browser, desk, "ada") as page:
        yield page


def test_what_was_sent_is_said_and_counted_and_leads_to_its_reversal(page: Page, desk: Desk) -> None:
    expect(page.locator(".head > p")).to_contain_text("4 waiting")
    for count in (1, 2):
        page.keyboard.press("a")
        expect(page.locator("#tray")).to_have_attribute("data-count", str(count))
    desk.send_due()
    page.clock.run_for(2000)
    expect(page.locator("#tray")).to_contain_text("2 sent")
    expect(page.locator("#said")).to_have_text("2 sent.")
    expect(page.locator("#said")).to_be_visible()
    expect(page.locator(".head > p")).to_contain_text("2 waiting")
    expect(page.locator("#views [aria-current]")).to_have_text("Pending 2")
    expect(page.locator("#rows > .row")).to_have_count(len(NAMES))  # rows do not move
    expect(page.locator(".row.is-focus .who")).to_have_text("cyd")
    assert find_accessibility_problems(page) == []
    page.get_by_role("link", name="Reverse…").click()
    expect(page.get_by_role("button", name="Reverse… ada")).to_be_visible()


def test_numbers_ages_and_rows_follow_what_others_decide(page: Page, desk: Desk) -> None:
    mia = desk.reviewer("mia")
    row = desk.row("bob")
    values = {"verb": "accept", "key": row.state.hub_request or "", "version": row.version.token, "until": "none"}
    assert mia.post("/tray", values).status == 303
    desk.send_due()
    before = page.locator("#rows .c-age").first.inner_text()
    desk.app_state.workspace.clock.advance(400 * 86_400)  # type: ignore[attr-defined]
    page.locator("#rows [data-pick]").nth(2).check()
    page.clock.run_for(62_000)
    expect(page.locator(".head > p")).to_contain_text("3 waiting")
    page.clock.run_for(2000)
    expect(page.locator("#rows > .row", has_text="bob").locator(".c-say")).to_contain_text("accepted")
    expect(page.locator("#rows [data-pick]").nth(2)).to_be_checked()
    expect(page.locator("#rows .c-age").first).not_to_have_text(before)
    expect(page.locator(".row.is-focus")).to_have_count(1)
