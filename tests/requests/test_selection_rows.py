"""On the page of a selection each row can be unticked: nothing is sent for it, and rows that were not shown stay in."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from playwright.sync_api import Browser, expect

from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.browser import open_page
from tests.kits.desk import GOOD, Answer, Desk, Visitor, serve_desk
from tests.kits.desk_actions import confirm_bulk, list_selected, list_waiting, start_bulk

REASON = "Please say more."
FIELDS = ("verb", "count", "next", "after", "following")


def _ask(desk: Desk, count: int, purpose: str = GOOD, prefix: str = "p") -> None:
    desk.ask([{"username": f"{prefix}{n:03}"} for n in range(count)], {"Purpose": purpose})


def _all(visitor: Visitor, verb: str, query: str = "status:pending") -> str:
    visitor.post("/selection", {"do": "all", "q": query})
    return start_bulk(visitor, verb)


def _field(answer: Answer, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.body.partition('id="confirm"')[2])
    assert found is not None
    return found[1]


def _shown(answer: Answer) -> list[str]:
    return re.findall(r'name="shown" value="(\d+)"', answer.body)


def _names(desk: Desk, numbers: Iterable[str]) -> list[str]:
    rows = desk.app_state.workspace.store.requests([int(each) for each in numbers])
    return [rows[int(each)].person.identity.username or "" for each in numbers]


def _send(visitor: Visitor, path: str, page: Answer, unticked: Iterable[str] = (), **more: str) -> Answer:
    """Presses a button of the page with some of its rows unticked."""
    shown, out = _shown(page), set(unticked)
    lines = [("shown", each) for each in shown] + [("keep", each) for each in shown if each not in out]
    names = ("next", "after", "following") if path.startswith("/selection") or path == "/bulk" else FIELDS
    has_terms = 'name="terms"' in page.body
    values = {name: _field(page, name) for name in [*names, *(["terms"] if has_terms else [])]} | more
    body = "&".join(
        f"{name}={value.replace('/', '%2F').replace(' ', '+')}" for name, value in [*values.items(), *lines]
    )
    content_type = "application/x-www-form-urlencoded"
    return visitor.ask("POST", path.partition("?")[0], body.encode(), {"content-type": content_type})


def test_nothing_is_sent_for_an_unticked_row_and_it_is_unticked_in_the_queue_too(desk: Desk) -> None:
    _ask(desk, 5)
    lena = desk.visitor()
    path = _all(lena, "reset")
    page = lena.get(path)
    shown = _shown(page)
    assert len(shown) == 5
    out = _names(desk, shown[:2])
    assert _send(lena, path, page, shown[:2], do="send", reason=REASON).status == 303
    assert list_waiting(desk) == {f"p{n:03}" for n in range(5)} - set(out)
    assert list_selected(desk) == set()


def test_rows_of_other_pages_stay_in_and_unticked_ones_stay_out_over_pages(desk: Desk) -> None:
    _ask(desk, 130)
    lena = desk.visitor()
    path = _all(lena, "reset")
    first = lena.get(path)
    assert len(_shown(first)) == 100
    second = _send(lena, path, first, _shown(first)[:3], do="next", reason="kept words")
    assert second.status == 200
    assert "kept words" in second.body
    assert len(_shown(second)) == 30
    assert not set(_shown(second)) & set(_shown(first))
    back = _send(lena, path, second, _shown(second)[:1], do="first")
    assert not set(_shown(back)) & set(_shown(first)[:3])
    assert "You left out <b>4</b>" in back.body
    out = _names(desk, [*_shown(first)[:3], *_shown(second)[:1]])
    assert _send(lena, path, back, do="send", reason=REASON, typed="126").status == 303
    assert list_waiting(desk) == {f"p{n:03}" for n in range(130)} - set(out)


def test_the_typed_number_is_that_of_the_ticked_rows(desk: Desk) -> None:
    _ask(desk, 25)
    lena = desk.visitor()
    path = _all(lena, "reset")
    page = lena.get(path)
    wrong = _send(lena, path, page, _shown(page)[:2], do="send", reason=REASON, typed="25")
    assert wrong.status == 422
    assert "Type 23 to confirm." in wrong.body
    assert list_waiting(desk) == set()
    assert len(_shown(wrong)) == 23
    assert _send(lena, path, wrong, do="send", reason=REASON, typed="23").status == 303
    assert len(list_waiting(desk)) == 23


def test_enter_in_a_field_without_script_sends_nothing(desk: Desk) -> None:
    """The first button of a form is pressed by Enter: here it only leaves out what is unticked."""
    _ask(desk, 3)
    lena = desk.visitor()
    path = _all(lena, "accept")
    page = lena.get(path)
    buttons = re.findall(r'<button[^>]*name="do" value="(\w+)"', page.body)
    assert buttons[0] == "update"
    assert _send(lena, path, page, _shown(page)[:1], do="update").status == 200
    assert list_waiting(desk) == set()


def test_who_says_something_specific_is_left_out_at_once_and_put_back(desk: Desk) -> None:
    _ask(desk, 4, "asdf", "junk")
    _ask(desk, 2, GOOD, "good")
    lena = desk.visitor()
    path = _all(lena, "reject")
    page = lena.get(path)
    assert "<b>2</b> of 6 say something specific" in page.body
    assert {name[:4] for name in _names(desk, _shown(page))[:2]} == {"good"}, "the longest answer first"
    left = _send(lena, path, page, do="contrary")
    assert {name[:4] for name in _names(desk, _shown(left))} == {"junk"}
    assert "say something specific" not in left.body
    assert len(list_selected(desk)) == 4
    again = _send(lena, path, left, do="back")
    assert len(_shown(again)) == 6
    left = _send(lena, path, again, do="contrary")
    assert _send(lena, path, left, do="send", reason=REASON).status == 303
    assert list_waiting(desk) == {f"junk{n:03}" for n in range(4)}


def test_of_those_to_accept_the_ones_without_a_purpose_are_left_out(desk: Desk) -> None:
    _ask(desk, 1, "asdf", "junk")
    _ask(desk, 2, GOOD, "good")
    lena = desk.visitor()
    path = _all(lena, "accept")
    left = _send(lena, path, lena.get(path), do="contrary")
    assert sorted(_names(desk, _shown(left))) == ["good000", "good001"]


def test_the_same_form_twice_sends_once(desk: Desk) -> None:
    _ask(desk, 4)
    lena = desk.visitor()
    path = _all(lena, "accept")
    page = lena.get(path)
    assert _send(lena, path, page, _shown(page)[:1], do="send").status == 303
    assert _send(lena, path, page, _shown(page)[:1], do="send").status == 409
    assert len(list_waiting(desk)) == 3
    desk.send_due()
    assert sorted(line["user"] for line in desk.local.journal() if line["to"] == "accepted") == sorted(
        _names(desk, _shown(page)[1:])
    )


def test_a_page_that_shows_a_row_again_that_is_out_is_not_confirmed(desk: Desk) -> None:
    """As after the browser's Back: the old page has all rows ticked."""
    _ask(desk, 4)
    lena = desk.visitor()
    path = _all(lena, "accept")
    page = lena.get(path)
    _send(lena, path, page, _shown(page)[:1], do="update")
    assert _send(lena, path, page, do="send").status == 409
    assert list_waiting(desk) == set()


