"""A member assigns requests to a member who may decide there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.ledger.service.ledger_verification import verify_ledger
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk, text_of

QUEUES = "queues: {data-office: [mia], legal: [kim]}\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, config=QUEUES) as desk:
        desk.ask([{"username": name} for name in ("eve", "bob", "cyd")], {"Purpose": GOOD})
        yield desk


def _key(desk: Desk, who: str) -> str:
    return desk.row(who).state.hub_request or ""


def _assign(desk: Desk, by: Visitor, who: str, to: str) -> Answer:
    return by.post(f"/requests/{_key(desk, who)}/assign", {"to": to})


def _assignee_name(desk: Desk, who: str) -> str | None:
    """The name of the member."""
    member = desk.app_state.membership.find_by_id(desk.row(who).state.assigned)
    return None if member is None else member.name


def _found(by: Visitor, query: str) -> int:
    return len(by.get(f"/queue?{urlencode({'q': query})}").rows)


def test_a_request_is_assigned_shown_and_freed(desk: Desk) -> None:
    mia, kim = desk.reviewer("mia"), desk.reviewer("kim")
    assert _assign(desk, mia, "eve", "kim").status == 303
    assert _assignee_name(desk, "eve") == "kim"
    assert "assigned to kim" in text_of(mia.get("/queue").body)
    assert "assigned to you" in text_of(kim.get("/queue").body)
    assert "Assigned to you" in text_of(kim.get("/queue").body)
    assert "assigned to kim by mia" in text_of(mia.get(f"/requests/{_key(desk, 'eve')}").body)
    assert "Assigned to <b>kim</b>" in mia.get(f"/requests/{_key(desk, 'eve')}").body
    assert "Assigned to <b>you</b>" in kim.get(f"/requests/{_key(desk, 'eve')}").body
    assert (_found(kim, "assigned:me"), _found(mia, "assigned:me"), _found(mia, "assigned:kim")) == (1, 0, 1)
    assert (_found(mia, "assigned:none"), _found(mia, "assigned:others"), _found(mia, "assigned:*")) == (2, 1, 1)
    assert (_found(mia, "-assigned:others"), _found(mia, "-assigned:none"), _found(kim, "assigned:others")) == (2, 1, 0)
    assert {row["user"]: row["assigned_to"] for row in mia.get("/queue.json").json} == {
        "eve": "kim",
        "bob": None,
        "cyd": None,
    }
    assert _assign(desk, kim, "eve", "nobody").status == 303
    assert _found(mia, "assigned:none") == 3
    kinds = desk.visitor().get("/audit.json?kind=RequestAssigned").json
    assert [one["actor"] for one in kinds] == ["kim", "mia"]
    bodies = desk.app_state.workspace.store.reads.rows("SELECT body FROM ledger WHERE kind = 'RequestAssigned'")
    assert "kim" not in str(bodies)
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok


def test_an_assignment_wins_over_the_queue_of_the_rule(desk: Desk) -> None:
    mia, kim = desk.reviewer("mia"), desk.reviewer("kim")
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE requests SET queue = 'legal'")
        write.db.run("INSERT INTO counters (repo_id, kind, name, n) VALUES (1, 'queue', 'legal', 3)")
    link = re.search(r'href="([^"]*assigned:others[^"]*)"', mia.get("/queue").body)
    assert link is not None
    for_mia = link[1].replace("&amp;", "&")
    assert len(mia.get(for_mia).rows) == 0
    assert _assign(desk, kim, "eve", "mia").status == 303
    assert len(mia.get(for_mia).rows) == 1
    assert (_found(kim, "queue:legal"), _found(kim, "-queue:legal")) == (2, 1)


def test_the_ticked_requests_are_assigned_together(desk: Desk) -> None:
    mia = desk.reviewer("mia")
    desk.reviewer("kim")
    keys = [_key(desk, who) for who in ("eve", "bob")]
    assert mia.post("/selection", {"do": "add", "key": keys[0]}).status == 303
    assert mia.post("/assign", {"to": "kim", "key": keys[1]}).status == 303
    assert [_assignee_name(desk, who) for who in ("eve", "bob", "cyd")] == ["kim", "kim", None]
    assert "0 selected" in text_of(mia.get("/queue").body)
    assert mia.post("/assign", {"to": "kim"}).status == 422
    asked = mia.post("/assign", {"key": keys[0], "next": "/queue?q=eve"})
    assert (asked.status, "Assign 1 selected request " in text_of(asked.body)) == (200, True)
    assert 'name="next" value="/queue?q=eve"' in asked.body
    done = mia.post("/assign", {"to": "mia", "next": "/queue?q=eve"})
    assert (done.status, done.headers["location"], _assignee_name(desk, "eve")) == (303, "/queue?q=eve", "mia")


def test_the_last_assignment_wins_and_the_ledger_has_both(desk: Desk) -> None:
    mia, kim = desk.reviewer("mia"), desk.reviewer("kim")
    assert mia.post("/selection", {"do": "add", "key": _key(desk, "eve")}).status == 303
    assert _assign(desk, kim, "eve", "kim").status == 303
    assert mia.post("/assign", {"to": "mia"}).status == 303
    assert _assignee_name(desk, "eve") == "mia"
    assert [entry["actor"] for entry in desk.visitor().get("/audit.json?kind=RequestAssigned").json] == ["mia", "kim"]


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("vic", "vic is a viewer and cannot decide requests."),
        ("gone", "gone was removed from this desk."),
        ("nemo", "there is no member 'nemo'."),
        ("far", "far cannot decide at"),
        ("eve", "eve cannot decide their own request"),
        ("", "Nothing was assigned."),
        ("x" * 5000, "there is no member"),
        ("<b>", "there is no member '<b>'"),
    ],
)
def test_who_cannot_decide_there_is_refused_in_one_line(desk: Desk, to: str, words: str) -> None:
    mia = desk.reviewer("mia")
    desk.viewer("vic")
    desk.reviewer("gone")
    desk.revoke("gone")
    desk.reviewer("eve")
    desk.visitor(Member(name="far", role=MemberRole.REVIEWER, repos=("other/*",)))
    answer = _assign(desk, mia, "eve", to)
    assert (answer.status, words in text_of(answer.body)) == (422, True), text_of(answer.body)
    assert desk.row("eve").state.assigned is None


def test_a_request_is_assigned_on_its_page_without_a_script(desk: Desk) -> None:
    mia, _ = desk.reviewer("mia"), desk.reviewer("kim")
    path = f"/requests/{_key(desk, 'eve')}"
    assert "Assigned to nobody" in text_of(mia.get(path).body)
    body = mia.get(f"{path}?verb=assign").body
    names = re.findall(r'name="to" value="([^"]+)"( required checked)?', body)
    assert names == [("mia", " required checked"), ("kim", ""), ("lena-brandt", "")]
    assert _assign(desk, mia, "eve", "mia").status == 303
    again = re.findall(r'name="to" value="([^"]+)"( required checked)?', mia.get(f"{path}?verb=assign").body)
    assert again == [("mia", ""), ("kim", " required checked"), ("lena-brandt", ""), ("nobody", "")]


def test_the_sheet_of_a_request_that_cannot_be_assigned_says_why(desk: Desk) -> None:
    mia = desk.reviewer("mia")
    path, part = f"/requests/{_key(desk, 'eve')}/assign", {"hx_request": "true"}
    assert mia.ask("GET", "/assign", headers=part).status == 422, "nothing is selected"
    assert "who should decide" in mia.ask("GET", path, headers=part).body.lower()
    values = {"verb": "accept", "key": _key(desk, "eve"), "version": desk.row("eve").version.token}
    assert mia.post("/tray", values).status == 303
    assert "decided already" in text_of(mia.ask("GET", path, headers=part).body)
    mia.post("/tray/send")
    desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(minutes=1))
    answer = mia.ask("GET", path, headers=part)
    assert (answer.status, "Only pending requests can be assigned." in text_of(answer.body)) == (422, True)
    assert desk.viewer().ask("GET", path, headers=part).status in {403, 404}


def test_an_assignment_in_place_answers_with_the_row_as_it_is_now(desk: Desk) -> None:
    mia, kim = desk.reviewer("mia"), desk.reviewer("kim")
    path, part = f"/requests/{_key(desk, 'eve')}/assign", {"hx_request": "true"}
    done = mia.post(path, {"to": "kim"}, **part)
    assert (done.status, json.loads(done.headers["hx-trigger"])) == (
        200,
        {"desk-said": "The request of eve is assigned to kim."},
    )
    assert "assigned to kim" in text_of(done.body)
    refused = kim.post(path, {"to": "nemo"}, **part)
    assert (refused.status, _assignee_name(desk, "eve")) == (409, "kim")
    assert "there is no member" in text_of(refused.body)
    assert 'id="tray"' in refused.body, "the tray is replaced by itself"


def test_nobody_assigns_their_own_request_or_one_that_they_cannot_see(desk: Desk) -> None:
    eve, far = desk.reviewer("eve"), desk.reviewer("far", "other/*")
    desk.reviewer("mia")
    assert _assign(desk, eve, "eve", "mia").status == 422
    assert _assign(desk, far, "eve", "far").status == 404
    assert far.post("/assign", {"to": "far", "key": _key(desk, "eve")}).status == 404
    assert _assign(desk, desk.viewer(), "eve", "mia").status == 403


@pytest.mark.parametrize("how", ["removed", "viewer", "narrowed"])
def test_a_member_who_may_not_decide_any_more_has_nothing_assigned(desk: Desk, how: str) -> None:
    mia = desk.reviewer("mia")
    desk.reviewer("kim")
    assert _assign(desk, mia, "eve", "kim").status == 303
    if how == "removed":
        desk.revoke("kim")
    elif how == "viewer":
        desk.viewer("kim")
    else:
        desk.reviewer("kim", "other/*")
    assert desk.row("eve").state.assigned is None
    assert _found(mia, "assigned:none") == 3
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok


def test_a_new_attempt_is_assigned_to_nobody(desk: Desk) -> None:
    mia = desk.reviewer("mia")
    desk.reviewer("kim")
    assert _assign(desk, mia, "eve", "kim").status == 303
    row = desk.row("eve")
    values = {
        "verb": "reset",
        "key": _key(desk, "eve"),
        "version": row.version.token,
        "reason": "Say more.",
        "text": "Say more.",
    }
    assert mia.post("/tray", values).status == 303
    mia.post("/tray/send")
    desk.app_state.tray_service.send_due(desk.app_state.now())
    assert (desk.row("eve").state.status, desk.row("eve").state.assigned) == ("reset", None)
    desk.ask([{"username": "eve"}], {"Purpose": GOOD})
    assert (desk.row("eve").state.status, desk.row("eve").state.assigned) == ("pending", None)
    assert mia.post("/assign", {"to": "kim", "key": _key(desk, "eve")}).status == 303


def test_settings_name_a_removed_member_as_such(desk: Desk) -> None:
    desk.reviewer("kim")
    desk.revoke("kim")
    body = text_of(desk.visitor().get("/settings").body)
    assert "kim (removed)" in body
    assert Member(name="kim~m_12ab", role=MemberRole.VIEWER).shown_name == "kim (removed)"


def test_settings_say_how_to_turn_letters_on(desk: Desk) -> None:
    body = desk.visitor().get("/settings").body
    assert "letters: {kinds: [received, ended]}" in text_of(body)
    assert 'href="/letters"' not in body


def test_an_assignment_holds_when_its_requester_is_erased(desk: Desk) -> None:
    mia = desk.reviewer("mia")
    desk.reviewer("kim")
    assert _assign(desk, mia, "eve", "kim").status == 303
    row, store = desk.row("eve"), desk.app_state.workspace.store
    assert desk.visitor().post(f"/people/{row.person.pseudonym}/erase", {"name": "eve"}).status in {200, 303}
    assert store.find_by_identity(None, "eve") == []
    assert verify_ledger(store, with_tables=True).ok
    desk.revoke("kim")
    left = store.request(row.id)
    assert left is not None
    assert left.state.assigned is None
    assert verify_ledger(store, with_tables=True).ok
