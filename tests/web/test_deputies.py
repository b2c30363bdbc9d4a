"""A member who is away names a deputy, who sees the queues of both until a date and has no right more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hf_gate.application.deputies import list_stood_in_for
from hf_gate.application.ledger_verification import verify_ledger
from hf_gate.domain.members import Member, MemberRole
from hf_gate.web.terminal import Terminal
from tests.web.kit import Room, Visitor, a_room, text_of

QUEUES = "queues: {data-office: [mia], legal: [kim], press: [noor]}\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path, desk=QUEUES) as room:
        yield room


def _day(room: Room, days: int) -> str:
    return f"{room.app_state.now() + timedelta(days=days):%Y-%m-%d}"


def _leave(room: Room, who: Visitor, deputy: str, days: int = 3) -> int:
    return who.post("/settings/away", {"deputy": deputy, "until": _day(room, days)}).status


def _others(room: Room, name: str, days: int = 0) -> tuple[str, ...]:
    """The queues that are not for a member, some days later."""
    membership = room.app_state.membership
    member = membership.find(name)
    assert member is not None
    away = list_stood_in_for(membership, member, room.app_state.now() + timedelta(days=days))
    return room.app_state.workspace.location.config.queues_of_others(name, away)


def test_a_deputy_sees_the_queues_until_the_day(desk: Room) -> None:
    mia, kim = desk.reviewer("mia"), desk.reviewer("kim")
    assert _others(desk, "kim") == ("data-office", "press")
    assert _leave(desk, mia, "kim") == 303
    assert _others(desk, "kim") == ("press",)
    assert "-queue:press" in kim.get("/queue").body.replace("%3A", ":")
    assert f"You stand in for mia until {_day(desk, 3)}" in text_of(kim.get("/settings").body)
    assert f"You are away until {_day(desk, 3)}; kim stands in." in text_of(mia.get("/settings").body)
    assert _others(desk, "kim", days=4) == ("data-office", "press")
    assert mia.post("/settings/back").status == 303
    assert _others(desk, "kim") == ("data-office", "press")
    assert len(desk.visitor().get("/audit.json?kind=DeputyNamed").json) == 2
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok


def test_the_deputy_of_a_deputy_who_is_away_too_stands_in_for_both(desk: Room) -> None:
    mia, kim, noor = (desk.reviewer(name) for name in ("mia", "kim", "noor"))
    assert [_leave(desk, mia, "kim"), _leave(desk, kim, "noor")] == [303, 303]
    assert _others(desk, "noor") == ()
    assert f"{_day(desk, 3)}; kim is away too, so noor stands in." in text_of(mia.get("/settings").body)
    assert _leave(desk, noor, "mia") == 303
    assert _others(desk, "mia") == ("legal", "press"), "in a circle, nobody stands in"
    owner = text_of(desk.visitor().get("/settings").body)
    for away, deputy in (("mia", "kim"), ("kim", "noor"), ("noor", "mia")):
        assert f"{away} away until {_day(desk, 3)}; {deputy} is away too, so nobody stands in." in owner


def test_a_deputy_has_no_right_more(desk: Room) -> None:
    desk.ask([{"username": "eve"}], {"Purpose": "x"})
    mia = desk.reviewer("mia")
    kim = desk.reviewer("kim", "acme/*")
    assert _leave(desk, mia, "kim") == 303
    assert kim.get(f"/requests/{desk.row('eve').state.hub_request}").status == 404


@pytest.mark.parametrize(
    ("deputy", "days", "words"),
    [
        ("mia", 3, "Name another member of this desk."),
        ("nobody", 3, "Name another member of this desk."),
        ("vic", 3, "vic is a viewer and cannot decide requests."),
        ("kim", -1, "The date must be today or later, and within a year."),
        ("kim", 500, "The date must be today or later, and within a year."),
    ],
)
def test_a_wrong_deputy_or_day_is_refused(desk: Room, deputy: str, days: int, words: str) -> None:
    desk.viewer("vic")
    desk.reviewer("kim")
    mia = desk.reviewer("mia")
    answer = mia.post("/settings/away", {"deputy": deputy, "until": _day(desk, days)})
    assert (answer.status, words in text_of(answer.body)) == (422, True)
    for odd in ("", "tomorrow", "9999-12-31", "2027-02-30", "x" * 5000):
        assert mia.post("/settings/away", {"deputy": "kim", "until": odd}).status == 422
    assert _others(desk, "kim") == ("data-office", "press")


def test_a_revoked_member_has_no_deputy_and_is_none(desk: Room) -> None:
    mia = desk.visitor(Member(name="mia", role=MemberRole.REVIEWER))
    desk.reviewer("kim")
    assert _leave(desk, mia, "kim") == 303
    desk.out("mia")
    assert _others(desk, "kim") == ("data-office", "press")


def _terminal(room: Room, **call: Any) -> tuple[int, dict[str, Any]]:
    terminal = Terminal(room.app_state, room.door, "http://127.0.0.1:7860")
    answer = terminal.answer(f"Bearer {terminal._key}", json.dumps(call).encode())
    return answer.status_code, json.loads(bytes(answer.body))


def test_absences_are_listed_set_and_ended_at_the_terminal(desk: Room) -> None:
    desk.reviewer("mia")
    desk.reviewer("kim")
    assert _terminal(desk, do="absences") == (200, {"absences": []})
    day = _day(desk, 3)
    away = {"name": "mia", "until": day, "deputy": "kim", "stands_in": "kim"}
    assert _terminal(desk, do="away", name="mia", deputy="kim", until=day) == (200, away)
    assert _terminal(desk, do="absences") == (200, {"absences": [away]})
    members = {one["name"]: one["absence"] for one in _terminal(desk, do="members")[1]["members"]}
    assert members == {"mia": away, "kim": None}
    assert _others(desk, "kim") == ("press",)
    assert _terminal(desk, do="back", name="mia") == (
        200,
        {"name": "mia", "deputy": None, "stands_in": None, "until": None},
    )
    assert _terminal(desk, do="absences") == (200, {"absences": []})
    for wrong in (
        {"name": "nemo"},
        {"name": "mia", "deputy": "mia"},
        {"name": "mia", "deputy": "kim", "until": "soon"},
    ):
        assert _terminal(desk, **{"do": "away", "deputy": "kim", "until": day, **wrong})[0] == 422
