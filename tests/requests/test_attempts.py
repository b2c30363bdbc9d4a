"""A person who asks again: the page of the request shows what changed since the attempt before."""

from __future__ import annotations

from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk, Visitor, parse_page

ASKED = {"Purpose": "test", "Country": "NL", "Institution": "ETH"}


def _page(desk: Desk, visitor: Visitor) -> str:
    return " ".join(
        " ".join(parse_page(visitor.get(f"/requests/{desk.row('ada').state.hub_request}").body).text).split()
    )


def _ask_again(desk: Desk, **answers: str) -> None:
    desk.app_state.workspace.hub.reset(desk.repo, "ada", reason="Please say more.")
    desk.read(SyncKind.FULL)
    desk.ask([{"username": "ada"}], {**ASKED, **answers})
    assert desk.row("ada").state.attempt == 2


def test_the_answers_that_changed_stand_side_by_side(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], ASKED)
    lena = desk.visitor()
    assert "Since attempt" not in _page(desk, lena)
    _ask_again(desk, Purpose=GOOD)
    page = _page(desk, lena)
    assert "Since attempt 1" in page
    assert f"Question Attempt 1 Now Purpose test {GOOD}" in page
    assert "2 other answers are the same." in page


def test_who_asks_again_with_the_same_answers_is_told_apart(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], ASKED)
    _ask_again(desk)
    assert "No answer changed." in _page(desk, desk.visitor())


def test_what_was_written_stays_text(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], ASKED)
    _ask_again(desk, Purpose="<script>alert(1)</script>")
    body = desk.visitor().get(f"/requests/{desk.row('ada').state.hub_request}").body
    assert "<script>alert" not in body
    assert body.count("&lt;script&gt;alert(1)") >= 2
