"""A member is one Hub account: nobody decides their own request under another name, and an account is proven by its token."""

from __future__ import annotations

import json
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import cast

import pytest

from hf_gate import Hub
from hf_gate.core.events.entry_records import text_of_entry
from hf_gate.core.events.event_descriptions import describe_event
from hf_gate.core.events.events import MemberInvited, PlanAgreed
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.errors import HfGateError, UsageError
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.pages import account_proofs
from hf_gate.members.rows.members import find_member, invite_member
from hf_gate.store.rows.tray import find_latest_decisions, list_waiting_decisions
from hf_gate.store.store import Store
from tests.kits.desk import GOOD, HOST, Desk, InterruptedStore, Visitor, text_of
from tests.kits.stores import read_links


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"", b'{"link":"x"}', b'{"a":' + b"[" * 30_000, b'{"a":"' + b"x" * 100_000]
)
def test_a_proof_sent_to_something_that_is_no_desk_ends_in_a_plain_error(body: bytes) -> None:
    class NoDesk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), NoDesk) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        link = account_proofs.parse_proof_link(f"http://127.0.0.1:{server.server_port}/settings#prove=x")
        with pytest.raises(HfGateError, match="the desk"):
            account_proofs.send_proof(link, "hf_token_of_noor")
        thread.join()


def invited(desk: Desk, by: Visitor, **values: str) -> Visitor:
    """Somebody who opened the link that the settings page made."""
    page = by.post("/settings/invite", {"role": "reviewer", "repos": "", **values})
    assert page.status == 200, page.body
    link = re.search(r"/sign-in\?t=([\w-]+)", page.body)
    assert link is not None
    return desk.by_link(link[1])


def code_of(visitor: Visitor) -> str:
    """The code of a proof link, from the settings page."""
    found = re.search(r"settings#prove=([\w-]+)", visitor.post("/settings/prove").body)
    assert found is not None
    return found[1]


# ---- one's own request ---------------------------------------------------------------------------------------------------


def test_a_member_whose_account_was_renamed_decides_no_request_of_their_own(desk: Desk) -> None:
    desk.local.add_people([{"username": "mia"}])
    lena = desk.visitor()
    mia = invited(desk, lena, name="mia", role="admin")
    desk.local.rename("mia", "mia-the-second")
    desk.ask([{"username": "mia-the-second"}, {"username": "ada"}], {"Purpose": GOOD})
    row = desk.row("mia-the-second")
    key, version, before = row.state.hub_request or "", row.version.token, desk.count_writes()
    assert mia.post("/tray", {"accept": f"{key}:{version}"}).status == 403
    decision = {"verb": "accept", "requests": [{"id": key, "version": version}]}
    api = mia.ask("POST", "/api/v1/decisions", json.dumps(decision).encode(), {"content-type": "application/json"})
    assert api.status == 403
    person = f"/people/{row.person.pseudonym}"
    assert mia.post(person, {"verb": "accept", "pick": f"{key}:{version}"}).status == 403
    assert mia.post("/selection", {"do": "all", "q": "status:pending"}).status == 303
    weighed = mia.get(mia.post("/bulk", {"verb": "accept"}).headers["location"])
    assert "your own request" in weighed.body
    assert "Accept 1 request?" in text_of(weighed.body)
    assert lena.post("/tray", {"accept": f"{key}:{version}"}).status == 303
    desk.send_due()
    run = desk.app_state.workspace.store.runs(1)[0]
    plan = mia.post(f"/runs/{run.id}", {"do": "undo"}).headers["location"]
    assert mia.post(plan, {"do": "apply"}).status == 409, "an undo decides, too"
    assert desk.count_writes() == before + 1


