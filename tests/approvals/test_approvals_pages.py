"""Two approvals in the desk: what each person sees, both presses count, and one person cannot be two."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.approvals.service.approval_alarms import raise_approval_alarms
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, POLICY, Answer, Desk, Visitor, open_desk, text_of
from tests.kits.desk_actions import TWO_REVIEWERS, make_reviewer, read_status


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    assert TWO_REVIEWERS != POLICY
    with open_desk(tmp_path, TWO_REVIEWERS) as made:
        made.ask(
            [{"username": "ada", "email": "ada@eth.ch"}, {"username": "bo", "email": "bo@eth.ch"}], {"Purpose": GOOD}
        )
        yield made


def accept(desk: Desk, visitor: Visitor, who: str = "ada", **more: str) -> Answer:
    row = desk.row(who)
    return visitor.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}", **more})


def test_the_first_approval_is_shown_with_its_note_and_the_second_is_sent(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(make_reviewer("mia"))
    address = f"/requests/{desk.row('ada').state.hub_request}"
    assert "Approve (1 of 2)" in text_of(mia.get(address).body)
    accept(desk, mia, note="Checked <b>the</b> agreement.")
    desk.send_due()
    assert read_status(desk) == "pending"
    row, page = text_of(lena.get("/queue").body), lena.get(address)
    assert "1 of 2: mia," in row
    assert "Checked <b>the</b> agreement." in row
    assert "1 decision failed" not in text_of(mia.get("/queue").body)
    assert "Approve (2 of 2)" in text_of(page.body)
    assert "<b>the</b>" not in page.body
    approvals = {one["user"]: one["approvals"] for one in lena.get("/queue.json").json}
    assert ([one["by"] for one in approvals["ada"]["given"]], approvals["ada"]["needed"]) == (["mia"], 2)
    assert approvals["bo"] is None
    accept(desk, lena)
    desk.send_due()
    assert read_status(desk) == "accepted"


def test_the_second_person_is_shown_the_earlier_end_that_the_first_one_chose(tmp_path: Path) -> None:
    with open_desk(tmp_path, TWO_REVIEWERS.replace("reviewers: 2\n", "reviewers: 2\n    until: 1y\n")) as desk:
        desk.ask([{"username": "ada", "email": "ada@eth.ch"}], {"Purpose": GOOD})
        lena, mia = desk.visitor(), desk.visitor(make_reviewer("mia"))
        address = f"/requests/{desk.row('ada').state.hub_request}"
        day = desk.app_state.now() + timedelta(days=90)
        accept(desk, mia, until=f"{day:%Y-%m-%d}")
        desk.send_due()
        shown = f"until {day.day} {day:%b %Y}"
        assert f"Approve (2 of 2) {shown}" in text_of(lena.get(address).body)
        assert f'aria-label="Approve (2 of 2) ada {shown}"' in lena.get("/queue").body
        version = re.search(r'name="accept" value="(\S+)"', lena.get(address).body)
        assert version is not None
        lena.post("/tray", {"accept": version[1]})
        desk.send_due()
        assert read_status(desk) == "accepted"
        assert "as mia approved" in text_of(lena.get(f"/requests/{desk.row('ada').state.hub_request}").body)


def test_an_approval_that_no_longer_counts_is_shown_with_the_reason(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(make_reviewer("mia"))
    accept(desk, mia)
    desk.send_due()
    with Hub(desk.local.tokens["owner"], desk.local.url) as other:
        other.reject(desk.repo, "ada", reason="A mistake.")
        desk.read(SyncKind.FULL)
        other.cancel(desk.repo, "ada")
    desk.read(SyncKind.FULL)
    page = text_of(lena.get(f"/requests/{desk.row('ada').state.hub_request}").body)
    assert "0 of 2 approvals mia, " in page
    assert "no longer counts, because the request or the rule changed" in page


def test_the_first_approver_sees_why_another_press_does_not_count(desk: Desk) -> None:
    mia = desk.visitor(make_reviewer("mia"))
    accept(desk, mia)
    desk.send_due()
    page = text_of(mia.get(f"/requests/{desk.row('ada').state.hub_request}").body)
    assert "You approved this. Another person must approve it too." in page
    assert accept(desk, mia).status == 403
    assert list_waiting_decisions(desk.app_state.workspace.store) == []


def test_after_the_first_approval_the_row_offers_no_second_press_to_the_same_person(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(make_reviewer("mia"))
    row = desk.row("ada")
    fresh = f'name="accept" value="n{row.id}:'
    assert fresh in mia.get("/queue?q=user:ada").body
    accept(desk, mia)
    assert "approving" in text_of(mia.get("/queue?q=user:ada").body)
    desk.send_due()
    mine, theirs = mia.get("/queue?q=user:ada"), lena.get("/queue?q=user:ada")
    assert fresh not in mine.body
    assert 'data-key-label="approved by you"' in mine.body
    assert "; another person must approve" in text_of(mine.body)
    assert 'data-key-label="approve (2 of 2)"' in theirs.body
    assert "another person must approve" not in text_of(theirs.body)


def test_presses_of_two_people_at_the_same_moment_both_count(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(make_reviewer("mia"))
    assert accept(desk, mia).status == accept(desk, lena).status == 303
    assert len(list_waiting_decisions(desk.app_state.workspace.store)) == 2
    assert accept(desk, lena).status == 409
    row = desk.row("ada")
    rejected = {"verb": "reject", "key": str(row.state.hub_request), "version": row.version.token, "reason": "no"}
    assert desk.visitor(make_reviewer("kim")).post("/tray", rejected).status == 409
    desk.send_due()
    assert read_status(desk) == "accepted"


def test_an_own_approval_can_be_taken_back(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(make_reviewer("mia"))
    accept(desk, mia)
    desk.send_due()
    address = f"/requests/{desk.row('ada').state.hub_request}"
    assert "Take back your approval" in text_of(mia.get(address).body)
    assert "Take back your approval" not in text_of(lena.get(address).body)
    assert lena.post(f"{address}/approval/withdraw").status in {403, 422}
    assert mia.post(f"{address}/approval/withdraw").status == 303
    accept(desk, lena)
    desk.send_due()
    assert read_status(desk) == "pending"
    assert "1 of 2: you," in text_of(lena.get("/queue").body)


def _select(desk: Desk, visitor: Visitor, *names: str) -> str:
    """The address of the page that confirms the acceptance of these requests."""
    visitor.post("/selection", {"do": "clear"})
    keys = [str(desk.row(name).state.hub_request) for name in names]
    for key in keys:
        visitor.post("/selection", {"do": "add", "key": key})
    return visitor.post("/bulk", {"verb": "accept"}).headers["location"]


def _confirm(visitor: Visitor, address: str, count: int) -> Answer:
    return visitor.post(address.partition("?")[0], {"verb": "accept", "count": str(count), "do": "send"})


def test_a_selection_says_that_first_approvals_send_nothing(desk: Desk) -> None:
    mia, lena = desk.visitor(make_reviewer("mia")), desk.visitor()
    address = _select(desk, mia, "ada", "bo")
    page = text_of(mia.get(address).body)
    assert "2 get your approval (1 of 2); nothing is sent." in page
    assert "Approve 2" in page
    assert "Recorded after 60 s;" in page
    assert "get access" not in page
    assert "download at once" not in page
    assert _confirm(mia, address, 2).status == 303
    desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(minutes=2))
    assert (read_status(desk, "ada"), read_status(desk, "bo")) == ("pending", "pending")
    address = _select(desk, lena, "ada", "bo")
    page = text_of(lena.get(address).body)
    assert "2 people get access; they can download at once." in page
    assert "your approval" not in page
    assert _confirm(lena, address, 2).status == 303
    desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(minutes=4))
    assert (read_status(desk, "ada"), read_status(desk, "bo")) == ("accepted", "accepted")


def test_a_selection_counts_those_that_still_lack_an_approval(desk: Desk) -> None:
    mia, lena = desk.visitor(make_reviewer("mia")), desk.visitor()
    accept(desk, mia)
    desk.send_due()
    page = text_of(lena.get(_select(desk, lena, "ada", "bo")).body)
    assert "1 gets your approval (1 of 2); nothing is sent 1 gets access and can download at once" in page
    assert "Not all of the 2 get access now." in page
    assert "2 people get access" not in page
    page = text_of(lena.get(_select(desk, lena, "bo")).body)
    assert page.startswith("Accept 1 request?")
    assert "1 gets your approval (1 of 2); nothing is sent." in page
    page = text_of(mia.get(_select(desk, mia, "ada", "bo")).body)
    assert "1 is left out: You approved this. Another person must approve it too." in page
    assert "1 gets your approval (1 of 2); nothing is sent" in page
    assert "Nobody gets access now." in page
    assert "gets access and" not in page
    assert "Recorded after 60 s;" in page


def test_a_selection_with_an_own_approval_carries_the_others(desk: Desk) -> None:
    mia = desk.visitor(make_reviewer("mia"))
    accept(desk, mia)
    desk.send_due()
    address = _select(desk, mia, "ada", "bo")
    sent = _confirm(mia, address, 2)
    assert (sent.status, list_waiting_decisions(desk.app_state.workspace.store)[0].request) == (303, desk.row("bo").id)
    assert "1 selected" in text_of(mia.get(sent.headers["location"]).body), "it stays selected"
    desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(minutes=2))
    assert "1 of 2: you," in text_of(mia.get("/queue?q=bo").body)
    alone = _confirm(mia, _select(desk, mia, "ada"), 1)
    assert (alone.status, "You approved this." in text_of(alone.body)) == (403, True)


def test_a_view_lists_what_needs_a_second_approval(desk: Desk) -> None:
    mia = desk.visitor(make_reviewer("mia"))
    assert "Needs a second approval" not in text_of(mia.get("/queue").body)
    accept(desk, mia)
    desk.send_due()
    assert "Needs a second approval" in text_of(mia.get("/queue").body)
    assert mia.get("/queue?q=status:pending+approval:second").rows == [desk.row("ada").state.hub_request]
    assert mia.get("/queue?q=status:pending+-approval:second").rows == [desk.row("bo").state.hub_request]


def test_an_acceptance_outside_shows_an_alarm_until_an_admin_acknowledges_it(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(make_reviewer("mia"))
    raise_approval_alarms(desk.app_state.workspace, [desk.repo])
    with Hub(desk.local.tokens["admin"], desk.local.url) as other:
        other.accept(desk.repo, "ada")
    desk.read()
    raise_approval_alarms(desk.app_state.workspace, [desk.repo])
    address = f"/requests/{desk.row('ada').state.hub_request}"
    for page in ("/queue", "/overview", address):
        assert "Approvals missing" in text_of(mia.get(page).body), page
    assert len(lena.get("/queue?q=status:accepted+approval:missing").rows) == 1
    assert mia.post(f"{address}/approval/acknowledge").status == 403
    assert lena.post(f"{address}/approval/acknowledge").status == 303
    assert "Approvals missing" not in text_of(mia.get("/queue").body)
    assert lena.post(f"{address}/approval/acknowledge").status == 422


def test_whoever_accepted_outside_does_not_acknowledge_the_alarm_if_another_admin_can(desk: Desk) -> None:
    lena = desk.visitor()
    raise_approval_alarms(desk.app_state.workspace, [desk.repo])
    with Hub(desk.local.tokens["owner"], desk.local.url) as other:
        other.accept(desk.repo, "ada")
        other.accept(desk.repo, "bo")
    desk.read()
    raise_approval_alarms(desk.app_state.workspace, [desk.repo])
    ada, bo = (f"/requests/{desk.row(name).state.hub_request}/approval/acknowledge" for name in ("ada", "bo"))
    assert lena.post(ada).status == 303, "lena is alone"
    mia = desk.visitor(Member(name="mia", role=MemberRole.ADMIN))
    refused = lena.post(bo)
    assert (refused.status >= 400, "accepted this person on the Hub yourself" in refused.body) == (True, True)
    desk.local.add_people([{"username": "lena2"}])
    second = desk.sign_in(desk.add_account("lena2", MemberRole.ADMIN))
    refused = second.post(bo)
    assert (refused.status >= 400, "count as two people only after" in refused.body) == (True, True)
    assert mia.post(bo).status == 303
