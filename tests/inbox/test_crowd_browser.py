"""By person in a real Chromium: reached by G, decided by keys alone, and the next person has the focus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.testing import LocalHub
from tests.kits.accessibility import find_accessibility_problems
from tests.kits.desk import GOOD, DeskProgram, origin_of, run_desk_program, write_desk

pytestmark = pytest.mark.slow
NAMES = ("ada", "bob", "cyd", "dov")


@pytest.fixture
def local() -> Iterator[LocalHub]:
    """Four people ask at three repos each, one after the other."""
    with LocalHub(requests=0, repos=3) as hub:
        hub.add_people([{"username": name, "email": f"{name}@ethz.ch"} for name in NAMES])
        lines = [
            {"repo": line["repo"], "repo_type": line["repo_type"], "user": name, "answers": {"Purpose": GOOD},
             "asked_at": f"2026-06-{1 + number:02d}T1{place}:00:00.000Z"}
            for number, name in enumerate(NAMES) for place, line in enumerate(hub.repos) if line["gated"] == "manual"
        ]  # fmt: skip
        hub.add_requests(lines)
        yield hub


@pytest.fixture
def desk(local: LocalHub, tmp_path: Path) -> Iterator[DeskProgram]:
    write_desk(tmp_path, local)
    with run_desk_program(tmp_path, local, "1s") as program:
        yield program


def _queue(page: Page, program: DeskProgram) -> None:
    page.goto(program.login_url)
    expect(page.locator("#rows > .row").first).to_be_visible(timeout=60_000)
    page.wait_for_function(
        """async () => { while (true) {
          const rows = await (await fetch("/queue.json?q=verdict:accept")).json();
          if (rows.length >= 8) return true;
          await new Promise((done) => setTimeout(done, 200));
        } }""",
        timeout=60_000,
    )
    page.goto(f"{origin_of(page)}/queue")


def _expect_focus(page: Page, name: str) -> None:
    expect(page.locator(".row.is-focus .who")).to_contain_text(name)


def test_one_person_after_the_other_is_decided_by_keys_alone(
    browser: Browser, desk: DeskProgram, local: LocalHub
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    _queue(page, desk)
    page.keyboard.press("G")
    expect(page.locator("#rows > .row")).to_have_count(len(NAMES))
    _expect_focus(page, "ada")
    repos = page.locator(".row.is-focus [name=pick]").count()
    assert repos >= 2
    page.keyboard.press("a")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"{repos} requests?")
    page.wait_for_load_state()  # the heading is there before the keys are
    page.keyboard.press("y")
    expect(page.locator("#rows [name=pick]").first).to_be_visible()  # back by person
    _expect_focus(page, "ada")
    page.keyboard.press("j")
    _expect_focus(page, "bob")
    for _ in range(2 * repos):  # from the name over each tick and its link, to the last link
        page.keyboard.press("ArrowRight")
        if page.evaluate("document.activeElement.matches('.at > li + li input')"):
            page.keyboard.press("Space")
    expect(page.locator(".row.is-focus [name=pick]:checked")).to_have_count(1)
    page.keyboard.press("a")  # one is ticked: into the tray, and back to the same row
    expect(page.locator("#tray")).to_contain_text(f"{repos + 1} decisions")
    _expect_focus(page, "bob")
    page.keyboard.press("x")
    expect(page.locator(".row.is-focus [name=pick]:checked")).to_have_count(0)
    page.locator("#tray").get_by_role("button", name="Send now").click()
    expect(page.locator("#tray")).to_contain_text(" sent", timeout=20_000)
    expect(page.get_by_text("sent or undone")).to_have_count(repos + 1)
    page.keyboard.press("G")
    expect(page.locator("#rows > .row [data-pick]").first).to_be_visible()
    context.close()
    moved = sorted((line["user"], line["to"]) for line in local.journal() if line["route"] in {"handle", "batch"})
    assert moved == [*[("ada", "accepted")] * repos, ("bob", "accepted")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(browser: Browser, desk: DeskProgram, width: int, scheme: Literal["light", "dark"]) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    _queue(page, desk)
    page.goto(f"{origin_of(page)}/queue?q=status:pending&by=person")
    person = page.locator("#rows > .row .who").first.get_attribute("href")
    found = []
    for path in (
        "/queue?q=status:pending&by=person",
        "/queue?q=status:accepted",
        "/people",
        "/people?q=nobody",
        person,
    ):
        page.goto(f"{desk.url}{path}")
        found += [(path, one["id"], one["nodes"][0]["html"][:200]) for one in find_accessibility_problems(page)]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()
    assert found == []