def test_a_requester_who_takes_the_name_of_a_member_stops_only_members_without_a_proof(desk: Desk) -> None:
    desk.local.add_people([{"username": "eve"}, {"username": "kim"}, {"username": "zoe"}])
    lena = desk.visitor()
    mia, kim = (
        desk.invite_proven(Member(name="mia", role=MemberRole.ADMIN)),
        invited(desk, lena, name="kim", role="admin"),
    )
    for member, other in (("mia", "eve"), ("kim", "zoe")):
        desk.local.rename(member, f"{member}-the-second")
        desk.local.rename(other, member)
    desk.ask([{"username": name} for name in ("mia", "mia-the-second", "kim")], {"Purpose": GOOD})
    rows = {name: desk.row(name) for name in ("mia", "mia-the-second", "kim")}

    def accept(visitor: Visitor, name: str) -> int:
        return visitor.post("/tray", {"accept": f"{rows[name].state.hub_request}:{rows[name].version.token}"}).status

    assert accept(mia, "mia-the-second") == 403, "her own account"
    assert accept(kim, "kim") == 403, "nobody knows whether this is kim's account"
    mia.post("/selection", {"do": "all", "q": "status:pending"})
    weighed = mia.get(mia.post("/bulk", {"verb": "accept"}).headers["location"])
    assert "Accept 2 requests?" in text_of(weighed.body)
    assert "your own request" in weighed.body
    assert accept(mia, "mia") == 303


def test_an_invitation_may_name_the_hub_account(desk: Desk) -> None:
    desk.ask([{"username": "mia-schmidt"}], {"Purpose": GOOD})
    lena = desk.visitor()
    mia = invited(desk, lena, name="mia", account="mia-schmidt")
    row = desk.row("mia-schmidt")
    assert mia.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"}).status == 403
    refused = lena.post(
        "/settings/invite", {"name": "kim", "role": "viewer", "repos": "", "account": "no-such-account"}
    )
    assert refused.status == 422
    assert "the Hub has no account" in refused.body


@pytest.mark.parametrize("account", ["", "mia-schmidt"])
def test_nobody_is_invited_while_the_hub_cannot_say_whose_account_it_is(desk: Desk, account: str) -> None:
    desk.local.add_people([{"username": "mia"}, {"username": "mia-schmidt"}])
    lena = desk.visitor()
    desk.local.set_faults(["down:s=3600"])
    with Hub(desk.local.tokens["owner"], desk.local.url, max_wait=0.0) as desk.app_state.workspace.hub:
        refused = lena.post("/settings/invite", {"name": "mia", "role": "admin", "repos": "", "account": account})
    assert refused.status == 422
    assert "the Hub could not be asked about the account" in refused.body
    assert find_member(desk.app_state.workspace.store, "mia") is None


def test_a_member_whose_account_has_no_id_yet_is_proven_by_that_account_alone(desk: Desk) -> None:
    desk.local.add_people([{"username": "mia-schmidt"}, {"username": "eve"}])
    mia = desk.visitor(Member(name="mia", role=MemberRole.ADMIN, account="mia-schmidt"))
    refused = desk.prove(code_of(mia), desk.local.tokens["eve"])
    assert (refused.status, "mia was invited as mia-schmidt" in refused.body) == (409, True)
    assert desk.prove(code_of(mia), desk.local.tokens["mia-schmidt"]).status == 200


def test_a_decision_that_turns_out_to_be_about_its_member_does_not_leave(desk: Desk) -> None:
    desk.ask([{"username": "mia-schmidt"}], {"Purpose": GOOD})
    mia, before = desk.reviewer("mia"), desk.count_writes()
    row = desk.row("mia-schmidt")
    assert mia.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"}).status == 303
    assert desk.prove(code_of(mia), desk.local.tokens["mia-schmidt"]).status == 200
    desk.send_due()
    held = find_latest_decisions(desk.app_state.workspace.store, [row.id])[row.id]
    assert (held.outcome, desk.count_writes()) == ("refused", before)


# ---- a name given anew ---------------------------------------------------------------------------------------------------


