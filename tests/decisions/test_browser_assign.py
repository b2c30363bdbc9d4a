"""The key i in a real Chromium: it asks to whom the row, the ticked rows or the open request should be assigned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.core.people.members import Member, MemberRole
from tests.kits.browser import open_queue, open_waiting_desk
from tests.kits.desk import Desk

NAMES = ("ada", "bob", "cyd")


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_waiting_desk(tmp_path_factory.mktemp("desk"), NAMES) as made:
        for name in ("mia", "kim"):
            made.visitor(Member(name=name, role=MemberRole.REVIEWER))
        yield made


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Iterator[Page]:
    with open_queue(browser, desk, "ada", has_clock=False) as page:
        yield page


def _press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def _assignees(desk: Desk) -> list[str | None]:
    members = {one.id: one.name for one in desk.app_state.workspace.store.members()}
    members[desk.app_state.membership.owner_member.id] = "lena"
    return [members.get(desk.row(name).state.assigned or "") for name in NAMES]


def test_i_and_enter_assign_the_row_to_me_and_a_digit_to_another(page: Page, desk: Desk) -> None:
    _press(page, "i")
    expect(page.locator("#sheet h2")).to_have_text("Assign ada")
    _press(page, "Enter")
    expect(page.locator(".row").first).to_contain_text("assigned to you")
    expect(page.locator(".row.is-focus .who")).to_have_text("bob")
    expect(page.locator("#said")).to_have_text("The request of ada is assigned to you.")
    _press(page, "i", "2", "Enter")  # at once: the sheet is still on its way
    expect(page.locator(".row").nth(1)).to_contain_text("assigned to kim")
    assert _assignees(desk) == ["lena", "kim", None]
    _press(page, "k", "i", "0", "Enter")
    expect(page.locator(".row").nth(1)).not_to_contain_text("assigned")
    assert _assignees(desk) == ["lena", None, None]


def test_i_on_a_ticked_row_assigns_the_selection_and_else_that_row_alone(page: Page, desk: Desk) -> None:
    _press(page, "x", "j", "x", "j", "i")
    expect(page.locator("#sheet h2")).to_have_text("Assign cyd")
    expect(page.locator("#sheet")).to_contain_text("2 others stay selected")
    _press(page, "Escape", "k", "i")
    expect(page.locator("#sheet h2")).to_have_text("Assign 2 selected requests")
    _press(page, "3", "Enter")
    expect(page.locator(".row").nth(1)).to_contain_text("assigned to mia")
    assert _assignees(desk) == ["mia", "mia", None]
    expect(page.locator("#bulk")).to_have_attribute("data-count", "0")


def test_the_button_of_the_bar_asks_to_whom_the_selection_should_be_assigned(page: Page, desk: Desk) -> None:
    for row in (0, 2):
        page.locator("#rows [data-pick]").nth(row).check()
    page.get_by_role("button", name="Assign…").click()
    expect(page.locator("#sheet h2")).to_have_text("Assign 2 selected requests")
    page.get_by_label("mia").check()
    page.locator("#sheet").get_by_role("button", name="Assign").click()
    expect(page.locator(".row").nth(2)).to_contain_text("assigned to mia")
    assert _assignees(desk) == ["mia", None, "mia"]


def test_a_row_that_alone_is_ticked_is_assigned_and_loses_its_tick(page: Page, desk: Desk) -> None:
    _press(page, "x", "i", "Enter")
    expect(page.locator(".row").first).to_contain_text("assigned to you")
    expect(page.locator("#bulk")).to_have_attribute("data-count", "0")
    assert _assignees(desk) == ["lena", None, None]


def test_the_last_of_two_assignments_wins(page: Page, desk: Desk) -> None:
    _press(page, "i")
    expect(page.locator("#sheet h2")).to_have_text("Assign ada")
    key = desk.row("ada").state.hub_request
    kim = desk.visitor(Member(name="kim", role=MemberRole.REVIEWER))
    assert kim.post(f"/requests/{key}/assign", {"to": "kim"}).status == 303
    _press(page, "Enter")
    expect(page.locator(".row").first).to_contain_text("assigned to you")
    assert _assignees(desk) == ["lena", None, None]


def test_i_assigns_on_the_page_of_a_request(page: Page, desk: Desk) -> None:
    _press(page, "o")
    expect(page.get_by_role("heading", level=1)).to_contain_text("ada")
    page.wait_for_load_state()
    _press(page, "i")
    expect(page.locator("#sheet h2")).to_have_text("Assign ada")
    _press(page, "2", "Enter")
    expect(page.locator("#decide")).to_contain_text("Assigned to kim")
    page.wait_for_load_state()  # the page is a new one; its scripts hear keys once they are loaded
    _press(page, "i")
    expect(page.locator("#sheet")).to_contain_text("kim assigned now")
    _press(page, "Escape")
    assert _assignees(desk) == ["kim", None, None]


def test_what_cannot_be_assigned_says_so(page: Page, desk: Desk) -> None:
    _press(page, "a")
    expect(page.locator("#tray")).to_contain_text("1 decision will be sent in")
    _press(page, "k", "i")
    expect(page.locator("#said")).to_have_text("That cannot be assigned here.")
    page.goto("/queue?by=person")
    expect(page.locator(".row.is-focus")).to_have_count(1)
    _press(page, "i")
    expect(page.locator("#said")).to_have_text("That cannot be assigned here.")
    assert _assignees(desk) == [None, None, None]


def test_a_desk_of_one_person_assigns_nothing(page: Page, desk: Desk) -> None:
    for name in ("mia", "kim"):
        desk.revoke(name)
    page.reload()
    _press(page, "i")
    expect(page.locator("#said")).to_have_text("That cannot be assigned here.")
    expect(page.locator(".keys")).not_to_contain_text("assign")
