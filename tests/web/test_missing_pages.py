"""A page that does not exist names what was sought, and offers a search and a way back."""

from __future__ import annotations

import html
import re

import pytest

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.web.missing_pages import describe_missing
from tests.kits.desk import GOOD, Desk

ID = "0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("path", "message", "back"),
    [
        (f"/requests/{ID}", f"There is no request {ID}.", "/queue"),
        ("/people/p_0000000000000000", "There is no person p_0000000000000000.", "/people"),
        ("/repos/datasets/acme/eeg", "There is no repo datasets/acme/eeg.", "/repos"),
        ("/plans/abcdef", "There is no plan abcdef.", "/plans"),
        ("/runs/r_none", "There is no run r_none.", "/plans"),
        ("/policies/hosue", "There is no policy hosue.", "/policies"),
        ("/nothing/of/ours", "There is no page /nothing/of/ours.", "/queue"),
    ],
)
def test_a_missing_page_names_what_was_sought_with_a_search_and_a_way_back(
    desk: Desk, path: str, message: str, back: str
) -> None:
    answer = desk.visitor().get(path)
    assert answer.status == 404
    main = answer.body.partition("<main")[2].partition("</main>")[0]
    assert message in re.sub(r"<[^>]+>", "", main)
    assert f'href="{back}">Back to ' in main
    assert 'action="/queue"' in main


def test_the_search_begins_with_the_name_that_was_sought(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    lena = desk.visitor()
    page = lena.get("/requests/ada").body.partition("<main")[2]
    sought = re.search(r'name="q"[^>]*value="([^"]*)"', page)
    assert sought is not None
    assert "ada" in lena.get(f"/queue?q={sought[1]}").body.partition('id="rows"')[2]


def test_a_request_of_a_foreign_repo_and_one_that_never_was_look_the_same(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    key = desk.row("ada").state.hub_request or ""
    mia = desk.visitor(Member(name="mia", role=MemberRole.REVIEWER, repos=("nobody/else",)))
    foreign, never = mia.get(f"/requests/{key}"), mia.get(f"/requests/{ID}")
    assert (foreign.status, never.status) == (404, 404)
    main = [answer.body.partition("<main")[2].partition("</main>")[0] for answer in (foreign, never)]
    assert main[0].replace(key, "?") == main[1].replace(ID, "?")


def test_a_hostile_address_is_text_and_short(desk: Desk) -> None:
    path = "/requests/%3Cscript%3Ealert(1)%3C/script%3E" + "x" * 3000
    body = desk.visitor().get(path).body
    assert "<script>alert" not in body
    assert html.escape("<script>alert(1)</script>") in body
    assert "x" * 200 not in body.partition("<main")[2].partition("</main>")[0]
    assert describe_missing("/people/\u202eada\x1b[2J").message.isprintable()


def test_a_part_of_a_page_says_the_same_in_a_message(desk: Desk) -> None:
    body = desk.visitor().get(f"/requests/{ID}", hx_request="true").body
    assert f"There is no request {ID}." in re.sub(r"<[^>]+>", "", body)
    assert "<main" not in body


def test_a_form_that_names_what_is_not_there_does_not_call_its_page_missing(desk: Desk) -> None:
    answer = desk.visitor().post("/tray", {"accept": f"{ID}:seen"})
    assert answer.status == 404
    assert "What you asked for is not there." in answer.body
    assert "There is no page" not in answer.body
