"""What the desk announces in a real Chromium: shown at the bottom of the window, for a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.members.sessions import SignInMethod
from tests.kits.desk import Desk, open_desk, serve_desk

MODEL = "lumen-labs/lantern-7b-chat"
LATE_UNDO = "Nothing to undo: it was sent already. To reverse it, open Unsent (g t)."


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Three people wait, ada the longest; nobody but lena can decide."""
    with open_desk(tmp_path_factory.mktemp("desk")) as made:
        made.app_state.hold = 600.0
        made.ask_in_turn(MODEL, ("ada", "bob", "cyd"))
        made.read()
        yield made


@pytest.fixture(scope="module")
def url(desk: Desk) -> Iterator[str]:
    with serve_desk(desk) as address:
        yield address


def _open_queue(browser: Browser, url: str, link: str, width: int = 1280) -> Page:
    page = browser.new_context(viewport={"width": width, "height": 800}, base_url=url).new_page()
    page.clock.install()
    page.goto(f"/sign-in?t={link}")
    if page.get_by_role("button", name="Sign in").count():
        page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".row.is-focus")).to_have_count(1)
    return page


@pytest.fixture
def page(browser: Browser, desk: Desk, url: str) -> Iterator[Page]:
    page = _open_queue(browser, url, desk.authenticator.make_link())
    yield page
    page.context.close()


def _is_covered(part: Locator) -> bool:
    """Whether another element is over the middle of an element."""
    covers = "part => { const {x, y, width, height} = part.getBoundingClientRect();"
    covers += " const top = document.elementFromPoint(x + width / 2, y + height / 2);"
    return bool(part.evaluate(covers + " return top !== part && !part.contains(top); }"))


def _is_shown(page: Page, text: str) -> None:
    expect(page.locator("#said")).to_have_text(text)
    expect(page.locator("#said")).to_be_in_viewport(ratio=1)
    assert not _is_covered(page.locator("#said"))


def _is_hidden(page: Page) -> None:
    expect(page.locator("#said")).to_be_empty()
    assert not page.locator("#said").evaluate("said => said.matches(':popover-open')")
    assert page.locator("#said").evaluate("said => getComputedStyle(said).display") == "block"  # still a live region


def test_it_covers_no_key_and_escape_closes_it(page: Page) -> None:
    page.keyboard.press("z")
    _is_shown(page, LATE_UNDO)
    lower = page.locator("#said").bounding_box()
    keys = page.locator(".keys").bounding_box()
    assert lower is not None
    assert keys is not None
    assert lower["y"] + lower["height"] <= keys["y"]
    page.keyboard.press("Escape")
    _is_hidden(page)
    expect(page.locator(".row.is-focus .who")).to_be_focused()


def test_it_stays_while_it_is_pointed_at_or_has_the_focus(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.keyboard.press("z")
    assert page.locator("#said").evaluate("said => getComputedStyle(said).animationName") == "none"
    page.locator("#said").hover()
    page.clock.run_for(20_000)
    _is_shown(page, LATE_UNDO)
    page.locator("#said").focus()
    page.mouse.move(5, 5)
    page.clock.run_for(20_000)
    _is_shown(page, LATE_UNDO)
    page.keyboard.press("Escape")
    _is_hidden(page)
    expect(page.locator(".row.is-focus .who")).to_be_focused()


def test_the_key_of_a_decision_is_answered_for_a_viewer(browser: Browser, desk: Desk, url: str) -> None:
    vic = desk.add_member(Member(name="vic", role=MemberRole.VIEWER))
    page = _open_queue(browser, url, desk.authenticator.make_link_of(vic, SignInMethod.HUB, 60.0))
    page.keyboard.press("a")
    _is_shown(page, "That cannot be decided here.")
    expect(page.locator(".keys")).to_contain_text("move")
    for word in ("accept", "send back", "reject", "select", "undo"):
        expect(page.locator(".keys")).not_to_contain_text(word)
    page.context.close()


def test_it_is_seen_above_an_open_sheet_but_not_on_its_buttons(browser: Browser, desk: Desk, url: str) -> None:
    page = _open_queue(browser, url, desk.authenticator.make_link(), 390)
    page.keyboard.press("s")
    expect(page.locator("#sheet [data-enter]")).to_be_visible()
    page.locator("#reason").fill("")
    page.locator("#sheet [data-enter]").click()
    expect(page.locator("#said")).to_have_text("Write a reason, choose a text, or press Send no reason.")
    expect(page.locator("#said")).to_be_in_viewport(ratio=1)
    assert page.locator("#said").evaluate("said => said.matches(':popover-open')")  # in the layer above the sheet
    button = page.locator("#sheet [data-enter]").bounding_box()
    said = page.locator("#said").bounding_box()
    assert button is not None
    assert said is not None
    assert button["y"] + button["height"] <= said["y"] or said["y"] + said["height"] <= button["y"]
    page.context.close()
