"""The decision hook: another system decides once for each Idempotency-Key, within its verbs, its repos and the rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hf_gate import Hub
from hf_gate.base.timestamps import DAY_MS, from_ms, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.stored_rows import entry_about
from hf_gate.decisions.service.budgets import read_budgets
from hf_gate.decisions.service.tray import DecisionRequest
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.rows.api_keys import revoke_key
from hf_gate.privacy.service.erasure import erase, find_person
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.settings.service.unattended_stop import UnattendedStop, write_stop
from hf_gate.store.rows.tray import list_waiting_decisions
from hf_gate.testing import LocalHub
from tests.kits.desk import GOOD, POLICY, Answer, Desk, Visitor, open_desk, open_existing_desk, serve_desk, write_desk
from tests.kits.key_calls import BARE, give_key, send, settle
from tests.kits.manual_clock import ManualClock
from tests.kits.stores import new_schema

TWO = POLICY.replace("then: accept\n", "then: accept\n    reviewers: 2\n")


@pytest.fixture
def asked(desk: Desk) -> Desk:
    desk.ask([{"username": name} for name in ("ada-l", "bob99")], {"Purpose": GOOD})
    return desk


def _wish(desk: Desk, person: str = "ada-l", action: str = "accept", **more: Any) -> dict[str, Any]:
    return {"repo": str(desk.repo), "person": person, "action": action} | more


def test_a_system_accepts_who_paid_and_the_same_call_gives_the_same_answer(asked: Desk) -> None:
    key = give_key(asked)
    wish = _wish(asked, until="90d")
    done = settle(asked, key, wish)
    assert (done.status, done.json["outcome"], done.json["user"]) == (200, "done", "ada-l")
    run = asked.app_state.workspace.store.run(done.json["run"])
    assert run is not None
    assert (run.actor, run.account) == ("key:billing", None)
    row = asked.row("ada-l")
    assert row.state.status == "accepted"
    assert (from_ms(row.state.until or 0) - asked.app_state.now()).days in {89, 90}
    assert asked.local.stats()["calls"]
    writes = asked.count_writes()
    for _ in range(3):
        assert send(asked, key, wish).json == done.json
    spaced = json.dumps(wish, indent=3).encode()
    assert send(asked, key, spaced).json == done.json, "the same decision, written differently"
    assert asked.count_writes() == writes
    other = send(asked, key, _wish(asked, "bob99", until="90d"))
    assert (other.status, other.json["error"]) == (409, "This Idempotency-Key was sent with another body.")
    assert asked.row("bob99").state.status == "pending"
    assert verify_ledger(asked.app_state.workspace.store, with_tables=True).ok
    (access,) = [row for row in asked.visitor().get("/access.json").json if row["user"] == "ada-l"]
    assert (access["by"], access["approvers"]) == ("key:billing", [])


def test_each_verb_by_name_or_by_account_id(asked: Desk) -> None:
    key = give_key(asked)
    user_id = asked.row("ada-l").person.identity.user_id
    assert user_id is not None
    place: dict[str, str] = {}
    for number, (person, action, status) in enumerate(
        (
            ("ada-l", "reset", "reset"),
            (user_id, "accept", "accepted"),
            ("ADA-L", "cancel", "pending"),
            (user_id, "reject", "rejected"),
        )
    ):
        more = {"until": "none"} if action == "accept" else {"reason": "No payment."}
        done = settle(asked, key, _wish(asked, person, action, **more, **place), f"pay-{number}")
        assert (done.json["outcome"], asked.row("ada-l").state.status) == ("done", status), done.body
        place = {name: done.json[name] for name in ("repo", "repo_type")}  # an answer names the repo for the next call


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_calls_at_once_are_one_decision_also_at_two_desks(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with LocalHub(requests=0, repos=1) as local:
        server = "" if kind == "sqlite" else new_schema(request.getfixturevalue("postgres_uri"))
        write_desk(tmp_path, local, more=f"store: {server}\n" if server else "")
        with (
            open_existing_desk(tmp_path, local, lends=True) as one,
            open_existing_desk(tmp_path, local, lends=True) as other,
            ThreadPoolExecutor(6) as pool,
        ):
            one.ask([{"username": name} for name in ("ada-l", "bob99")], {"Purpose": GOOD})
            key = give_key(one)
            wish = _wish(one, until="90d")
            answers = [job.result() for job in [pool.submit(send, desk, key, wish) for desk in (one, other) * 3]]
            assert {answer.status for answer in answers} == {202}, [answer.body for answer in answers]
            assert len({answer.json["id"] for answer in answers}) == 1
            assert len(list_waiting_decisions(one.app_state.workspace.store)) == 1
            later = one.app_state.now() + timedelta(minutes=1)  # the clocks of the two differ
            for desk in (other, one):
                with desk.app_state.workspace.store.hold_write_lock():  # as the desk's thread does
                    desk.app_state.tray_service.send_due(later)
            assert send(one, key, wish).json == send(other, key, wish).json
            assert send(one, key, wish).json["outcome"] == "done"
            assert send(other, key, _wish(one, "bob99")).status == 409, "replayed at the other desk with another body"
            assert one.count_writes() == 1


def test_who_has_access_already_gets_the_new_end(asked: Desk) -> None:
    key = give_key(asked)
    settle(asked, key, _wish(asked, until="30d"), "pay-1")
    later = send(asked, key, _wish(asked, until="365d"), "pay-2")
    assert (later.status, later.json["outcome"], later.json["why"]) == (
        200,
        "already",
        "already accepted, as last read",
    )
    until = asked.row("ada-l").state.until
    assert (from_ms(until or 0) - asked.app_state.now()).days in {364, 365}
    assert send(asked, key, _wish(asked), "pay-3").json["outcome"] == "already"
    settle(asked, key, _wish(asked, action="reset"), "refund-1")
    assert send(asked, key, _wish(asked), "pay-3").json["outcome"] == "already", "the answer of that day"
    assert asked.row("ada-l").state.status == "reset"


def test_nothing_is_done_already_while_another_decision_is_not_sent(asked: Desk) -> None:
    key = give_key(asked)
    settle(asked, key, _wish(asked, action="reset"), "refund-0")
    paid = _wish(asked, until="90d")
    assert send(asked, key, paid, "pay-1").status == 202
    refund = _wish(asked, action="reset")
    assert send(asked, key, refund, "refund-1").status == 409, "it is reset, but about to be accepted"
    asked.app_state.tray_service.send_due(asked.app_state.now() + timedelta(seconds=1))
    assert send(asked, key, paid, "pay-1").json["outcome"] == "done"
    row = asked.row("ada-l")
    wish = DecisionRequest("reset", {row.id: row.version.token}, asked.app_state.membership.owner_member)
    assert asked.app_state.tray_service.queue_decisions(wish, asked.app_state.now(), None).count == 1
    for more in ({}, {"until": "30d"}):
        assert send(asked, key, _wish(asked, **more), "pay-2").status == 409, "it is accepted, but about to be reset"
    asked.send_due()
    assert settle(asked, key, _wish(asked, until="30d"), "pay-2").json["outcome"] == "done"
    assert settle(asked, key, refund, "refund-1").json["outcome"] == "done"


def test_after_seven_days_the_same_key_is_a_new_decision(asked: Desk) -> None:
    key = give_key(asked)
    settle(asked, key, _wish(asked, action="reset"))
    asked.ask([{"username": "ada-l"}], {"Purpose": f"{GOOD} Again."})
    clock = asked.app_state.workspace.clock
    assert isinstance(clock, ManualClock)
    clock.advance(6 * 86_400.0)
    assert send(asked, key, _wish(asked, action="reset")).status == 200
    clock.advance(2 * 86_400.0)
    assert send(asked, key, _wish(asked, action="reset")).status == 202
    store = asked.app_state.workspace.store
    assert store.reads.count("SELECT count(*) FROM key_decisions") == 1
    assert DAY_MS == 86_400_000


# ---- a key is nobody ---------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, TWO) as desk:
        desk.ask([{"username": "ada-l"}], {"Purpose": GOOD})
        yield desk


def test_a_key_is_never_one_of_two_people(guarded: Desk) -> None:
    first = give_key(guarded)
    second = give_key(guarded, "committee")
    for name, key in (("pay-1", first), ("pay-2", second), ("pay-3", first)):
        done = settle(guarded, key, _wish(guarded, until="none"), name)
        assert (done.status, done.json["outcome"], done.json["why"]) == (200, "deferred", "approval 0 of 2")
    assert guarded.row("ada-l").state.status == "pending"
    assert guarded.count_writes() == 0
    tray = guarded.app_state.tray_service
    row = guarded.row("ada-l")
    for member in (guarded.app_state.membership.owner_member, _add_admin(guarded, "mia")):
        wish = DecisionRequest("accept", {row.id: row.version.token}, member, until="none")
        assert tray.queue_decisions(wish, guarded.app_state.now(), 0.0).count == 1
        tray.send_due(guarded.app_state.now() + timedelta(seconds=1))
        if member.name != "mia":
            again = settle(guarded, first, _wish(guarded, until="none"), "pay-4")
            assert again.json["why"] == "approval 1 of 2"
    assert guarded.row("ada-l").state.status == "accepted"


def test_a_key_does_not_lengthen_an_access_that_needs_two(guarded: Desk) -> None:
    key = give_key(guarded)
    tray = guarded.app_state.tray_service
    row = guarded.row("ada-l")
    for member in (guarded.app_state.membership.owner_member, _add_admin(guarded, "mia")):
        wish = DecisionRequest("accept", {row.id: row.version.token}, member, until="30d")
        tray.queue_decisions(wish, guarded.app_state.now(), 0.0)
        tray.send_due(guarded.app_state.now() + timedelta(seconds=1))
    until = guarded.row("ada-l").state.until
    longer = send(guarded, key, _wish(guarded, until="365d"))
    assert (longer.json["outcome"], longer.json["why"]) == ("deferred", "approval 0 of 2")
    assert guarded.row("ada-l").state.until == until
    assert send(guarded, key, _wish(guarded, until="10d"), "pay-2").json["outcome"] == "refused", "a shorter one"
    assert guarded.row("ada-l").state.until == until


def _add_admin(desk: Desk, name: str) -> Member:
    desk.visitor(Member(name=name, role=MemberRole.ADMIN))
    found = desk.app_state.membership.find(name)
    assert found is not None
    return found


# ---- what is refused ---------------------------------------------------------------------------------------------------


def test_a_key_does_no_more_than_its_verbs_and_repos(asked: Desk) -> None:
    accepts = give_key(asked, "billing", "accept")
    assert send(asked, accepts, _wish(asked, action="reject")).status == 403
    assert Visitor(asked.app).get("/api/v1/events", authorization=f"Bearer {accepts}").status == 403
    reads = give_key(asked, "reader", "events", repos=None)
    assert send(asked, reads, _wish(asked)).status == 403
    assert Visitor(asked.app).get("/api/v1/events", authorization=f"Bearer {reads}").status == 200
    elsewhere = give_key(asked, "other", repos=("acme/other-*",))
    assert send(asked, elsewhere, _wish(asked)).status == 404
    assert Visitor(asked.app).get("/api/v1/events", authorization=f"Bearer {elsewhere}").json["events"] == []
    for path in ("/queue", "/queue.json", "/tray", "/settings"):
        assert Visitor(asked.app).get(path, authorization=f"Bearer {accepts}").status == 401, path
    assert "Idempotency-Key" in Visitor(asked.app).get("/api/openapi.json", authorization=f"Bearer {accepts}").body
    for path in ("/tray/send", "/terminal", "/tray", "/settings/members"):
        answer = Visitor(asked.app).ask("POST", path, b"{}", {"authorization": f"Bearer {accepts}", **BARE})
        assert answer.status == 403, path
    for method, path in (("GET", "/api/v1/decisions"), ("POST", "/api/v1/events"), ("HEAD", "/api/v1/events")):
        answer = Visitor(asked.app).ask(method, path, b"", {"authorization": f"Bearer {accepts}", **BARE})
        assert (answer.status, set(answer.json)) == (405, {"error", "hint"}), "no page of the desk"
    assert list_waiting_decisions(asked.app_state.workspace.store) == []


def test_a_key_stands_in_the_header_alone_and_beside_no_session(asked: Desk) -> None:
    key = give_key(asked)
    lena = asked.visitor()
    body = json.dumps(_wish(asked, until="none")).encode()
    sent = {"content-type": "application/json", "idempotency-key": "p", **BARE}
    for path in (f"/api/v1/decisions?key={key}", f"/api/v1/decisions?access_token={key}"):
        assert Visitor(asked.app).ask("POST", path, body, {**sent, **BARE}).status == 403
        assert Visitor(asked.app).ask("GET", path.replace("decisions", "events"), b"", {}).status == 401
    wrong = {**sent, "authorization": "Bearer gate_wrong"}
    assert lena.ask("POST", "/api/v1/decisions", body, wrong).status == 401, "the session does not stand in for the key"
    assert lena.ask("GET", "/api/v1/events", b"", {"authorization": "Bearer gate_wrong"}).status == 401
    basic = {**sent, "authorization": f"Basic {key}"}
    assert lena.ask("POST", "/api/v1/decisions", body, basic).status == 403, "nothing but Bearer replaces the origin"
    right = {**sent, "authorization": f"bearer  {key} "}
    assert lena.ask("POST", "/api/v1/decisions", body, right).status == 202
    assert list_waiting_decisions(asked.app_state.workspace.store)[0].run.member == "key:billing"


def test_two_authorizations_do_not_let_a_foreign_page_use_a_session(asked: Desk) -> None:
    """What decides that no origin is needed also decides that the session does not count."""
    lena = asked.visitor()
    body = json.dumps({"verb": "accept", "requests": [{"id": asked.row("ada-l").state.hub_request, "version": "x"}]})
    cookie = "; ".join(f"{name}={value}" for name, value in lena.cookies.items())
    with serve_desk(asked) as url:
        for order in (("Basic eDp5", "Bearer gate_x"), ("Bearer gate_x", "Basic eDp5")):
            connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
            connection.putrequest("POST", "/api/v1/decisions")
            for value in order:
                connection.putheader("authorization", value)
            for name, value in (
                ("cookie", cookie),
                ("origin", "https://evil.example"),
                ("content-length", str(len(body))),
            ):
                connection.putheader(name, value)
            connection.endheaders(body.encode())
            assert connection.getresponse().status in {401, 403}, order
            connection.close()


def test_a_call_that_cannot_be_is_refused_and_may_be_sent_again(asked: Desk) -> None:
    key = give_key(asked)
    deep = b'{"repo":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    refused: list[tuple[Answer, int]] = [
        (send(asked, key, _wish(asked), None), 422),
        (send(asked, key, _wish(asked), "x" * 201), 422),
        (send(asked, key, _wish(asked, action="destroy")), 422),
        (send(asked, key, _wish(asked, hold=3)), 422),
        (send(asked, key, _wish(asked, until="2001-01-01")), 422),
        (send(asked, key, _wish(asked, action="reject", until="90d")), 422),
        (send(asked, key, {**_wish(asked), "repo": "no repo at all"}), 422),
        (send(asked, key, _wish(asked, repo_type="dataset")), 404),
        (send(asked, key, _wish(asked, repo_type="space")), 422),
        (send(asked, key, _wish(asked, "nobody-asked")), 404),
        (send(asked, key, _wish(asked, "ada-l@example.org")), 422),
        (send(asked, key, _wish(asked, asked.row("ada-l").state.hub_request or "")), 404),
        (send(asked, key, _wish(asked, "ada-l\x00")), 422),
        (send(asked, key, _wish(asked, "\u202eada-l")), 422),
        (send(asked, key, {**_wish(asked), "repo": "datasets/../secret"}), 422),
        (send(asked, key, _wish(asked, action="reset", reason="\ud800")), 400),
        (send(asked, key, deep), 422),
        (send(asked, key, b"\xff\xfe"), 400),
        (send(asked, key, b"x" * (3 << 20)), 413),
        (send(asked, key, _wish(asked), content_type="text/plain"), 422),
    ]
    assert [answer.status for answer, _ in refused] == [status for _, status in refused]
    assert all(set(answer.json) == {"error", "hint"} for answer, status in refused if status != 413)
    assert send(asked, key, _wish(asked, until="none")).status == 202, "nothing was kept under its key"


def test_a_person_who_asks_later_is_looked_for(asked: Desk) -> None:
    key = give_key(asked)
    looks: list[bool] = []
    asked.app_state.request_sync = lambda: looks.append(True)
    assert send(asked, key, _wish(asked, "carla", until="none")).status == 404
    assert looks == [True]
    asked.app_state.sync_status.programs_wait_until = asked.app_state.now() + timedelta(seconds=9)
    assert send(asked, key, _wish(asked, "carla", until="none")).status == 404
    assert looks == [True], "a program that repeats its call does not make the desk sync without a pause"
    asked.ask([{"username": "carla"}], {"Purpose": GOOD})
    assert settle(asked, key, _wish(asked, "carla", until="none")).json["outcome"] == "done"


def test_a_key_revoked_meanwhile_sends_nothing(asked: Desk) -> None:
    key = give_key(asked)
    assert send(asked, key, _wish(asked, until="none")).status == 202
    store = asked.app_state.workspace.store
    assert revoke_key(store, "billing", "lena-brandt", 1)
    asked.app_state.tray_service.send_due(asked.app_state.now())
    assert asked.row("ada-l").state.status == "pending"
    assert send(asked, key, _wish(asked, until="none")).json["error"] == "This key does not work."
    assert send(asked, give_key(asked), _wish(asked, until="none")).json["outcome"] == "refused"
    again = give_key(asked, "again")
    assert send(asked, again, _wish(asked, "bob99", until="none")).status == 202
    assert asked.app_state.membership.revoke_key("again", "lena-brandt")
    assert list_waiting_decisions(store) == []
    back = give_key(asked, "again")
    assert send(asked, back, _wish(asked, "bob99", until="none")).json["why"] == "it was taken back before it was sent"


def test_a_key_that_no_entry_records_is_a_fault_of_the_store(asked: Desk) -> None:
    store = asked.app_state.workspace.store
    give_key(asked, "billing", "events")
    give_key(asked, "shop", "accept", "events")
    assert verify_ledger(store, with_tables=True).ok
    for change in (
        "UPDATE api_keys SET verbs = '[\"accept\"]'",
        "INSERT INTO api_keys (digest, name, verbs, made_at) VALUES ('d', 'mallory', '[\"accept\"]', 1)",
    ):
        with store.writing() as write:
            write.db.run(change)
        assert "than recorded" in verify_ledger(store, with_tables=True).broken[0].what


def test_a_stop_of_unattended_work_stops_keys(asked: Desk) -> None:
    key = give_key(asked)
    write_stop(asked.app_state.workspace.store, UnattendedStop(by="mia", at=1))
    assert send(asked, key, _wish(asked, until="none")).status == 409
    store = asked.app_state.workspace.store
    store.request_stop("*", None)
    assert send(asked, key, _wish(asked, until="none")).status == 202
    write_stop(store, UnattendedStop(by="mia", at=2))
    row = asked.row("bob99")
    wish = DecisionRequest("reset", {row.id: row.version.token}, asked.app_state.membership.owner_member)
    asked.app_state.tray_service.queue_decisions(wish, asked.app_state.now(), 0.0)
    asked.app_state.tray_service.send_due(asked.app_state.now() + timedelta(seconds=1))
    assert asked.row("ada-l").state.status == "pending", "what a key decided before waits for the start"
    assert asked.row("bob99").state.status == "reset", "people still decide"
    store.request_stop("*", None)
    asked.app_state.tray_service.send_due(asked.app_state.now() + timedelta(minutes=1))
    assert send(asked, key, _wish(asked, until="none")).json["outcome"] == "done"


def test_a_key_of_a_single_owner_is_not_limited_and_one_of_a_team_is(asked: Desk) -> None:
    key = give_key(asked)
    store = asked.app_state.workspace.store
    now = asked.app_state.now() - timedelta(hours=1)
    with store.writing() as write:
        write.db.run(
            "INSERT INTO runs (id, kind, actor, state, made_at, total, counts, verbs, member)"
            " VALUES ('r', 'direct', 'key:billing', 'ended', ?, 500, '{\"done\": 500}', '{\"accept\": 500}', 'key:billing')",
            (int(now.timestamp() * 1000),),
        )
    assert settle(asked, key, _wish(asked, until="none")).json["outcome"] == "done"
    asked.visitor(Member(name="mia", role=MemberRole.ADMIN))
    limited = send(asked, key, _wish(asked, "bob99", until="none"), "pay-2")
    assert limited.status == 409
    assert "need two people" in limited.json["error"]


def test_a_key_does_not_decide_a_request_of_the_owner(asked: Desk) -> None:
    owner = asked.app_state.owner
    where = {"repo": asked.repo.id, "repo_type": asked.repo.type.value}
    asked.local.add_requests([{**where, "user": owner, "answers": {"Purpose": GOOD}}])
    asked.read()
    refused = send(asked, give_key(asked), _wish(asked, owner, until="none"))
    assert (refused.status, refused.json["error"]) == (403, "you cannot decide your own request.")


def test_an_erased_person_leaves_no_trace_in_what_was_sent(asked: Desk) -> None:
    key = give_key(asked)
    settle(asked, key, _wish(asked, action="reset"))
    workspace = asked.app_state.workspace
    erase(workspace, find_person(workspace, "ada-l"), "sqlite:///desk.db", "lena-brandt")
    assert asked.app_state.workspace.store.reads.count("SELECT count(*) FROM key_decisions") == 0


SIGNED = """\
version: 1
policy: signed
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - {id: signed, when: tables.dua, then: accept, until: tables.dua.expires}
  - {id: rest, then: human}
