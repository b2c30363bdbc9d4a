"""Decisions in a real Chromium, with every key counted: fifteen with five reasons, and keys pressed before a sheet is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from hf_gate.messages.reason_texts import list_ready_texts
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, Desk, open_desk, serve_desk

MODEL = "lumen-labs/lantern-7b-chat"
FIRST, SECOND = (one.text for one in list_ready_texts("reset")[:2])


@dataclass
class Keyboard:
    """Presses keys and counts them; a key with Shift counts as one."""

    page: Page
    pressed: int = 0

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.pressed += 1


@contextmanager
def _queue(browser: Browser, desk: Desk) -> Iterator[Page]:
    with serve_desk(desk) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=url)
        page = context.new_page()
        page.goto(f"/sign-in?t={desk.authenticator.make_link()}")
        expect(page.locator(".row.is-focus")).to_be_visible()
        yield page
        context.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        made.app_state.hold = 600.0
        yield made


def _ask(desk: Desk, texts: list[str]) -> None:
    for n, text in enumerate(texts):
        name = f"p{n:02d}"
        desk.local.add_people([{"username": name}])
        asked_at = f"2026-06-{n + 1:02d}T10:00:00.000Z"
        desk.local.add_requests([{"repo": MODEL, "user": name, "answers": {"Purpose": text}, "asked_at": asked_at}])
    desk.read()


def _sent(desk: Desk) -> dict[str, tuple[str, str | None]]:
    found = {}
    for one in list_waiting_decisions(desk.app_state.workspace.store):
        row = desk.app_state.workspace.store.request(one.request)
        assert row is not None
        found[row.person.identity.username or ""] = (one.verb, one.change.reason)
    return found


def _chip(page: Page) -> None:
    expect(page.locator("#sheet [data-text]:checked")).to_be_focused()


def test_fifteen_decisions_with_five_reasons_are_twenty_keys_and_no_typing(browser: Browser, desk: Desk) -> None:
    thin = range(1, 15, 3)
    _ask(desk, [f"I want number {n} of them, please." if n in thin else f"{GOOD} {n}" for n in range(15)])
    with _queue(browser, desk) as page:
        keys = Keyboard(page)
        for n in range(15):
            expect(page.locator(".row.is-focus .who")).to_have_text(f"p{n:02d}")
            if n in thin:
                keys.press("s")
                _chip(page)
                keys.press("Enter")
            else:
                keys.press("a")
        expect(page.locator("#tray")).to_have_attribute("data-count", "15")
        assert keys.pressed <= 20
    expected = {f"p{n:02d}": ("reset", FIRST) if n in thin else ("accept", None) for n in range(15)}
    assert _sent(desk) == expected


def test_a_text_typed_before_the_sheet_is_there_is_no_row_of_keys(browser: Browser, desk: Desk) -> None:
    _ask(desk, [f"{GOOD} {n}" for n in range(3)])
    with _queue(browser, desk) as page:
        keys = Keyboard(page)
        keys.press("s", *"a car 2?", "Enter", "a")
        expect(page.locator("#tray")).to_have_attribute("data-count", "2")
    assert _sent(desk) == {"p00": ("reset", "a car 2?"), "p01": ("accept", None)}


def test_keys_for_a_sheet_that_does_not_open_decide_no_row(browser: Browser, desk: Desk) -> None:
    _ask(desk, [f"{GOOD} {n}" for n in range(2)])
    with _queue(browser, desk) as page:
        row = desk.row("p00")
        values = {"verb": "reset", "key": row.state.hub_request or "", "version": row.version.token, "silent": "yes"}
        assert desk.visitor().post("/tray", values).status == 303
        desk.send_due()
        waiting: list[Route] = []
        page.route("**/reset*", lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright marks the function
        with page.expect_request("**/reset*"):
            Keyboard(page).press("s", "j", "a", "Enter")  # while the desk has not answered yet
        while not waiting:  # the route is called after the request is seen
            page.wait_for_timeout(10)
        waiting[0].continue_()  # p00 was sent back already: there is nothing to send back
        expect(page.locator("#notice [role=alert]")).to_be_visible()
        expect(page.locator("#sheet")).to_be_hidden()
        assert page.url.endswith("/queue")
    assert _sent(desk) == {}


def test_another_text_is_one_key_more_and_stays_chosen(browser: Browser, desk: Desk) -> None:
    _ask(desk, [f"{GOOD} {n}" for n in range(3)])
    with _queue(browser, desk) as page:
        keys = Keyboard(page)
        keys.press("s", "2", "Enter", "s", "Enter", "s", "Enter")  # faster than the desk answers
        expect(page.locator("#tray")).to_have_attribute("data-count", "3")
        assert keys.pressed == 7
    assert _sent(desk) == {f"p{n:02d}": ("reset", SECOND) for n in range(3)}
