"""The end of an access is changed from the browser, by the event that `accept --until` writes about somebody who is in."""

from __future__ import annotations

import pytest

from hf_gate.base.timestamps import DAY_MS, from_ms, to_ms
from hf_gate.core.events.events import GrantDated, decode_event
from hf_gate.core.people.grants import format_last_day
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.stored_rows import entry_about
from tests.kits.desk import GOOD, Answer, Desk, Visitor, text_of


@pytest.fixture
def granted(desk: Desk) -> Desk:
    """Ada is in, without an end; bob waits."""
    desk.ask([{"username": name, "email": f"{name}@ethz.ch"} for name in ("ada", "bob")], {"Purpose": GOOD})
    desk.app_state.workspace.hub.accept(desk.repo, "ada")
    desk.read()
    return desk


def _change(desk: Desk, visitor: Visitor, name: str = "ada", **values: str) -> Answer:
    row = desk.row(name)
    return visitor.post(f"/requests/{row.state.hub_request}/end", {"version": row.version.token, **values})


def test_an_end_is_changed_to_a_date_and_taken_away_again(granted: Desk) -> None:
    lena, writes = granted.visitor(), granted.count_writes()
    page = f"/requests/{granted.row('ada').state.hub_request}"
    assert "Change end…" in lena.get(page).body
    assert "no end" in lena.get(f"{page}/end", hx_request="true").body
    answer = _change(granted, lena, until="day", day="2099-06-30", next=page)
    assert (answer.status, answer.headers["location"]) == (303, page)
    assert "access until 30 Jun 2099" in lena.get(page).body
    assert "30 Jun 2099" in lena.get(f"{page}/end", hx_request="true").body
    before = granted.row("ada").state.until or 0
    _change(granted, lena, until="90d")
    assert granted.row("ada").state.until == before + 90 * DAY_MS, "it counts from the end"
    refused = _change(granted, lena, until="day", day="2098-06-30")
    assert (refused.status, "access until 30 Jun 2098 instead of 28 Sep 2099" in text_of(refused.body)) == (422, True)
    form = lena.get(f"{page}/end", hx_request="true").body
    assert f'name="shown_end" value="{granted.row("ada").state.ends_at}"' in form
    assert "90 days more 27 Dec 2099" in text_of(form)
    assert _change(granted, lena, until="90d", shown_end=str(before)).status == 409, "it changed since it was shown"
    _change(granted, lena, until="day", day="2098-06-30", shorten="yes")
    assert "access until 30 Jun 2098" in lena.get(page).body
    _change(granted, lena, until="none")
    assert granted.row("ada").state.until is None
    assert "access no longer has an end" in lena.get(page).body
    assert granted.count_writes() == writes, "the Hub knows no ends"
    entries = granted.app_state.workspace.store.entries(request=granted.row("ada").id, limit=20)
    dated = [one.link for one in entries if isinstance(decode_event(one.link.body), GrantDated)]
    assert {link.actor for link in dated} == {"lena-brandt"}
    assert len(dated) == 4


def test_an_end_that_is_over_or_was_not_chosen_changes_nothing(granted: Desk) -> None:
    lena = granted.visitor()
    for values in ({}, {"until": "day"}, {"until": "day", "day": "2020-01-01"}, {"until": "soon"}):
        assert _change(granted, lena, **values).status == 422
    assert granted.row("ada").state.until is None


def test_who_moved_meanwhile_or_is_not_in_gets_no_end(granted: Desk) -> None:
    lena = granted.visitor()
    assert _change(granted, lena, "bob", until="30d").status == 409
    assert "Change end" not in lena.get(f"/requests/{granted.row('bob').state.hub_request}").body
    assert _change(granted, lena, until="30d", version="0" * 16).status == 409
    assert granted.row("ada").state.until is None


def test_nobody_changes_the_end_of_their_own_access(granted: Desk) -> None:
    ada = granted.visitor(Member(name="ada", role=MemberRole.REVIEWER))
    assert _change(granted, ada, until="none").status == 403


def test_a_decision_in_the_tray_goes_before_another_end(granted: Desk) -> None:
    lena, row = granted.visitor(), granted.row("ada")
    decision = {"verb": "reset", "key": row.state.hub_request or "", "version": row.version.token, "silent": "yes"}
    assert lena.post("/tray", decision).status == 303
    assert _change(granted, lena, until="30d").status == 409


def test_the_page_of_a_person_leads_to_the_end_of_each_access(granted: Desk) -> None:
    lena, row = granted.visitor(), granted.row("ada")
    page = lena.get(f"/people/{row.person.pseudonym}").body
    assert f'data-sheet-url="/requests/{row.state.hub_request}/end"' in page
    vic = granted.viewer()
    assert "/end" not in vic.get(f"/people/{row.person.pseudonym}").body
    assert vic.post(f"/requests/{row.state.hub_request}/end", {"until": "none"}).status == 403
    assert (
        f'action="/requests/{row.state.hub_request}/end"'
        in lena.get(f"/requests/{row.state.hub_request}?verb=end").body
    )


def test_a_date_is_compared_with_the_date_while_a_condition_is_false(granted: Desk) -> None:
    lena = granted.visitor()
    _change(granted, lena, until="day", day="2099-06-30")
    row = granted.row("ada")
    at = to_ms(granted.app_state.now())
    lapsed = GrantDated(until=row.state.until, lapses=(at + DAY_MS,), cause="keep_while")
    with granted.app_state.workspace.store.writing() as write:
        write.append_to_chains([(row.repo, entry_about(row, lapsed, "policy:house", at))])
    form = text_of(lena.get(f"/requests/{row.state.hub_request}/end", hx_request="true").body)
    day = format_last_day(from_ms(at + DAY_MS), granted.app_state.workspace.zone)
    assert f"access until 30 Jun 2099 now. While a condition is false, only until {day} ." in form
    refused = _change(granted, lena, until="day", day="2098-06-30")
    assert (refused.status, "access until 30 Jun 2098 instead of 30 Jun 2099" in text_of(refused.body)) == (422, True)


def test_an_end_by_a_condition_that_is_unknown_now_is_shown_as_such(granted: Desk) -> None:
    lena = granted.visitor()
    _change(granted, lena, until="day", day="2099-06-30")
    with granted.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE requests SET is_undecided = ? WHERE ends_at IS NOT NULL", (True,))
    row = granted.row("ada")
    page = text_of(lena.get(f"/requests/{row.state.hub_request}").body)
    assert "access stays while a condition is unknown; if it is false, access until" in page
    person = text_of(lena.get(f"/people/{row.person.pseudonym}").body)
    assert "condition unknown: access stays" in person
