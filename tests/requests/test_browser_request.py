"""The page of a request in a real Chromium: what was sent is reversed by keys."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.testing import LocalHub
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