@pytest.mark.parametrize("number", ["0", "999999", "9" * 40, "-1", "x", "٣", ""])
def test_a_number_that_was_not_shown_leaves_nobody_out(desk: Desk, number: str) -> None:
    _ask(desk, 2)
    lena = desk.visitor()
    path = _all(lena, "accept")
    answer = lena.post(path.partition("?")[0], {"verb": "accept", "do": "update", "shown": number, "after": number})
    assert answer.status == 200
    assert len(_shown(answer)) == 2


def test_the_selected_are_shown_and_some_are_removed(desk: Desk) -> None:
    _ask(desk, 130)
    lena = desk.visitor()
    assert "Select requests in the queue" in lena.get("/selection").body
    lena.post("/selection", {"do": "all", "q": "status:pending"})
    page = lena.get("/selection?next=/queue")
    assert ">130 selected</span>" in page.body
    first = _shown(page)
    assert len(first) == 100
    following = _send(lena, "/selection", page, first[:2], do="next")
    page = lena.get(following.headers["location"])
    assert (len(_shown(page)), len(list_selected(desk))) == (30, 128)
    assert (
        _send(lena, "/selection", page, _shown(page)[:1], do="keep").headers["location"].startswith("/selection?after=")
    )
    assert len(list_selected(desk)) == 127
    begun = _send(lena, "/bulk", lena.get("/selection"), _shown(lena.get("/selection"))[:1], verb="accept")
    assert begun.status == 303
    assert len(list_selected(desk)) == 126
    assert ">126 requests?</span>" in lena.get(begun.headers["location"]).body
    desk.app_state.workspace.hub.accept(desk.repo, _names(desk, _shown(lena.get("/selection"))[:1])[0])
    desk.read()
    assert "Not shown: <b>1</b> changed since they were selected" in lena.get("/selection").body
    assert lena.post("/selection", {"do": "clear"}).status == 303
    assert list_selected(desk) == set()


