"""After three alike decisions: who else wrote the same, offered as a list, never sent at once."""

from __future__ import annotations

import re

import pytest

from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, Answer, Desk, Visitor, parse_page

SAME = "I would like to try the model for my personal projects at home."
TEXT = "Please say more."


@pytest.fixture
def alike(desk: Desk) -> Desk:
    """Six people who wrote the same, in other cases and spaces, and three who did not."""
    for n in range(6):
        desk.ask([{"username": f"same-{n}"}], {"Purpose": SAME.upper() if n % 2 else f"  {SAME} "})
    desk.ask([{"username": f"other-{n}"} for n in range(3)], {"Purpose": GOOD})
    return desk


def _decide(desk: Desk, visitor: Visitor, name: str, verb: str = "reset", reason: str = TEXT, **more: str) -> Answer:
    row = desk.row(name)
    values = {"verb": verb, "key": row.state.hub_request or "", "version": row.version.token, "reason": reason, **more}
    return visitor.post("/tray", values, hx_request="true", hx_current_url="http://127.0.0.1:7860/queue")


def _offer(answer: Answer) -> str:
    part = re.search(r'<div id="alike".*?</div>', answer.body, re.DOTALL)
    assert part is not None
    return " ".join(" ".join(parse_page(part[0]).text).split())


def _place(desk: Desk) -> str:
    return f"/requests/{desk.row('same-2').state.hub_request}/alike"


def _three(desk: Desk, visitor: Visitor, *names: str) -> str:
    for name in names[:-1]:
        assert _offer(_decide(desk, visitor, name)) == ""
    return _offer(_decide(desk, visitor, names[-1]))


def test_after_three_alike_decisions_the_others_are_offered_and_led_to_as_a_list(alike: Desk) -> None:
    lena = alike.visitor()
    offer = _three(alike, lena, "same-0", "same-1", "same-2")
    assert offer.startswith("3 more wrote the same text. Send back together…")
    place = lena.post(_place(alike), {"verb": "reset", "next": "/queue"}).headers["location"]
    assert place.startswith("/bulk/b_")
    page = lena.get(place).body
    names = set(re.findall(r"(?:same|other)-\d", page))
    assert names >= {"same-3", "same-4", "same-5"}
    assert not names & {"other-0", "other-1", "other-2"}
    assert len(list_waiting_decisions(alike.app_state.workspace.store)) == 3, "nothing is sent by the list"


def test_those_who_are_in_a_tray_already_are_not_offered(alike: Desk) -> None:
    lena, mia = alike.visitor(), alike.reviewer("mia")
    for name in ("same-4", "same-5"):
        _decide(alike, mia, name, "accept")
    assert _three(alike, lena, "same-0", "same-1", "same-2").startswith("1 more wrote the same text.")
    assert _offer(_decide(alike, lena, "same-3")) == "", "nobody is left"


def test_sent_decisions_count_and_undone_ones_do_not(alike: Desk) -> None:
    lena = alike.visitor()
    _decide(alike, lena, "same-0")
    _decide(alike, lena, "same-1")
    alike.send_due()
    _decide(alike, lena, "same-2")
    lena.post("/tray/undo", {"which": "last"}, hx_request="true")
    assert _offer(_decide(alike, lena, "same-3")).startswith("3 more wrote the same text.")


@pytest.mark.parametrize(
    "third",
    [
        {"name": "same-2", "reason": "Another text."},
        {"name": "same-2", "verb": "reject"},
        {"name": "other-0"},
    ],
)
def test_what_is_not_alike_is_not_offered(alike: Desk, third: dict[str, str]) -> None:
    lena = alike.visitor()
    _decide(alike, lena, "same-0")
    _decide(alike, lena, "same-1")
    assert _offer(_decide(alike, lena, **third)) == ""


def test_each_member_has_decisions_and_repos_of_their_own(alike: Desk) -> None:
    lena, mia = alike.visitor(), alike.reviewer("mia")
    _decide(alike, lena, "same-0")
    _decide(alike, lena, "same-1")
    assert _offer(_decide(alike, mia, "same-2")) == ""
    rob = alike.reviewer("rob", "datasets/nobody/nothing")
    assert rob.post(_place(alike), {"verb": "reset"}).status == 404
    assert lena.post("/requests/n999/alike", {"verb": "reset"}).status == 404
    assert lena.post(_place(alike), {"verb": "destroy"}).status == 422


def test_a_short_answer_is_often_the_same_by_chance(desk: Desk) -> None:
    desk.ask([{"username": f"p{n}"} for n in range(5)], {"Purpose": "research"})
    assert _three(desk, desk.visitor(), "p0", "p1", "p2") == ""


def test_the_offer_is_gone_when_the_last_decision_is_undone(alike: Desk) -> None:
    lena = alike.visitor()
    assert _three(alike, lena, "same-0", "same-1", "same-2")
    assert _offer(lena.post("/tray/undo", {"which": "last"}, hx_request="true")) == ""
