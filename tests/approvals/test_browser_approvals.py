"""Two approvals in a real Chromium: one person presses and writes a note, the other reads it and presses too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.core.people.members import Member, MemberRole
from tests.kits.accessibility import find_accessibility_problems
from tests.kits.desk import GOOD, Desk, Visitor, open_desk, serve_desk
from tests.kits.desk_actions import TWO_REVIEWERS, read_status


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, TWO_REVIEWERS) as made:
        made.ask([{"username": "ada", "email": "ada@eth.ch"}], {"Purpose": GOOD})
        yield made


def page_of(browser: Browser, visitor: Visitor, url: str) -> Page:
    context = browser.new_context(base_url=url, reduced_motion="reduce")
    context.add_cookies([{"name": name, "value": value, "url": url} for name, value in visitor.cookies.items()])
    return context.new_page()


def assert_no_axe_violations(page: Page) -> None:
    expect(page.locator(".is-old")).to_have_count(0)  # a preview is half visible while the next one loads
    found = find_accessibility_problems(page)
    assert [one["id"] for one in found] == []


def test_two_people_approve_and_each_sees_what_is_missing(desk: Desk, browser: Browser) -> None:
    lena, mia = desk.visitor(), desk.visitor(Member(name="mia", role=MemberRole.REVIEWER))
    address = f"/requests/{desk.row('ada').state.hub_request}"
    with serve_desk(desk) as url:
        first = page_of(browser, mia, url)
        first.goto(address)
        expect(first.get_by_text("0 of 2 approvals")).to_be_visible()
        first.get_by_label("Note with your approval").fill("Agreement checked.")
        first.get_by_role("button", name="Approve (1 of 2)").click()
        first.wait_for_url(re.compile("/queue|/requests"))
        desk.send_due()
        first.goto(address)
        expect(first.get_by_text("You approved this. Another person must approve it too.")).to_be_visible()
        assert_no_axe_violations(first)
        first.goto("/queue")
        first.keyboard.press("j")
        expect(first.locator("#accept-key")).to_have_text(re.compile(r"^\s*approved by you\s*a?\s*$"))
        first.keyboard.press("a")
        expect(first.locator("#said")).to_have_text("You approved this. Another person must approve it too.")
        expect(first.locator("#rows .is-leaving")).to_have_count(0)
        assert_no_axe_violations(first)
        second = page_of(browser, lena, url)
        second.goto("/queue")
        second.keyboard.press("j")
        expect(second.locator("#accept-key")).to_contain_text("approve (2 of 2)")
        expect(second.get_by_text(re.compile(r"1 of 2:\s+mia, .* ago, Agreement checked\."))).to_be_visible()
        assert_no_axe_violations(second)
        second.goto(address)
        second.get_by_role("button", name="Approve (2 of 2)").click()
        second.wait_for_url(re.compile("/queue|/requests"))
        desk.send_due()
    assert read_status(desk) == "accepted"
