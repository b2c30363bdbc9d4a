"""The preview of the current request beside the queue: what is on its way is cancelled, and it decides as it was shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.kits.browser import open_queue, open_waiting_desk
from tests.kits.desk import GOOD, Desk

NAMES = ("ada", "bob", "cyd", "dan")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
REST_MS = 200


def _preview(desk: Desk, name: str, **headers: str) -> str:
    return desk.visitor().get(f"/requests/n{desk.row(name).id}", hx_request="true", **headers).body


# ---- what it shows -----------------------------------------------------------------------------------------------------


def test_its_texts_are_bounded_and_stay_text(desk: Desk) -> None:
    answers = {f"{HOSTILE} {number}": f"{HOSTILE}{'x' * 19_000}" for number in range(30)}
    desk.ask([{"username": "eve", "fullname": HOSTILE}], {"Purpose": GOOD, **answers})
    shown = _preview(desk, "eve")
    assert len(shown) < 40_000
    assert "has all answers in full" in shown
    assert shown.count("<dd") == 12
    assert not re.search(r"<(script|img)\b", shown)


def test_what_was_decided_stands_first(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    row = desk.row("ada")
    values = {
        "verb": "reject",
        "key": f"n{row.id}",
        "version": row.version.token,
        "reason": "Please ask as your group.",
    }
    assert desk.visitor().post("/tray", values).status == 303
    desk.send_due()
    shown = _preview(desk, "ada")
    assert "Rejected</span> by <b><bdi>you</bdi></b>" in " ".join(shown.split())
    assert shown.index("Please ask as your group.") < shown.index(GOOD)


def test_a_viewer_gets_no_buttons(desk: Desk) -> None:
    desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
    shown = desk.viewer().get(f"/requests/n{desk.row('ada').id}", hx_request="true").body
    assert GOOD in shown
    for text in ("<button", "<form", "data-key"):
        assert text not in shown


def test_a_request_of_another_repo_is_not_there(crowded: Desk) -> None:
    other = next(line for line in crowded.local.repos if line["repo"] != crowded.repo.id)
    mia = crowded.reviewer("mia", str(other["repo"]))
    key = crowded.visitor().get(f"/queue.json?q=repo:{crowded.repo}").json[0]["request_id"]
    assert mia.get(f"/requests/{key}", hx_request="true").status == 404


# ---- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_waiting_desk(tmp_path_factory.mktemp("desk"), NAMES) as made:
        yield made


@pytest.fixture
def page(browser: Browser, busy: Desk) -> Iterator[Page]:
    with open_queue(browser, busy, "ada") as page:
        yield page


def _shows(page: Page, name: str) -> None:
    """The preview shows this person once the focus has rested."""
    page.clock.run_for(REST_MS)
    expect(page.locator("#preview h2")).to_have_text(name)
    expect(page.locator("#preview")).not_to_have_class(re.compile("is-old"))


def _leave_unanswered(_: Route) -> None:
    """The desk never answers this call."""


def test_what_is_on_its_way_is_cancelled_when_the_focus_moves_on(page: Page, busy: Desk) -> None:
    _shows(page, "ada")
    bob, cancelled = busy.row("bob").state.hub_request, []
    page.on("requestfailed", lambda call: cancelled.append(call.url))
    page.route(f"**/requests/{bob}", _leave_unanswered)
    page.keyboard.press("j")
    page.clock.run_for(REST_MS)
    expect(page.locator("#preview")).to_have_class(re.compile("htmx-request"))
    page.keyboard.press("j")
    _shows(page, "cyd")
    assert [url.rpartition("/")[2] for url in cancelled] == [bob]


def test_its_buttons_decide_the_request_that_it_shows(page: Page, busy: Desk) -> None:
    _shows(page, "ada")
    page.locator("#preview").get_by_role("button", name="Accept a", exact=False).first.click()
    expect(page.locator("#tray")).to_contain_text("Accept ada")
    expect(page.locator(".row.is-focus .who")).to_have_text("bob")
    _shows(page, "bob")
    page.locator("#preview").get_by_role("button", name="Send back…").click()
    expect(page.locator("#sheet")).to_contain_text("Send back bob")
    below = page.locator("#sheet").bounding_box()
    row = page.locator(".row.is-focus").bounding_box()
    assert below is not None
    assert row is not None
    assert abs(below["x"] - row["x"]) < 2, "the sheet opens below the row"
    page.keyboard.press("Enter")
    expect(page.locator("#tray")).to_contain_text("Send back bob")
    page.keyboard.press("k")
    _shows(page, "bob")
    page.locator("#preview").get_by_role("button", name="Undo").click()
    expect(page.locator("#tray")).not_to_contain_text("bob")
    _shows(page, "bob")
    expect(page.locator("#preview").get_by_role("button", name="Send back…")).to_be_visible()
    assert busy.count_writes() == 0


def test_a_decision_is_valid_only_for_what_the_preview_showed(page: Page, busy: Desk) -> None:
    _shows(page, "ada")
    busy.app_state.workspace.hub.reject(busy.repo, "ada", reason="No.")
    busy.read()
    page.locator("#preview").get_by_role("button", name="Accept", exact=False).first.click()
    expect(page.locator("#notice")).to_contain_text("Nothing was sent: ada is rejected now.")
