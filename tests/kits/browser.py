"""Pages of the desk in Chromium, watched for scripts that run and requests that are blocked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from hf_gate.testing import LocalHub
from tests.kits.desk import Desk, open_desk, serve_desk

MODEL = "lumen-labs/lantern-7b-chat"
WATCH = """
window.ran = []; window.blocked = [];
for (const name of ["alert", "confirm", "prompt"]) window[name] = (text) => { window.ran.push(String(text)); };
document.addEventListener("securitypolicyviolation", (event) => window.blocked.push(event.violatedDirective + " " + event.blockedURI));
"""


def request_on_days(local: LocalHub, names: list[str], **answers: str) -> None:
    """People of ethz.ch ask for a model, each on another day of June."""
    local.add_people([{"username": name, "email": f"{name}@ethz.ch"} for name in names])
    day = "2026-06-{:02d}T10:00:00.000Z"
    lines = [
        {"repo": MODEL, "user": name, "answers": answers, "asked_at": day.format(1 + n % 27)}
        for n, name in enumerate(names)
    ]
    local.add_requests(lines)


def read_moves(local: LocalHub) -> dict[str, str]:
    """Return the new status of each person whom the desk decided; nobody is decided twice."""
    moved = [(line["user"], line["to"]) for line in local.journal() if line["route"] in {"handle", "batch"}]
    assert len(moved) == len(dict(moved))
    return dict(moved)


@contextmanager
def open_page(browser: Browser, desk: Desk, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(f"{url}/sign-in?t={desk.authenticator.make_link()}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Queue")
    yield page
    page.wait_for_function("window.blocked.length === 0")  # also while the page of an ended run loads again
    context.close()


# ---- the queue of a few people ---------------------------------------------------------------------------------------


@contextmanager
def open_waiting_desk(folder: Path, names: tuple[str, ...]) -> Iterator[Desk]:
    """These people wait, the first of them the longest. What is decided is not sent for ten minutes."""
    with open_desk(folder) as desk:
        desk.app_state.hold = 600.0
        desk.ask_in_turn(MODEL, names)
        desk.read()
        yield desk


@contextmanager
def open_queue(browser: Browser, desk: Desk, first: str, *, has_clock: bool = True) -> Iterator[Page]:
    """The owner's queue with the focus on its first row; with `has_clock`, the test moves the time of the page."""
    with serve_desk(desk) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=url)
        page = context.new_page()
        page.add_init_script(WATCH)
        if has_clock:
            page.clock.install()
        page.goto(f"/sign-in?t={desk.authenticator.make_link()}")
        expect(page.locator(".row.is-focus .who")).to_have_text(first)
        yield page
        assert page.evaluate("window.blocked") == []
        context.close()