def test_a_name_given_anew_inherits_no_views_selection_tray_or_runs(desk: Desk) -> None:
    desk.ask([{"username": name} for name in ("ada", "bob", "cyd")], {"Purpose": GOOD})
    lena, before = desk.visitor(), desk.reviewer("mia")
    before.post("/views", {"name": "her view", "q": "status:pending"})
    before.post("/selection", {"do": "add", "key": desk.row("cyd").state.hub_request or ""})
    for name in ("ada", "bob"):
        row = desk.row(name)
        assert before.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"}).status == 303
    desk.send_due()
    run = desk.app_state.workspace.store.runs(1)[0]
    row = desk.row("cyd")
    assert before.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"}).status == 303
    assert lena.post("/settings/revoke", {"name": "mia"}).status == 303
    after = invited(desk, lena, name="mia")
    assert "her view" not in after.get("/queue").body
    assert 'data-picked="1"' not in after.get("/queue").body
    assert not list_waiting_decisions(desk.app_state.workspace.store)
    for name in ("ada", "bob", "cyd"):
        assert f">{name}<" not in after.get("/tray").body
    assert after.post(f"/runs/{run.id}", {"do": "undo"}).status == 403
    assert [link.actor for link in read_links(desk.app_state.workspace.store) if link.kind == "ChangeStarted"] == [
        "mia",
        "mia",
    ]


# ---- proofs --------------------------------------------------------------------------------------------------------------


def test_a_member_proves_their_account_and_everybody_who_had_their_link_is_out(desk: Desk, tmp_path: Path) -> None:
    desk.local.add_people([{"username": "noor-h"}])
    noor = desk.visitor(Member(name="noor", role=MemberRole.ADMIN))
    inviter = desk.by_link("link-of-noor", Visitor(desk.app, {"hf-gate-device": noor.cookies["hf-gate-device"]}))
    code, token = code_of(noor), desk.local.tokens["noor-h"]
    told = desk.prove(code, token)
    assert told.json["account"] == "noor-h"
    assert (noor.get("/queue").status, inviter.get("/queue").status) == (401, 401)
    assert inviter.get("/sign-in?t=link-of-noor").status == 401
    again = desk.by_link(told.json["link"].removeprefix(f"http://{HOST}/sign-in?t="))
    assert "noor-h, proven" in again.get("/settings").body
    assert desk.prove(code, token).status == 404, "a link is good for one proof"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if token.encode() in file.read_bytes()], "the token is not kept"
    desk.app_state.membership.invite(Member(name="noor", role=MemberRole.ADMIN), "a link that its maker has seen")
    known = find_member(desk.app_state.workspace.store, "noor")
    assert known is not None
    assert known.proven_account is None


def test_what_proves_nothing_is_refused(desk: Desk) -> None:
    desk.local.add_people([{"username": "mia-schmidt"}, {"username": "eve"}])
    lena = desk.visitor()
    mia, token = invited(desk, lena, name="mia", account="mia-schmidt"), desk.local.tokens["mia-schmidt"]
    assert desk.prove("guessed", token).status == 404
    assert desk.prove(code_of(mia), "hf_local_nobody").status == 403
    assert desk.prove(code_of(mia), "").status == 422, "the desk's own token would answer"
    other = desk.prove(code_of(mia), desk.local.tokens["eve"])
    assert (other.status, "was invited as mia-schmidt" in other.json["error"]) == (409, True)
    sock = invited(desk, lena, name="sock", role="admin")
    mine = desk.prove(code_of(sock), desk.local.tokens["owner"])
    assert (mine.status, "one account is one person" in mine.json["error"]) == (409, True)
    assert lena.post("/settings/prove").status == 422, "the token of the desk is proof enough"
    in_the_clear = account_proofs.answer_proof(
        desk.app_state, json.dumps({"code": code_of(mia), "token": token}).encode(), is_private=False
    )
    assert in_the_clear.status_code == 403
    assert [one.proven_account for one in desk.app_state.workspace.store.members()] == [None, None]


