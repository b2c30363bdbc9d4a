"""A decision lies in the tray for its time, can be taken back, leaves once, and yields to whoever decided before."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import cast

import pytest

from hf_gate import Hub
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.desk.server import default_hold
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.store.rows.tray import (
    find_latest_decisions,
    list_due_decisions,
    list_unsent_decisions,
    list_waiting_decisions,
    schedule_decisions,
)
from hf_gate.store.store import Store
from hf_gate.workspace.rows.backups import disarm
from tests.kits.desk import GOOD, Answer, Desk, Visitor, parse_page
from tests.kits.faulty_stores import FailingStore, KilledError


@pytest.fixture
def asked(desk: Desk) -> Desk:
    desk.ask([{"username": name} for name in ("ada", "bob", "cyd")], {"Purpose": GOOD})
    return desk


def _decide(desk: Desk, visitor: Visitor, verb: str, name: str, **more: str) -> Answer:
    row = desk.row(name)
    values = {"verb": verb, "key": row.state.hub_request or "", "version": row.version.token, **more}
    return visitor.post("/tray", values)


def _status(desk: Desk, name: str) -> str:
    """As the Hub has it."""
    found = desk.app_state.workspace.hub.find(desk.repo, name)
    return str(found.status) if found else "gone"


def test_nothing_is_sent_in_the_instant_of_a_decision(asked: Desk) -> None:
    lena, before = asked.visitor(), asked.count_writes()
    assert _decide(asked, lena, "accept", "ada").status == 303
    asked.app_state.tray_service.send_due(asked.app_state.now())
    assert (_status(asked, "ada"), asked.count_writes()) == ("pending", before)
    assert "1 decision will be sent in" in lena.get("/queue").body


def test_what_is_taken_back_never_happened(asked: Desk) -> None:
    lena = asked.visitor()
    _decide(asked, lena, "accept", "ada")
    lena.post("/tray/undo")
    asked.send_due()
    assert _status(asked, "ada") == "pending"
    assert "will be sent in" not in lena.get("/queue").body
    assert _decide(asked, lena, "reset", "ada", reason="Please say more").status == 303


def test_the_last_batch_alone_is_taken_back(asked: Desk) -> None:
    lena = asked.visitor()
    _decide(asked, lena, "accept", "ada")
    _decide(asked, lena, "accept", "bob")
    lena.post("/tray/undo", {"which": "last"})
    asked.send_due()
    assert (_status(asked, "ada"), _status(asked, "bob")) == ("accepted", "pending")


def test_its_time_come_it_leaves_once_and_stands_in_the_ledger(asked: Desk) -> None:
    lena, before = asked.visitor(), asked.count_writes()
    _decide(asked, lena, "accept", "ada")
    _decide(asked, lena, "reset", "bob", reason="Please say more")
    asked.send_due()
    assert (_status(asked, "ada"), _status(asked, "bob")) == ("accepted", "reset")
    assert asked.count_writes() == before + 2
    asked.send_due()
    assert asked.count_writes() == before + 2
    kinds = [row.link.kind for row in asked.app_state.workspace.store.entries(request=asked.row("ada").id)]
    assert kinds[:2] == ["ChangeSettled", "ChangeStarted"]
    assert asked.app_state.workspace.store.entries(request=asked.row("ada").id)[0].link.actor == "lena-brandt"


def test_the_page_says_where_those_stand_that_were_sent_before_the_latest(desk: Desk) -> None:
    names = [f"p{n:02}" for n in range(21)]
    desk.ask([{"username": name} for name in names], {"Purpose": GOOD})
    lena = desk.visitor()
    for name in names[:19]:
        _decide(desk, lena, "accept", name)
    desk.send_due()
    assert "These are the latest" not in lena.get("/tray").body
    for name in names[19:]:
        _decide(desk, lena, "accept", name)
    desk.send_due()
    assert 'These are the latest 20; earlier ones are in <a href="/audit">the audit log</a>.' in lena.get("/tray").body


def test_held_until_somebody_sends_it(asked: Desk) -> None:
    lena = asked.visitor()
    _decide(asked, lena, "accept", "ada")
    lena.post("/tray/hold")
    assert list_due_decisions(asked.app_state.workspace.store, 1 << 60) == []
    assert "for you to send" in lena.get("/queue").body
    lena.post("/tray/send")
    asked.app_state.tray_service.send_due(asked.app_state.now())
    assert _status(asked, "ada") == "accepted"


@pytest.mark.parametrize("verb", ["reset", "reject"])
def test_who_is_refused_is_told_why_unless_it_is_meant(asked: Desk, verb: str) -> None:
    lena = asked.visitor()
    assert _decide(asked, lena, verb, "ada").status == 422
    assert _decide(asked, lena, verb, "ada", reason="x" * 201).status == 422
    assert _decide(asked, lena, verb, "ada", reason="😀" * 101).status == 422
    assert list_waiting_decisions(asked.app_state.workspace.store) == []
    assert _decide(asked, lena, verb, "ada", silent="yes").status == 303


def test_a_verb_that_does_not_fit_is_refused(asked: Desk) -> None:
    assert _decide(asked, asked.visitor(), "cancel", "ada").status == 422
    assert _decide(asked, asked.visitor(), "destroy", "ada").status == 422


# ---- two reviewers -------------------------------------------------------------------------------------------------------


def test_the_second_is_shown_the_first(asked: Desk) -> None:
    lena, mia = asked.visitor(), asked.reviewer("mia")
    assert _decide(asked, lena, "accept", "ada").status == 303
    lost = _decide(asked, mia, "reject", "ada", reason="no")
    assert lost.status == 409
    assert "lena-brandt has decided this already: Accept ada" in lost.body
    asked.send_due()
    assert _status(asked, "ada") == "accepted"


def test_what_was_seen_before_somebody_decided_decides_nothing(asked: Desk) -> None:
    lena, mia = asked.visitor(), asked.reviewer("mia")
    seen = asked.row("ada").version.token
    _decide(asked, lena, "accept", "ada")
    asked.send_due()
    key = asked.row("ada").state.hub_request or ""
    lost = mia.post("/tray", {"verb": "reject", "key": key, "version": seen, "reason": "no"})
    assert lost.status == 409
    assert "ada is accepted now" in lost.body
    assert "lena-brandt" in lost.body
    assert list_waiting_decisions(asked.app_state.workspace.store) == []


def test_what_moved_on_the_hub_meanwhile_is_left_alone(asked: Desk) -> None:
    lena = asked.visitor()
    _decide(asked, lena, "accept", "ada")
    with Hub(asked.local.tokens["admin"], asked.local.url) as other:
        other.reject(asked.repo, "ada", reason="outside")
    asked.send_due()
    assert _status(asked, "ada") == "rejected"
    body = lena.get("/queue").body
    assert "1 decision failed" in body
    lena.post("/tray/seen")
    assert "failed" not in lena.get("/queue").body


def test_a_request_that_was_decided_and_returned_meanwhile_is_left_alone(asked: Desk) -> None:
    lena = asked.visitor()
    _decide(asked, lena, "accept", "ada")
    with Hub(asked.local.tokens["admin"], asked.local.url) as other:
        for move in (other.accept, other.cancel):
            move(asked.repo, "ada")
            asked.read(SyncKind.FULL)
    asked.send_due()
    assert _status(asked, "ada") == "pending"
    assert "its status changed and changed back" in lena.get("/tray").body


def test_another_persons_tray_is_not_mine(asked: Desk) -> None:
    lena, mia = asked.visitor(), asked.reviewer("mia")
    _decide(asked, lena, "accept", "ada")
    mia.post("/tray/undo")
    mia.post("/tray/send")
    mia.post("/tray/undo", {"key": asked.row("ada").state.hub_request or ""})
    assert len(list_waiting_decisions(asked.app_state.workspace.store)) == 1
    assert "by lena-brandt" in mia.get("/queue").body


def test_nobody_decides_a_request_of_their_own(asked: Desk) -> None:
    asked.ask([{"username": "mia"}], {"Purpose": GOOD})
    assert _decide(asked, asked.reviewer("mia"), "accept", "mia").status == 403
    assert _decide(asked, asked.visitor(), "accept", "mia").status == 303


# ---- when something breaks -------------------------------------------------------------------------------------------------


def test_all_that_did_not_come_about_are_counted_though_few_are_named(desk: Desk) -> None:
    names = [f"p{n:02}" for n in range(12)]
    desk.ask([{"username": name} for name in names], {"Purpose": GOOD})
    lena = desk.visitor()
    for name in names:
        _decide(desk, lena, "accept", name)
    with Hub(desk.local.tokens["admin"], desk.local.url) as other:
        for name in names:
            other.reject(desk.repo, name, reason="outside")
    desk.send_due()
    said = " ".join(" ".join(parse_page(lena.get("/tray").body).text).split())
    assert "12 decisions failed" in said
    assert said.count("stale") == 8
    assert "and 4 more" in said


def test_while_the_hub_is_away_decisions_stay_in_the_tray(asked: Desk) -> None:
    _decide(asked, asked.visitor(), "accept", "ada")
    asked.local.set_faults(["down:s=3600"])
    with Hub(asked.local.tokens["owner"], asked.local.url, max_wait=0.0) as impatient:
        asked.app_state.workspace.hub = impatient
        asked.send_due()
    waiting = list_waiting_decisions(asked.app_state.workspace.store)
    assert [(one.is_being_sent, one.outcome) for one in waiting] == [(False, None)]
    assert asked.app_state.tray_service.problem
    asked.local.set_faults([])
    with Hub(asked.local.tokens["owner"], asked.local.url) as patient:
        asked.app_state.workspace.hub = patient
        asked.send_due()
        assert _status(asked, "ada") == "accepted"
    assert asked.app_state.tray_service.problem is None


def test_a_decision_whose_run_was_never_begun_is_sent_after_a_restart(asked: Desk) -> None:
    _decide(asked, asked.visitor(), "accept", "ada")
    workspace = asked.app_state.workspace
    (item,) = list_waiting_decisions(workspace.store)
    with workspace.store.writing() as write:  # as a process that died before it read the requests
        write.db.run("UPDATE runs SET state = 'ready' WHERE id = ?", (item.run.id,))
    asked.send_due()
    assert (_status(asked, "ada"), list_unsent_decisions(workspace.store, item.run.member or "")) == ("pending", [])
    asked.app_state.tray_service.recover()
    assert [one.outcome for one in list_unsent_decisions(workspace.store, item.run.member or "")] == [None]
    asked.send_due()
    assert _status(asked, "ada") == "accepted"


@pytest.mark.parametrize("state", ["planned", "started"])
def test_what_was_being_sent_when_a_backup_was_made_stays_on_hold_after_a_restore(asked: Desk, state: str) -> None:
    _decide(asked, asked.visitor(), "accept", "ada")
    workspace = asked.app_state.workspace
    with workspace.store.writing() as write:
        write.db.run("UPDATE runs SET state = 'ready'")
        write.db.run("UPDATE changes SET state = ?", (state,))
    disarm(workspace.store, {}, "lena-brandt", 1)
    asked.app_state.tray_service.recover()
    (item,) = list_waiting_decisions(workspace.store)
    assert (item.request, item.is_being_sent, item.run.starts_at) == (asked.row("ada").id, False, None)


@pytest.mark.parametrize("when", ["before", "in", "after"])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_desk_that_dies_between_any_two_writes_sends_each_decision_once(asked: Desk, at: int, when: str) -> None:
    lena = asked.visitor()
    before = asked.count_writes()
    workspace = asked.app_state.workspace
    for name in ("ada", "bob", "cyd"):
        _decide(asked, lena, "accept", name)
    kept = workspace.store
    workspace.store = cast("Store", FailingStore(kept, at, when))
    with suppress(KilledError):
        asked.send_due()
    workspace.store = kept
    waiting = list_waiting_decisions(workspace.store)
    assert {one.request for one in waiting} | {asked.row(name).id for name in _accepted(asked)} >= {
        asked.row(name).id for name in ("ada", "bob", "cyd")
    }, "none is lost"
    asked.app_state.tray_service.recover()
    asked.send_due()
    assert _accepted(asked) == ["ada", "bob", "cyd"]
    assert asked.count_writes() - before == 1, "all three leave in one call"
    assert list_waiting_decisions(workspace.store) == []
    assert verify_ledger(workspace.store, with_tables=True).ok


def _accepted(desk: Desk) -> list[str]:
    return [name for name in ("ada", "bob", "cyd") if _status(desk, name) == "accepted"]


def test_a_decision_whose_answer_was_lost_is_read_back_and_not_sent_again(asked: Desk) -> None:
    lena = asked.visitor()
    workspace = asked.app_state.workspace
    _decide(asked, lena, "accept", "ada")
    (waiting,) = list_waiting_decisions(workspace.store)
    asked.send_due()
    writes = asked.count_writes()
    sent = find_latest_decisions(workspace.store, [waiting.request])[waiting.request]
    with workspace.store.writing() as write:  # as a process that died before it stored the answer
        write.db.run("UPDATE changes SET state = 'started' WHERE run = ?", (sent.run.id,))
        write.db.run("UPDATE runs SET state = 'ready' WHERE id = ?", (sent.run.id,))
    assert [one.is_being_sent for one in list_waiting_decisions(workspace.store)] == [True]
    asked.app_state.tray_service.recover()
    asked.send_due()
    assert asked.count_writes() == writes
    assert find_latest_decisions(workspace.store, [waiting.request])[waiting.request].outcome == OutcomeKind.DONE


# ---- one counter, and how long it counts -----------------------------------------------------------------------------------


def _words(body: str) -> str:
    return " ".join(" ".join(parse_page(body).text).split())


def test_one_counter_says_when_the_first_leaves(asked: Desk) -> None:
    lena = asked.visitor()
    _decide(asked, lena, "accept", "ada")
    mine = list_waiting_decisions(asked.app_state.workspace.store)
    schedule_decisions(asked.app_state.workspace.store, [mine[0].run.id], mine[0].run.made_at + 5000)
    _decide(asked, lena, "accept", "bob")
    page = lena.get("/queue").body
    assert re.search(r"2 decisions, the first will be sent in [1-5] s", _words(page))
    assert page.count("<span data-left=") == 1, "none in the rows"
    same = [one.run.id for one in list_waiting_decisions(asked.app_state.workspace.store)]
    schedule_decisions(asked.app_state.workspace.store, same, mine[0].run.made_at + 5000)
    assert re.search(r"2 decisions will be sent in [0-5] s", _words(lena.get("/queue").body))


@pytest.mark.parametrize(
    ("host", "public", "seconds"),
    [
        ("127.0.0.1", None, 10),
        ("localhost", None, 10),
        ("::1", None, 10),
        ("192.0.2.7", None, 30),
        ("127.0.0.1", "https://desk.example.org", 30),
    ],
)
def test_there_is_more_time_to_undo_where_others_reach_the_desk(host: str, public: str | None, seconds: float) -> None:
    assert default_hold(host, public) == seconds
