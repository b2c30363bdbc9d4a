"""The desk in a real Chromium: triage by keys, undo, and hostile text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.testing import LocalHub
from tests.kits.browser import MODEL, WATCH, read_moves, request_on_days
from tests.kits.desk import GOOD, origin_of, run_desk_program, write_desk
from tests.kits.hostile_texts import HOSTILE_ANSWERS


@pytest.fixture
def local() -> Iterator[LocalHub]:
    with LocalHub(requests=0, repos=1) as hub:
        yield hub


@contextmanager
def _page(browser: Browser, url: str) -> Iterator[Page]:
    """A browser of somebody's own, signed in by a link; the page of a member's link asks first."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(url)
        confirm = page.locator("form:has(input[name=link]) button")
        if confirm.count():
            confirm.first.click()
            page.wait_for_url("**/queue*")
        yield page
    finally:
        context.close()


def _wait_for(page: Page, query: str, count: int) -> None:
    """Return when so many requests match the query."""
    page.wait_for_function(
        """async ([path, n]) => { while (true) {
          const rows = await (await fetch(path)).json();
          if (rows.length === n) return true;
          await new Promise((done) => setTimeout(done, 200));
        } }""",
        arg=[f"{origin_of(page)}/queue.json?q={query}", count],
        timeout=60_000,
    )


def _rows(page: Page, count: int) -> None:
    """The queue, once the Hub was read and so many wait."""
    _wait_for(page, "status:pending", count)
    page.goto(f"{origin_of(page)}/queue")
    expect(page.locator("#rows > .row")).to_have_count(min(count, 50))


def test_twenty_requests_are_decided_by_keys_alone(browser: Browser, local: LocalHub, tmp_path: Path) -> None:
    names = [f"person-{n:02d}" for n in range(20)]
    poor = names[3::5]
    for name in names:
        request_on_days(local, [name], Purpose="test" if name in poor else GOOD)
    write_desk(tmp_path, local)
    with run_desk_program(tmp_path, local, "1s") as program, _page(browser, program.login_url) as page:
        _wait_for(page, "verdict:reset", len(poor))
        _rows(page, 20)
        pressed = 0
        for _ in names:
            row = page.locator(".row.is-focus")
            keys = ("s", "Enter") if "send back:" in row.inner_text().lower() else ("a",)
            for key in keys:
                page.keyboard.press(key)
                pressed += 1
                if key == "s":
                    expect(page.locator("#sheet [data-text]:checked")).to_be_focused()
            expect(page.locator("#rows > .row:is(.is-leaving, .is-gone)").first).to_be_visible()
        assert pressed <= 24
        expect(page.locator("#tray")).to_have_attribute("data-count", "0", timeout=20_000)
        expect(page.locator(".is-leaving")).to_have_count(0)
        assert page.evaluate("window.blocked") == []
        assert read_moves(local) == {name: "reset" if name in poor else "accepted" for name in names}
        assert program.end() == 0


def test_what_people_write_stays_text(browser: Browser, local: LocalHub, tmp_path: Path) -> None:
    write_desk(tmp_path, local)
    names = [f"eve-{n:03d}" for n in range(len(HOSTILE_ANSWERS))]
    local.add_people(
        [{"username": name, "fullname": text[:100]} for name, text in zip(names, HOSTILE_ANSWERS, strict=True)]
    )
    local.add_requests(
        [{"repo": MODEL, "user": name, "answers": {"Affiliation": text, "Purpose": text, text[:60]: text}}
         for name, text in zip(names, HOSTILE_ANSWERS, strict=True)]
    )  # fmt: skip
    with run_desk_program(tmp_path, local, "600s") as program, _page(browser, program.login_url) as page:
        page.set_viewport_size({"width": 1100, "height": 800})  # with a preview, the rules would open there
        # Before its first verdict, a request has no rules to show.
        _wait_for(page, "rule:say-more,academic,rest", len(names))
        _rows(page, len(names))
        foreign = "#rows :is(script, img, svg, iframe, object, embed, form, style, link, base, meta, video, math)"
        keys = page.eval_on_selector_all("#rows > .row", "rows => rows.map(row => row.dataset.requestId)")
        assert len(set(keys)) == len(names)  # all are on this page
        assert page.locator(foreign).count() == 0
        page.keyboard.press("e")
        page.locator(".why-row summary", has_text="Show all rules").click()
        expect(page.locator(".why-row .tree")).to_be_visible()
        page.keyboard.press("s")
        expect(page.locator("#sheet")).to_be_visible()
        assert (page.evaluate("window.ran"), page.evaluate("window.blocked")) == ([], [])
        for key in keys[:12]:
            page.goto(f"{origin_of(page)}/requests/{key}")
            texts = page.eval_on_selector_all(".answers dd bdi", "all => all.map(one => one.textContent)")
            assert texts
            assert page.locator(".flow :is(script, img, svg, iframe, object, style, base)").count() == 0
            assert (page.evaluate("window.ran"), page.evaluate("window.blocked")) == ([], [])


def test_no_key_is_lost_however_fast_they_come(browser: Browser, local: LocalHub, tmp_path: Path) -> None:
    write_desk(tmp_path, local)
    request_on_days(local, [f"person-{n:02d}" for n in range(25)], Purpose=GOOD)
    with run_desk_program(tmp_path, local, "600s") as program, _page(browser, program.login_url) as page:
        _rows(page, 25)
        for _ in range(20):
            page.keyboard.press("a")
        expect(page.locator("#tray")).to_contain_text("20 decisions, the first will be sent in")
        for _ in range(5):
            page.keyboard.press("z")
        expect(page.locator("#tray")).to_contain_text("15 decisions, the first will be sent in")
        expect(page.locator(".is-leaving")).to_have_count(15)
