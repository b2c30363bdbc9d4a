"""The page of a request in a real Chromium: until a day by keys, reversed by keys, what is like it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.testing import LocalHub
from tests.kits.accessibility import find_accessibility_problems
from tests.kits.desk import GOOD, DeskProgram, origin_of, run_desk_program, write_desk
from tests.kits.program_server import program_words

MODEL = "lumen-labs/lantern-7b-chat"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskProgram]:
    folder = tmp_path_factory.mktemp("desk")
    names = ("ada", "bob", "cyd")
    with LocalHub(requests=0, repos=1) as local:
        local.add_people([{"username": name, "email": f"{name}@ethz.ch"} for name in names])
        day = "2026-06-{:02d}T10:00:00.000Z"
        local.add_requests(
            [
                {"repo": MODEL, "user": name, "answers": {"Purpose": GOOD, "Name": name}, "asked_at": day.format(n)}
                for n, name in enumerate(names, 1)
            ]
        )
        write_desk(folder, local)
        _sync(folder, local)
        with run_desk_program(folder, local, "600s") as program:
            yield program


def _sync(folder: Path, local: LocalHub) -> None:
    env = os.environ | {"HF_ENDPOINT": local.url, "HF_TOKEN": local.tokens["owner"]}
    subprocess.run([*program_words(), "sync"], cwd=folder, env=env, check=True, capture_output=True)


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        yield context.new_page()
    finally:
        context.close()


@pytest.fixture(scope="module")
def page(browser: Browser, desk: DeskProgram) -> Iterator[Page]:
    with _page(browser) as made:
        made.goto(desk.login_url)
        expect(made.locator("#rows > .row")).to_have_count(3)
        yield made


def _css(page: Page, selector: str, name: str) -> str:
    return str(page.locator(selector).first.evaluate("(one, name) => getComputedStyle(one)[name]", name))


def test_the_purpose_is_large_and_other_answers_stand_in_two_columns_if_there_is_room(page: Page) -> None:
    page.goto(f"{origin_of(page)}/queue")
    page.locator("#rows > .row", has_text="ada").locator("a[href^='/requests/']").first.click()
    page.wait_for_load_state()
    purpose = ".answers .is-purpose"
    assert (_css(page, purpose, "fontSize"), _css(page, purpose, "lineHeight")) == ("16px", "24px")
    assert len(_css(page, ".answers.in-two", "gridTemplateColumns").split()) == 2
    page.set_viewport_size({"width": 360, "height": 800})
    assert len(_css(page, ".answers.in-two", "gridTemplateColumns").split()) == 1
    page.set_viewport_size({"width": 1280, "height": 900})


def test_an_acceptance_until_a_day_is_three_keys(page: Page) -> None:
    page.goto(f"{origin_of(page)}/queue")
    expect(page.locator(".row.is-focus")).to_contain_text("ada")
    page.keyboard.press("Shift+A")
    expect(page.locator("#sheet [data-enter]")).to_be_focused()
    page.keyboard.press("2")
    expect(page.locator("#sheet [value='90d']")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#tray")).to_contain_text("ada until")
    expect(page.locator("#said")).to_contain_text("Accepted ada until")
    expect(page.locator(".row.is-focus")).to_contain_text("bob")
    page.keyboard.press("z")
    expect(page.locator("#tray .tray")).to_have_count(0)


def test_what_was_sent_is_reversed_by_keys(page: Page) -> None:
    page.goto(f"{origin_of(page)}/queue?q=bob")
    page.keyboard.press("a")
    expect(page.locator("#tray")).to_contain_text("bob")
    page.get_by_role("button", name="Send now").click()
    expect(page.locator(".row", has_text="bob").locator(".c-say")).to_contain_text("accepted", timeout=20_000)
    page.goto(f"{origin_of(page)}/queue?q=status:accepted")
    page.keyboard.press("o")
    expect(page.locator("#decide")).to_be_visible()
    page.keyboard.press("z")
    expect(page.locator("#sheet")).to_contain_text("stay downloaded")
    expect(page.locator("#sheet [data-enter]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#tray")).to_contain_text("Return to pending bob")
    page.get_by_role("button", name="Undo all").click()
    expect(page.locator("#tray")).to_have_attribute("data-count", "0")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_answers_stand_before_why_and_the_buttons_stay_in_reach(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    try:
        page.goto(f"{origin_of(page)}/queue?q=ada")
        page.locator(".row .who").first.click()
        tops = [page.locator(part).first.bounding_box() for part in ("h1", ".is-purpose", "#why", "#notes", "#h-h")]
        places = [box["y"] for box in tops if box is not None]
        assert len(places) == 5
        assert places == sorted(places)
        accept = page.locator("#decide .btn-accept").bounding_box()
        assert accept is not None
        assert accept["y"] + accept["height"] <= 900, "a decision needs no scrolling"
        page.evaluate("document.querySelectorAll('main details').forEach((one) => (one.open = true))")
        expect(page.locator("#why .tree")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert find_accessibility_problems(page) == []
    finally:
        page.set_viewport_size({"width": 1280, "height": 900})