@pytest.mark.parametrize(
    "link",
    [
        "http://desk.example.org/settings#prove=x",
        "https://desk.example.org/settings",
        "ftp://a/b#prove=x",
        "http://[#prove=x",
    ],
)
def test_a_link_that_would_carry_a_token_in_the_clear_is_refused_before_anything_is_sent(link: str) -> None:
    with pytest.raises(UsageError):
        account_proofs.parse_proof_link(link)


# ---- the ledger ----------------------------------------------------------------------------------------------------------


def test_the_ledger_tells_of_invitations_proofs_and_revocations_by_ids(desk: Desk) -> None:
    desk.invite_proven(Member(name="noor", role=MemberRole.ADMIN))
    noor = find_member(desk.app_state.workspace.store, "noor")
    assert noor is not None
    desk.revoke("noor")
    told = [text_of_entry(link, None) for link in read_links(desk.app_state.workspace.store, repos=())]
    assert told == [
        f"member {noor.id} revoked",
        f"member {noor.id} proved that they own Hub account {noor.user_id}",
        f"member {noor.id} invited as admin",
    ]
    assert "noor" not in " ".join(told)
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok
    assert "member revoked" in desk.visitor().get("/audit?q=chain:desk").body


def test_a_member_whom_no_entry_tells_of_is_found(desk: Desk) -> None:
    desk.reviewer("mia")
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE members SET role = 'admin', user_id = 'x', proven_at = 1 WHERE name = 'mia'")
        write.db.run("INSERT INTO members (name, role, made_at, id, link) VALUES ('eve', 'admin', 1, 'm_eve', 'd')")
    what = " ".join(each.what for each in verify_ledger(desk.app_state.workspace.store, with_tables=True).broken)
    assert "member eve (m_eve) exists, but no entry records the invitation" in what
    assert "member mia" in what


def test_a_name_that_two_admins_invite_at_once_is_one_member(desk: Desk) -> None:
    mia, store = Member(name="mia", role=MemberRole.REVIEWER), desk.app_state.workspace.store
    other = InterruptedStore(store, lambda: desk.app_state.membership.invite(mia, "the link of one admin", "noor"))
    invite_member(cast("Store", other), mia, "the link of the other", "lena-brandt", 1)
    assert verify_ledger(store, with_tables=True).broken == []


@pytest.mark.parametrize("ident", ["old_eve", "m_eve"])
def test_a_member_added_by_sql_is_no_member_after_a_restart_either(desk: Desk, ident: str) -> None:
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("INSERT INTO members (name, role, made_at, id, link) VALUES ('eve', 'admin', 1, ?, 'd')", (ident,))
    desk.app_state.membership.admit_owner()
    what = [each.what for each in verify_ledger(desk.app_state.workspace.store, with_tables=True).broken]
    assert what == [f"member eve ({ident}) exists, but no entry records the invitation"]


@pytest.mark.parametrize(
    "change", ["link = 'a link of the attacker'", "user_id = 'x'", "account = 'x'", "name = name || '2'"]
)
def test_a_changed_link_or_account_of_a_member_is_found(desk: Desk, change: str) -> None:
    desk.reviewer("mia")
    desk.invite_proven(Member(name="noor", role=MemberRole.REVIEWER))
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok
    for name in ("mia", "noor"):
        with desk.app_state.workspace.store.writing() as write:
            write.db.run(f"UPDATE members SET {change} WHERE name = ?", (name,))  # noqa: S608 - of this test
    assert len(verify_ledger(desk.app_state.workspace.store, with_tables=True).broken) == 2


def test_each_new_kind_of_entry_is_a_sentence() -> None:
    invitation = MemberInvited(member="m_1", role="reviewer", repos=("acme/*",), account="5f")
    assert describe_event(invitation) == "member m_1 invited as reviewer for acme/*, Hub account 5f (not proven)"
    assert (
        describe_event(PlanAgreed(plan="0123456789", changes=700, account="5f"))
        == "plan 01234567 agreed to: 700 changes, as Hub account 5f"
    )
