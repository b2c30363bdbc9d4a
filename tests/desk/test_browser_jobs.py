"""Jobs of a reviewer in a real Chromium, from the first key to the end: thirty requests, a class until June."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.kits.accessibility import find_accessibility_problems
from tests.kits.browser import WATCH
from tests.kits.desk import GOOD, Desk, open_desk, serve_desk
from tests.kits.desk_actions import read_status

pytestmark = pytest.mark.slow
POLICY = """\
version: 1
policy: house
applies_to: ["*/*"]
mode: enforce
rules:
  - id: rest
    then: human
"""


@contextmanager
def _queue(browser: Browser, desk: Desk, width: int = 1280, path: str = "/queue") -> Iterator[Page]:
    desk.app_state.hold = 600.0
    with serve_desk(desk) as url:
        context = browser.new_context(viewport={"width": width, "height": 900}, base_url=url)
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(f"/sign-in?t={desk.authenticator.make_link()}")
        page.goto(path)
        expect(page.locator(".row.is-focus")).to_have_count(1)
        yield page
        assert page.evaluate("window.blocked") == []
        context.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk without a rule that sets an end."""
    with open_desk(tmp_path, POLICY) as made:
        yield made


def _current(page: Page) -> str:
    return page.locator(".row.is-focus .who").inner_text()


def test_thirty_requests_are_decided_by_keys_over_the_end_of_a_page(browser: Browser, desk: Desk) -> None:
    names = [f"p{number:02}" for number in range(60)]
    desk.ask([{"username": name} for name in names], {"Purpose": GOOD})
    desk.app_state.hold = 600.0
    with _queue(browser, desk) as page:
        order: list[str] = []
        decided: dict[str, str] = {}
        page.keyboard.press("k")
        expect(page.locator("#said")).to_have_text("That is the first row.")
        for number in range(30):
            expect(page.locator(".row.is-focus")).to_have_count(1)
            name = _current(page)
            order.append(name)
            page.keyboard.press("asr"[number % 3])
            decided[name] = ("accepted", "reset", "rejected")[number % 3]
            if number % 3:
                expect(page.locator("#sheet [data-enter]")).to_be_visible()
                expect(page.locator("#sheet :is([data-text]:checked, #reason)").first).to_be_focused()
                page.keyboard.press("Enter")
        expect(page.locator("#tray")).to_contain_text("30 decisions")
        for _ in range(19):
            page.keyboard.press("j")
        last = _current(page)
        page.keyboard.press("j")  # on to the next page
        expect(page.locator("#rows > .row")).to_have_count(10)
        expect(page.locator(".row.is-focus")).to_have_count(1)
        assert _current(page) not in order
        page.keyboard.press("k")  # and back to the row before
        expect(page.locator("#rows > .row")).to_have_count(50)
        expect(page.locator(".row.is-focus .who")).to_have_text(last)
        desk.send_due()
    assert {name: read_status(desk, name) for name in order} == decided
    assert len(set(order)) == 30


def test_a_university_gets_access_until_june_in_one_go(browser: Browser, desk: Desk) -> None:
    june = date(desk.app_state.now().year + 1, 6, 30)
    desk.ask([{"username": f"s{number}", "email": f"s{number}@ethz.ch"} for number in range(6)], {"Purpose": GOOD})
    desk.ask([{"username": "other", "email": "other@gmail.com"}], {"Purpose": GOOD})
    with _queue(browser, desk, path="/queue?q=status:pending+domain:ethz.ch") as page:
        page.keyboard.press("*")
        page.keyboard.press("a")
        expect(page.locator("#bulk")).to_contain_text("6 selected")
        page.keyboard.press("Shift+A")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Accept 6 requests?")
        ends = page.get_by_role("group", name="Access ends")
        expect(ends).to_be_focused()
        expect(ends.get_by_label("no end")).to_be_checked()
        assert find_accessibility_problems(page) == []
        page.keyboard.press("4")
        expect(page.locator("#day")).to_be_focused()
        page.keyboard.type(f"{june:%m%d%Y}")
        expect(ends.get_by_label("at the end of a day")).to_be_checked()
        page.keyboard.press("Enter")
        expect(page.locator("#confirm [data-enter]")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#tray")).to_contain_text("6 decisions will be sent in")
        expect(page.locator("#tray li").first).to_contain_text(f"until {june.day} Jun {june.year}")
        desk.send_due()
    ends_at = datetime(june.year, 7, 1, tzinfo=UTC).timestamp() * 1000
    for number in range(6):
        row = desk.row(f"s{number}")
        assert (row.state.status, row.state.ends_at) == ("accepted", ends_at)
    assert read_status(desk, "other") == "pending"
