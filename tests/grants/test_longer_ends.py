"""In the desk, one person shortens an access; a longer end needs two people, as the acceptance did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from hf_gate.base.timestamps import from_ms
from hf_gate.core.people.grants import format_last_day
from hf_gate.core.people.members import Member, MemberRole
from tests.kits.desk import GOOD, POLICY, Answer, Desk, Visitor, open_desk, text_of

YEAR = POLICY.replace("then: accept\n", "then: accept\n    reviewers: 2\n    until: 1y\n", 1)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    assert YEAR != POLICY
    with open_desk(tmp_path, YEAR) as made:
        made.ask([{"username": "ada", "email": "ada@eth.ch"}], {"Purpose": GOOD})
        yield made


def post(desk: Desk, visitor: Visitor, path: str, **values: str) -> Answer:
    row = desk.row("ada")
    page = visitor.get(f"/requests/{row.state.hub_request}").body
    version = page.partition('name="version" value="')[2].partition('"')[0] or row.version.token
    answer = visitor.post(path, {"version": version, "key": str(row.state.hub_request), **values})
    desk.send_due()
    return answer


def days_left(desk: Desk) -> float:
    until = desk.row("ada").state.until
    return -1 if until is None else (from_ms(until) - desk.app_state.now()) / timedelta(days=1)


def test_a_second_member_cannot_lengthen_an_end_in_the_desk_but_two_together_can(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(Member(name="mia", role=MemberRole.REVIEWER))
    kim, vic = desk.reviewer("kim"), desk.viewer()
    post(desk, mia, "/tray", verb="accept", until="30d")
    assert "ago, access for 30d" in text_of(lena.get(f"/requests/{desk.row('ada').state.hub_request}").body)
    post(desk, lena, "/tray", verb="accept", until="365d")
    assert desk.row("ada").state.status == "pending"
    post(desk, lena, "/tray", verb="accept", until="30d")
    assert days_left(desk) == pytest.approx(30, abs=0.1)
    end = f"/requests/{desk.row('ada').state.hub_request}/end"
    assert post(desk, vic, end, until="90d").status == 403, "she decides nothing"
    assert post(desk, mia, end, until="90d").status == 303
    assert days_left(desk) == pytest.approx(30, abs=0.1)
    shown = text_of(lena.get(end, hx_request="true").body)
    assert "Approved by mia, " in shown
    day = format_last_day(desk.app_state.now() + timedelta(days=120), UTC)
    assert f"access until {day}. Another member must choose the same end" in shown
    assert post(desk, lena, end, until="none").status == 409
    assert post(desk, lena, end, until="90d").status == 303
    assert days_left(desk) == pytest.approx(120, abs=0.1), "90 days more"
    day = f"{desk.app_state.now() + timedelta(days=29):%Y-%m-%d}"
    assert post(desk, kim, end, until="day", day=day, shorten="yes").status == 303, "one person can shorten"
    assert days_left(desk) == pytest.approx(29.5, abs=0.51)
