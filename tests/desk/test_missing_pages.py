"""A page that does not exist says so, and offers a way back."""

from __future__ import annotations

import pytest

from hf_gate.core.people.members import Member, MemberRole
from tests.kits.desk import GOOD, Desk

ID = "0123456789abcdef01234567"


@pytest.mark.parametrize("path", [f"/requests/{ID}", "/people/p_0000000000000000", "/runs/r_none", "/nothing/of/ours"])
def test_a_missing_page_says_so_with_a_way_back(desk: Desk, path: str) -> None:
    answer = desk.visitor().get(path)
    assert answer.status == 404
    main = answer.body.partition("<main")[2].partition("</main>")[0]
    assert "There is nothing here." in main
    assert 'href="/queue"' in main


def test_a_request_of_a_foreign_repo_and_one_that_never_was_look_the_same(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    key = desk.row("ada").state.hub_request or ""
    mia = desk.visitor(Member(name="mia", role=MemberRole.REVIEWER, repos=("nobody/else",)))
    foreign, never = mia.get(f"/requests/{key}"), mia.get(f"/requests/{ID}")
    assert (foreign.status, never.status) == (404, 404)
    main = [answer.body.partition("<main")[2].partition("</main>")[0] for answer in (foreign, never)]
    assert main[0].replace(key, "?") == main[1].replace(ID, "?")


def test_a_hostile_address_is_not_shown(desk: Desk) -> None:
    path = "/requests/%3Cscript%3Ealert(1)%3C/script%3E" + "x" * 3000
    body = desk.visitor().get(path).body
    assert "alert(1)" not in body.partition("<main")[2].partition("</main>")[0]


def test_a_part_of_a_page_says_the_same_in_a_message(desk: Desk) -> None:
    body = desk.visitor().get(f"/requests/{ID}", hx_request="true").body
    assert "There is nothing here." in body
    assert "<main" not in body


def test_a_form_that_names_what_is_not_there_says_the_same(desk: Desk) -> None:
    answer = desk.visitor().post("/tray", {"accept": f"{ID}:seen"})
    assert answer.status == 404
    assert "There is nothing here." in answer.body
