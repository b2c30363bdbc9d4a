"""A person who asks again: the page of the request shows what changed since the attempt before."""

from __future__ import annotations

from hf_gate.application.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk, Visitor, parse_page

ASKED = {"Purpose": "test", "Country": "NL", "Institution": "ETH"}


def _page(room: Desk, visitor: Visitor) -> str:
    return " ".join(
        " ".join(parse_page(visitor.get(f"/requests/{room.row('ada').state.hub_request}").body).text).split()
    )


def _ask_again(room: Desk, **answers: str) -> None:
    room.app_state.workspace.hub.reset(room.repo, "ada", reason="Please say more.")
    room.read(SyncKind.FULL)
    room.ask([{"username": "ada"}], {**ASKED, **answers})
    assert room.row("ada").state.attempt == 2


def test_the_answers_that_changed_stand_side_by_side(room: Desk) -> None:
    room.ask([{"username": "ada"}], ASKED)
    lena = room.visitor()
    assert "Since attempt" not in _page(room, lena)
    _ask_again(room, Purpose=GOOD)
    page = _page(room, lena)
    assert "Since attempt 1" in page
    assert f"Question Attempt 1 Now Purpose test {GOOD}" in page
    assert "2 other answers are the same." in page


def test_who_asks_again_with_the_same_answers_is_told_apart(room: Desk) -> None:
    room.ask([{"username": "ada"}], ASKED)
    _ask_again(room)
    assert "No answer changed." in _page(room, room.visitor())


def test_viewers_see_neither_attempt(room: Desk) -> None:
    room.ask([{"username": "ada"}], ASKED)
    _ask_again(room, Purpose=GOOD)
    page = _page(room, room.viewer())
    assert "Since attempt" not in page
    assert GOOD not in page


def test_what_was_written_stays_text(room: Desk) -> None:
    room.ask([{"username": "ada"}], ASKED)
    _ask_again(room, Purpose="<script>alert(1)</script>")
    body = room.visitor().get(f"/requests/{room.row('ada').state.hub_request}").body
    assert "<script>alert" not in body
    assert body.count("&lt;script&gt;alert(1)") >= 2