"""


@pytest.mark.parametrize("place", ["tables", "data", "../outside"])
def test_a_decision_follows_from_the_rows_that_a_table_file_has_at_that_moment(tmp_path: Path, place: str) -> None:
    """The desk read the file only a moment ago, and it lies anywhere."""
    file = tmp_path / "desk" / place / "dua.csv"
    file.parent.mkdir(parents=True)
    file.write_text("email,expires\nada-l@ethz.ch,2030-01-01\nbob99@ethz.ch,2030-01-01\n")
    config = f"tables: {{dua: {{file: {place}/dua.csv, key: email}}}}\n"
    with open_desk(tmp_path / "desk", SIGNED, config) as desk:
        desk.ask([{"username": name, "email": f"{name}@ethz.ch"} for name in ("ada-l", "bob99")], {"Purpose": GOOD})
        key = give_key(desk)
        assert desk.app_state.policies.current is not None
        for person, day in (("ada-l", "2031-01-01"), ("bob99", "2032-01-01")):
            file.write_text(f"email,expires\nada-l@ethz.ch,{day}\nbob99@ethz.ch,{day}\n")
            assert settle(desk, key, _wish(desk, person), person).json["outcome"] == "done"
            assert f"{from_ms(desk.row(person).state.ends_at or 0) - timedelta(days=1):%Y-%m-%d}" == day


@pytest.mark.parametrize(("action", "guard"), [("accept", "accept"), ("cancel", "remove")])
def test_a_key_stays_within_the_guards_which_it_shares_with_turns(tmp_path: Path, action: str, guard: str) -> None:
    with open_desk(tmp_path, config="guards: {accept: 1/day, remove: 1/day}\n") as desk:
        desk.ask([{"username": name} for name in ("ada-l", "bob99")], {"Purpose": GOOD})
        if action == "cancel":
            with Hub(desk.local.tokens["owner"], desk.local.url) as hub:
                hub.accept(desk.repo, "ada-l")
                hub.accept(desk.repo, "bob99")
            desk.read(SyncKind.FULL)
        key = give_key(desk)
        clock = desk.app_state.workspace.clock
        assert isinstance(clock, ManualClock)
        store = desk.app_state.workspace.store
        budgets = desk.app_state.workspace.location.config.guards.budgets
        before = desk.row("bob99").state.status
        more = {"until": "none"} if action == "accept" else {}
        assert settle(desk, key, _wish(desk, "ada-l", action, **more), "first").json["outcome"] == "done"
        assert {one.name: one.used for one in read_budgets(store, budgets, clock.now())}[guard] == 1, "for turns, too"
        wish = _wish(desk, "bob99", action, **more)
        for _ in range(2):
            held = send(desk, key, wish, "second")
            assert held.status == 429
            assert f"The guard `{guard}: 1/day` is used up" in held.json["error"]
            desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(seconds=1))
        assert desk.row("bob99").state.status == before
        clock.advance(DAY_MS / 1000)
        desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(minutes=5))
        assert send(desk, key, wish, "second").json["outcome"] == "done", "it waited for the next day"


def test_a_key_does_not_decide_against_a_protected_person(tmp_path: Path) -> None:
    with open_desk(tmp_path, config="guards: {protected: [ada-l]}\n") as desk:
        desk.ask([{"username": name} for name in ("ada-l", "bob99")], {"Purpose": GOOD})
        key = give_key(desk)
        for person, outcome in (("ada-l", "refused"), ("bob99", "done")):
            assert settle(desk, key, _wish(desk, person, "reject"), person).json["outcome"] == outcome
        assert desk.row("ada-l").state.status == "pending"
        assert settle(desk, key, _wish(desk, until="none"), "pay-1").json["outcome"] == "done"


def test_a_key_never_shortens_an_access_that_a_person_has(asked: Desk) -> None:
    key = give_key(asked)
    settle(asked, key, _wish(asked, until="90d"), "pay-1")
    until = asked.row("ada-l").state.until
    shorter = send(asked, key, _wish(asked, until="30d"), "pay-2")
    assert (shorter.status, shorter.json["outcome"]) == (200, "refused")
    assert "a key never shortens access" in shorter.json["why"]
    assert asked.row("ada-l").state.until == until
    assert send(asked, key, _wish(asked, until="1y"), "pay-3").json["outcome"] == "already"
    assert (asked.row("ada-l").state.until or 0) > (until or 0)


def test_a_key_moves_no_date_earlier_while_a_condition_is_false(asked: Desk) -> None:
    """The date counts, not the nearer time at which the grace of the condition ends: the condition may be true again."""
    key = give_key(asked)
    settle(asked, key, _wish(asked, until="90d"), "pay-1")
    row = asked.row("ada-l")
    at = to_ms(asked.app_state.now())
    lapsed = e.GrantDated(until=row.state.until, lapses=(at + DAY_MS,), cause="keep_while")
    with asked.app_state.workspace.store.writing() as write:
        write.append_to_chains([(row.repo, entry_about(row, lapsed, "policy:house", at))])
    assert asked.row("ada-l").state.ends_at == at + DAY_MS
    shorter = send(asked, key, _wish(asked, until="30d"), "pay-2")
    assert "a key never shortens access" in shorter.json["why"]
    assert asked.row("ada-l").state.until == row.state.until


@pytest.mark.parametrize("is_known", [True, False])
def test_a_key_gives_no_end_to_somebody_who_was_accepted_without_one(asked: Desk, *, is_known: bool) -> None:
    """Also if the desk learns of the acceptance only when it sends the decision."""
    key = give_key(asked)
    if not is_known:
        assert send(asked, key, _wish(asked, until="90d")).status == 202
    with Hub(asked.local.tokens["owner"], asked.local.url) as hub:
        hub.accept(asked.repo, "ada-l")
    if is_known:
        asked.read(SyncKind.FULL)
    else:
        asked.app_state.tray_service.send_due(asked.app_state.now() + timedelta(seconds=1))
    answer = send(asked, key, _wish(asked, until="90d"))
    assert answer.status == 200
    assert answer.json["outcome"] == ("refused" if is_known else "stale")
    assert asked.row("ada-l").state.ends_at is None