def test_what_each_person_will_read_is_shown_before_it_is_sent(desk: Desk) -> None:
    _ask(desk, 2)
    lena = desk.visitor()
    path = _all(lena, "reject")
    page = lena.get(path)
    assert "The Hub shows <bdi>each person</bdi> this text:" in page.body
    values = {"verb": "reject", "reason": "<b>No.</b>"}
    preview = lena.post(f"{path.partition('?')[0]}/preview", values)
    assert preview.status == 200
    assert "&lt;b&gt;No.&lt;/b&gt;" in preview.body
    assert desk.reviewer().post(f"{path.partition('?')[0]}/preview", values).status == 404
    assert lena.post(f"{path.partition('?')[0]}/preview", {"verb": "accept"}).status == 404


@pytest.mark.parametrize(("sent", "reason"), [({"text": "Chosen."}, "Chosen."), ({"text": "Chosen.", "reason": "Own."}, "Own."),
                                              ({"text": "Chosen.", "reason": "Own.", "silent": "yes"}, None)])  # fmt: skip
def test_the_written_text_wins_over_the_chosen_one_and_no_reason_over_both(
    desk: Desk, sent: dict[str, str], reason: str | None
) -> None:
    _ask(desk, 2)
    lena = desk.visitor()
    path = _all(lena, "reset")
    assert _send(lena, path, lena.get(path), **sent).status == 303
    assert {item.change.reason for item in list_waiting_decisions(desk.app_state.workspace.store)} == {reason}


def test_more_than_a_thousand_are_shown_by_age_a_page_at_a_time(desk: Desk) -> None:
    _ask(desk, 1050)
    desk.read(SyncKind.FULL)
    lena = desk.visitor()
    path = _all(lena, "reset")
    page, seen = lena.get(path), list[str]()
    assert "Longest wait first." in page.body
    while True:
        seen += _shown(page)
        if not _field(page, "following"):
            break
        page = _send(lena, path, page, do="next")
    assert len(seen) == len(set(seen)) == 1050
    rows = desk.app_state.workspace.store.requests([int(each) for each in seen])
    assert [row.state.asked_at for row in rows.values()] == sorted(row.state.asked_at for row in rows.values())
    assert confirm_bulk(lena, path, reason=REASON, typed="1050").status == 303


def test_the_numbers_follow_the_ticks_and_enter_in_the_number_confirms(browser: Browser, desk: Desk) -> None:
    _ask(desk, 22)
    with serve_desk(desk) as url, open_page(browser, desk, url) as page:
        page.goto(f"{url}/queue")
        page.locator("#rows [data-pick]").first.check()
        page.locator("[data-select=all]").click()
        expect(page.locator("#bulk")).to_contain_text("22 selected")
        page.locator("#bulk").get_by_role("button", name="Send back").click()
        expect(page.get_by_role("button", name="Send back 22")).to_be_visible()
        page.locator("[data-keep]").first.uncheck()
        expect(page.get_by_role("button", name="Send back 21")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_contain_text("21 requests?")
        expect(page.locator(".effect")).to_contain_text("21 people are sent back; they can ask again.")
        page.locator("[data-keep-page]").check()
        expect(page.get_by_role("button", name="Send back 22")).to_be_visible()
        page.locator("[data-keep-page]").uncheck()
        expect(page.get_by_role("button", name="Send back 0")).to_be_visible()
        page.locator("[data-keep-page]").check()
        page.locator("[data-keep]").last.uncheck()
        page.locator("input[data-text]").nth(1).check()
        expect(page.locator(".reads")).to_contain_text("institution")
        page.keyboard.press("Enter")
        expect(page.get_by_label("To confirm, type 21")).to_be_focused()
        page.keyboard.type("21")
        page.keyboard.press("Enter")
        expect(page.locator("#tray")).to_contain_text("21 decisions will be sent in")
    assert len(list_waiting(desk)) == 21
