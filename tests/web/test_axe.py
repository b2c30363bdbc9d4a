"""No page of the desk keeps anybody out: axe finds nothing, light and dark, wide and narrow; nothing scrolls sideways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships none
from playwright.sync_api import Browser, Page, StorageState, expect

from hf_gate.testing import LocalHub
from tests.web.kit import Program, a_program, write_desk

pytestmark = pytest.mark.slow
PAGES = (
    "/queue", "/queue?q=status:pending+colour:red", "/queue?q=nobody-at-all", "/requests/KEY", "/requests/KEY?verb=reset",
    "/requests/KEY?verb=reject", "/keys", "/settings", "/tray", "/nothing",
)  # fmt: skip
TEMPLATES = "templates: {say-more: 'Please say what you will use it for, then ask again.'}\n"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("desk")
    with LocalHub(requests=120, repos=2) as local:
        write_desk(folder, local, more=TEMPLATES)
        with a_program(folder, local, "600s") as program:
            yield program


@pytest.fixture(scope="module")
def session(browser: Browser, desk: Program) -> StorageState:
    """Who signs in once is in for all pages of this module."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(desk.login_url)
    expect(page.locator("#rows > .row").first).to_be_visible(timeout=60_000)
    state = context.storage_state()
    context.close()
    return state


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(
    browser: Browser, desk: Program, session: StorageState, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, storage_state=session)
    page = context.new_page()
    found = []
    page.goto(f"{desk.url}/queue")
    key = page.locator("#rows > .row").nth(2).get_attribute("data-request-id") or ""
    for path in (*PAGES, "the sheet", "what follows"):
        _go(page, desk.url, path, key)
        found += [(path, one["id"], one["nodes"][0]["html"][:200]) for one in Axe().run(page).response["violations"]]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()
    assert found == []


def _go(page: Page, url: str, path: str, key: str) -> None:
    if path == "the sheet":
        page.goto(f"{url}/queue")
        page.locator("#rows > .row").nth(1).locator("[data-do=reject]").click()
        expect(page.locator("#sheet [data-enter]")).to_be_visible()
    elif path == "what follows":
        page.goto(f"{url}/queue")
        page.locator("#rows > .row").nth(1).locator("[data-pick]").check()
        page.locator("#bulk").get_by_role("button", name="Reject").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("?")
    else:
        page.goto(url + path.replace("KEY", key))
