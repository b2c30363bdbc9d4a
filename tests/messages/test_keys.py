"""The keys of the queue in a real Chromium: what a key means while rows are ticked, and where the cursor goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.messages.reason_texts import list_ready_texts
from hf_gate.requests.rows.selections import delete_selection
from hf_gate.store.rows.tray import find_latest_decisions, list_waiting_decisions, undo_waiting_decisions
from tests.kits.desk import GOOD, Desk, open_desk, serve_desk

MODEL = "lumen-labs/lantern-7b-chat"
NAMES = ("ada", "bob", "cyd", "dov", "eli", "fay")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Six people wait, ada the longest, and gus is in; a decision leaves after ten minutes."""
    with open_desk(tmp_path_factory.mktemp("desk")) as made:
        made.app_state.hold = 600.0
        made.ask_in_turn(MODEL, NAMES)
        made.ask([{"username": "gus", "email": "gus@ethz.ch"}], {"Purpose": GOOD})
        made.app_state.workspace.hub.accept(made.repo, "gus")
        made.read()
        yield made


@pytest.fixture(scope="module")
def signed_in(browser: Browser, desk: Desk) -> Iterator[Page]:
    with serve_desk(desk) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=url)
        page = context.new_page()
        page.goto(f"/sign-in?t={desk.authenticator.make_link()}")
        yield page
        context.close()


@pytest.fixture
def page(signed_in: Page, desk: Desk) -> Page:
    """The queue with nothing ticked and nothing decided."""
    delete_selection(desk.app_state.workspace.store, f"s_{desk.app_state.membership.owner_member.id}")
    undo_waiting_decisions(
        desk.app_state.workspace.store, [one.run.id for one in list_waiting_decisions(desk.app_state.workspace.store)]
    )
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
    page: Page, desk: Desk, key: str, word: str
) -> None:
    _press(page, "x", "j", "j", "x", key)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{word} 2 requests?")
    assert list_waiting_decisions(desk.app_state.workspace.store) == []


