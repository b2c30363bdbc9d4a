"""A viewer sees the personal data of one request: if the owner allows it, with a reason that the audit log keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.application.ledger_verification import verify_ledger
from hf_gate.application.reveals import MAX_REVEALS
from hf_gate.domain.members import Member, MemberRole
from tests.web.kit import GOOD, Room, Visitor, a_room, text_of

REASON = "the data protection officer asked who this is <b>"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path, desk="desk: {may_reveal: true}\n") as room:
        room.ask([{"username": "eve", "fullname": "Eve <i>Own", "email": "eve@ethz.ch"}], {"Purpose": GOOD})
        yield room


def _key(room: Room) -> str:
    return room.row("eve").state.hub_request or ""


def _entries(room: Room) -> list[dict[str, object]]:
    found: list[dict[str, object]] = room.visitor().get("/audit.json?kind=DataRevealed").json
    return found


def test_a_viewer_sees_it_once_and_the_audit_log_says_so(desk: Room) -> None:
    vic, key = desk.viewer(), _key(desk)
    assert "Show personal data" in vic.get(f"/requests/{key}").body
    shown = vic.post(f"/requests/{key}/reveal", {"reason": REASON})
    assert shown.status == 200
    words = text_of(shown.body)
    assert all(word in words for word in ("eve", "Eve <i>Own", "eve@ethz.ch", GOOD, REASON))
    assert "<i>Own" not in shown.body
    assert shown.headers["cache-control"] == "no-store"
    assert "eve@ethz.ch" not in vic.get(f"/requests/{key}").body
    (entry,) = _entries(desk)
    assert entry["actor"] == "vic"
    rows = desk.app_state.workspace.store.reads.rows("SELECT body FROM ledger WHERE kind = 'DataRevealed'")
    assert all(word not in str(rows) for word in ("officer", "ethz", "Purpose"))
    assert "officer" in text_of(desk.visitor().get(f"/requests/{key}").body)
    assert "officer" not in vic.get(f"/requests/{key}").body, "the reason may name the person"
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok


@pytest.mark.parametrize("reason", ["", "   ", "a" * 5000])
def test_without_a_reason_nothing_is_shown(desk: Room, reason: str) -> None:
    answer = desk.viewer().post(f"/requests/{_key(desk)}/reveal", {"reason": reason})
    assert answer.status == 422
    assert "eve@ethz.ch" not in answer.body
    assert _entries(desk) == []


def test_a_viewer_of_other_repos_finds_nothing(desk: Room) -> None:
    vera = desk.visitor(Member(name="vera", role=MemberRole.VIEWER, repos=("acme/*",)))
    assert vera.post(f"/requests/{_key(desk)}/reveal", {"reason": REASON}).status == 404
    assert _entries(desk) == []


def test_a_viewer_looks_at_fifty_requests_a_day(desk: Room) -> None:
    vic, key = desk.viewer(), _key(desk)
    statuses = [vic.post(f"/requests/{key}/reveal", {"reason": REASON}).status for _ in range(MAX_REVEALS + 1)]
    assert statuses == [200] * MAX_REVEALS + [409]


def test_a_reviewer_needs_no_reason(desk: Room) -> None:
    answer = desk.reviewer().post(f"/requests/{_key(desk)}/reveal", {"reason": REASON})
    assert answer.status == 422
    assert _entries(desk) == []


def test_where_the_owner_does_not_allow_it_there_is_no_form_and_no_answer(room: Room) -> None:
    room.ask([{"username": "eve", "email": "eve@ethz.ch"}], {"Purpose": GOOD})
    vic: Visitor = room.viewer()
    assert "Show personal data" not in vic.get(f"/requests/{_key(room)}").body
    answer = vic.post(f"/requests/{_key(room)}/reveal", {"reason": REASON})
    assert (answer.status, "eve@ethz.ch" in answer.body) == (409, False)
