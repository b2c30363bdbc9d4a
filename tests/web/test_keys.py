"""The keys of the queue in a real Chromium: what a key means while rows are ticked, where the cursor goes, and one search."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.kit import GOOD, Room, a_room, served

MODEL = "lumen-labs/lantern-7b-chat"
NAMES = ("ada", "bob", "cyd", "dov", "eli", "fay")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Six people wait, ada the longest; a decision leaves after ten minutes."""
    with a_room(tmp_path_factory.mktemp("desk")) as made:
        made.office.hold = 600.0
        for number, name in enumerate(NAMES, 1):
            made.local.add_people([{"username": name, "email": f"{name}@ethz.ch"}])
            asked = {"repo": MODEL, "user": name, "answers": {"Purpose": GOOD}}
            made.local.add_requests([asked | {"asked_at": f"2026-06-{number:02d}T10:00:00.000Z"}])
        made.read()
        yield made


@pytest.fixture(scope="module")
def signed_in(browser: Browser, room: Room) -> Iterator[Page]:
    with served(room) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=url)
        page = context.new_page()
        page.goto(f"/sign-in?t={room.door.link()}")
        yield page
        context.close()


@pytest.fixture
def page(signed_in: Page, room: Room) -> Page:
    """The queue with nothing ticked and nothing decided."""
    room.office.picks.clear("s_lena-brandt")
    room.office.tray.take_back([one.id for one in room.office.tray.waiting()], 0)
    signed_in.goto("/queue")
    expect(signed_in.locator(".row.is-focus .who")).to_have_text("ada")
    return signed_in


def _press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def _focus(page: Page, name: str) -> None:
    expect(page.locator(".row.is-focus .who")).to_have_text(name)


# ---- what is ticked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "word"), [("a", "Accept"), ("s", "Send back"), ("r", "Reject")])
def test_a_key_on_a_ticked_row_leads_to_what_would_follow_for_all_that_are_ticked(
    page: Page, room: Room, key: str, word: str
) -> None:
    _press(page, "x", "j", "j", "x", key)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{word} 2 requests?")
    assert room.office.tray.waiting() == []


def test_y_carries_out_what_a_key_on_a_ticked_row_asked_for(page: Page, room: Room) -> None:
    _press(page, "x", "j", "x", "a")
    expect(page.get_by_role("heading", level=1)).to_contain_text("2 requests?")
    _press(page, "y")
    expect(page.locator("#tray")).to_contain_text("2 decisions leave in")
    assert {room.office.store.request(one.request).person.identity.username for one in room.office.tray.waiting()} == {  # type: ignore[union-attr]  # it is there
        "ada", "bob"
    }  # fmt: skip


def test_a_key_on_a_row_without_a_tick_decides_that_row_alone_and_says_so(page: Page) -> None:
    for _ in range(4):
        _press(page, "x", "j")
    _focus(page, "eli")
    expect(page.locator("#bulk")).to_contain_text("4 selected")
    _press(page, "s")
    expect(page.locator("#sheet h2")).to_contain_text("eli")
    expect(page.locator("#sheet")).to_contain_text("4 others stay selected")
    _press(page, "Escape", "a")
    expect(page.locator("#tray")).to_contain_text("1 decision leaves in")
    expect(page.locator("#tray")).to_contain_text("eli")
    expect(page.locator("#bulk")).to_contain_text("4 others stay selected")


def test_ticks_that_are_not_on_the_page_do_not_take_a_key(page: Page) -> None:
    _press(page, "x", "j", "x")
    expect(page.locator("#bulk")).to_contain_text("2 selected")
    page.goto("/queue?q=fay")
    expect(page.locator("#bulk")).to_contain_text("2 selected")
    _press(page, "a")
    expect(page.locator("#tray")).to_contain_text("1 decision leaves in")
    expect(page.locator("#tray")).to_contain_text("fay")


def test_a_row_that_alone_is_ticked_is_decided_like_any_other_and_loses_its_tick(page: Page) -> None:
    _press(page, "x", "a")
    expect(page.locator("#tray")).to_contain_text("1 decision leaves in")
    expect(page.locator("#bulk")).to_have_attribute("data-count", "0")


def test_the_button_of_a_ticked_row_decides_that_row_alone(page: Page) -> None:
    _press(page, "x", "j", "x")
    expect(page.locator("#bulk")).to_contain_text("2 selected")
    page.get_by_role("button", name="Accept ada").click()
    expect(page.locator("#tray")).to_contain_text("1 decision leaves in")
    expect(page.locator("#bulk")).to_have_attribute("data-count", "1")