def test_y_carries_out_what_a_key_on_a_ticked_row_asked_for(page: Page, desk: Desk) -> None:
    _press(page, "x", "j", "x", "a")
    expect(page.get_by_role("heading", level=1)).to_contain_text("2 requests?")
    page.wait_for_load_state()  # the heading is there before the keys are
    _press(page, "y")
    expect(page.locator("#tray")).to_contain_text("2 decisions will be sent in")
    assert {desk.app_state.workspace.store.request(one.request).person.identity.username for one in list_waiting_decisions(desk.app_state.workspace.store)} == {  # type: ignore[union-attr]  # it is there
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
    expect(page.locator("#tray")).to_contain_text("1 decision will be sent in")
    expect(page.locator("#tray")).to_contain_text("eli")
    expect(page.locator("#bulk")).to_contain_text("4 others stay selected")


def test_ticks_that_are_not_on_the_page_do_not_take_a_key(page: Page) -> None:
    _press(page, "x", "j", "x")
    expect(page.locator("#bulk")).to_contain_text("2 selected")
    page.goto("/queue?q=fay")
    expect(page.locator("#bulk")).to_contain_text("2 selected")
    _press(page, "a")
    expect(page.locator("#tray")).to_contain_text("1 decision will be sent in")
    expect(page.locator("#tray")).to_contain_text("fay")


def test_a_row_that_alone_is_ticked_is_decided_like_any_other_and_loses_its_tick(page: Page) -> None:
    _press(page, "x", "a")
    expect(page.locator("#tray")).to_contain_text("1 decision will be sent in")
    expect(page.locator("#bulk")).to_have_attribute("data-count", "0")


# ---- the sheet of a reason -----------------------------------------------------------------------------------------------


def _sheet(page: Page, key: str = "s") -> None:
    _press(page, key)
    expect(page.locator("#sheet h2")).to_contain_text("ada")
    expect(page.locator("#sheet [data-text]:checked")).to_be_focused()


def _reasons(desk: Desk) -> list[str | None]:
    return [one.change.reason for one in list_waiting_decisions(desk.app_state.workspace.store)]


def test_enter_on_a_chip_sends_its_text_and_a_digit_picks_another(page: Page, desk: Desk) -> None:
    texts = [one.text for one in list_ready_texts("reset")]
    _sheet(page)
    expect(page.locator("#reason")).to_have_value(texts[0])
    _press(page, "Enter")
    _focus(page, "bob")
    _press(page, "s")
    expect(page.locator("#sheet h2")).to_contain_text("bob")
    expect(page.locator("#sheet [data-text]:checked")).to_be_focused()
    _press(page, "3")
    expect(page.locator("#sheet .reads")).to_contain_text(texts[2])
    expect(page.locator("#sheet [data-text]:checked")).to_be_focused()
    _press(page, "Enter")
    expect(page.locator("#tray")).to_contain_text("bob")
    assert _reasons(desk) == [texts[0], texts[2]]


def test_an_emptied_text_is_not_sent_but_none_is_when_that_is_meant(page: Page, desk: Desk) -> None:
    _sheet(page, "r")
    page.locator("#reason").fill("")
    _press(page, "Enter")
    expect(page.locator("#said")).to_contain_text("Write a reason")
    expect(page.locator("#sheet")).to_be_visible()
    page.get_by_role("button", name="Send no reason").click()
    expect(page.locator("#tray")).to_contain_text("ada")
    assert _reasons(desk) == [None]


def test_enter_in_the_reason_sends_it_and_shift_enter_breaks_the_line(page: Page, desk: Desk) -> None:
    _sheet(page)
    page.keyboard.type("Please say more.")
    _press(page, "Shift+Enter")
    page.keyboard.type("Thank you.")
    _press(page, "Enter")
    expect(page.locator("#tray")).to_contain_text("1 decision will be sent in")
    assert [one.change.reason for one in list_waiting_decisions(desk.app_state.workspace.store)] == [
        "Please say more.\nThank you."
    ]


def test_enter_that_ends_the_composition_of_a_word_sends_nothing(page: Page, desk: Desk) -> None:
    _sheet(page)
    page.locator("#reason").fill("用途を")
    for init in ({"isComposing": True, "keyCode": 13}, {"isComposing": False, "keyCode": 229}):
        page.locator("#reason").dispatch_event("keydown", {"key": "Enter", "bubbles": True, "cancelable": True} | init)
        expect(page.locator("#sheet")).to_be_visible()
    assert list_waiting_decisions(desk.app_state.workspace.store) == []


# ---- undo ----------------------------------------------------------------------------------------------------------------


def test_after_undo_of_a_decision_of_an_earlier_page_the_cursor_is_on_its_row(page: Page) -> None:
    _press(page, "j", "j", "a")
    expect(page.locator("#tray")).to_contain_text("cyd")
    page.reload()
    _focus(page, "ada")
    _press(page, "z")
    _focus(page, "cyd")


def test_a_key_after_undo_never_falls_on_the_next_row(page: Page, desk: Desk) -> None:
    bob = [desk.row("bob").id]
    before = find_latest_decisions(desk.app_state.workspace.store, bob)
    _press(page, "a")
    _press(page, "z", "a", "z")  # faster than the desk answers: the row is still being taken back
    expect(page.locator("#tray .tray")).to_have_count(0)
    _focus(page, "ada")
    assert find_latest_decisions(desk.app_state.workspace.store, bob) == before


# ---- fixed places --------------------------------------------------------------------------------------------------------


def _places(page: Page, name: str) -> dict[str, float]:
    """Where each button of a row stands, from the left."""
    row = page.locator("#rows > .row", has_text=name)
    return {
        one.get_attribute("data-do") or "": (one.bounding_box() or {"x": -1.0})["x"]
        for one in row.locator("[data-do]").all()
    }


@pytest.mark.parametrize("width", [1280, 700])
def test_each_action_has_its_place_whatever_else_can_be_decided(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/queue?q=gus")
    of_accepted = _places(page, "gus")
    page.goto("/queue?q=fay")
    of_pending = _places(page, "fay")
    page.set_viewport_size({"width": 1280, "height": 900})
    assert set(of_pending) == {"accept", "reset", "reject"}
    assert set(of_accepted) == {"reset", "reject", "cancel"}
    assert {verb: of_accepted[verb] for verb in ("reset", "reject")} == {
        verb: of_pending[verb] for verb in ("reset", "reject")
    }
    assert of_pending["accept"] not in of_accepted.values()
    for places, order in ((of_pending, ["accept", "reset", "reject"]), (of_accepted, ["reset", "cancel", "reject"])):
        assert sorted(places, key=places.__getitem__) == order
