"""A member is one Hub account: nobody decides their own request under another name."""

from __future__ import annotations

from datetime import UTC
from typing import cast

import pytest

from hf_gate import Hub
from hf_gate.core.events.entry_records import text_of_entry
from hf_gate.core.events.event_descriptions import describe_event
from hf_gate.core.events.events import MemberAdded, PlanAgreed
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.rows.members import find_member
from hf_gate.store.rows.tray import list_waiting_decisions
from hf_gate.store.store import Store
from tests.kits.desk import GOOD, Answer, Desk, InterruptedStore, Visitor, text_of
from tests.kits.stores import read_links


def add(by: Visitor, name: str, role: str = "reviewer", repos: str = "") -> Answer:
    """Add a member on the settings page."""
    return by.post("/settings/members", {"name": name, "role": role, "repos": repos})


# ---- one's own request ---------------------------------------------------------------------------------------------------


def test_a_member_whose_account_was_renamed_decides_no_request_of_their_own(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(Member(name="mia", role=MemberRole.ADMIN))
    desk.local.rename("mia", "mia-the-second")
    desk.ask([{"username": "mia-the-second"}, {"username": "ada"}], {"Purpose": GOOD})
    row = desk.row("mia-the-second")
    key, version, before = row.state.hub_request or "", row.version.token, desk.count_writes()
    assert mia.post("/tray", {"accept": f"{key}:{version}"}).status == 403
    person = f"/people/{row.person.pseudonym}"
    ticked = mia.post(person, {"verb": "accept", "pick": f"{key}:{version}"}).headers["location"]
    assert "your own request" in mia.get(ticked).body
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


def test_a_requester_who_takes_the_name_of_a_member_is_another_person(desk: Desk) -> None:
    desk.local.add_people([{"username": "eve"}])
    mia = desk.visitor(Member(name="mia", role=MemberRole.ADMIN))
    desk.local.rename("mia", "mia-the-second")
    desk.local.rename("eve", "mia")
    desk.ask([{"username": name} for name in ("mia", "mia-the-second")], {"Purpose": GOOD})
    rows = {name: desk.row(name) for name in ("mia", "mia-the-second")}

    def accept(visitor: Visitor, name: str) -> int:
        return visitor.post("/tray", {"accept": f"{rows[name].state.hub_request}:{rows[name].version.token}"}).status

    assert accept(mia, "mia-the-second") == 403, "her own account"
    mia.post("/selection", {"do": "all", "q": "status:pending"})
    weighed = mia.get(mia.post("/bulk", {"verb": "accept"}).headers["location"])
    assert "Accept 1 request?" in text_of(weighed.body)
    assert "your own request" in weighed.body
    assert accept(mia, "mia") == 303


# ---- the page of members -------------------------------------------------------------------------------------------------


def test_an_admin_adds_changes_and_removes_a_member(desk: Desk) -> None:
    desk.local.add_people([{"username": "Mia-Schmidt"}])
    lena = desk.visitor()
    added = add(lena, "mia-schmidt", "viewer", "acme/*")
    assert "mia-schmidt is a member." in text_of(added.body)
    (mia,) = desk.app_state.workspace.store.members()
    assert (mia.name, mia.account, mia.role, mia.repos) == ("mia-schmidt", "Mia-Schmidt", "viewer", ("acme/*",))
    assert add(lena, "Mia-Schmidt", "admin").status == 200
    (changed,) = desk.app_state.workspace.store.members()
    assert (changed.id, changed.role, changed.repos) == (mia.id, "admin", None)
    assert lena.post("/settings/members/remove", {"name": "Mia-Schmidt"}).status == 303
    assert "No other members." in text_of(lena.get("/settings").body)
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok


def test_a_member_whose_role_changes_signs_in_again(desk: Desk) -> None:
    mia = desk.reviewer("mia")
    assert add(desk.visitor(), "mia", "viewer").status == 200
    assert mia.get("/queue").status == 401


def test_an_account_that_does_not_exist_is_no_member(desk: Desk) -> None:
    refused = add(desk.visitor(), "no-such-account")
    assert (refused.status, "the Hub has no account" in refused.body) == (422, True)
    assert add(desk.visitor(), "no-such-account", "king").status == 422
    assert desk.app_state.workspace.store.members() == []


def test_nobody_is_added_while_the_hub_cannot_say_whose_account_it_is(desk: Desk) -> None:
    desk.local.add_people([{"username": "mia"}])
    lena = desk.visitor()
    desk.local.set_faults(["down:s=3600"])
    with Hub(desk.local.tokens["owner"], desk.local.url, max_wait=0.0) as desk.app_state.workspace.hub:
        assert add(lena, "mia").status == 503
    assert find_member(desk.app_state.workspace.store, "mia") is None


def test_an_admin_of_some_repos_adds_nobody(desk: Desk) -> None:
    desk.local.add_people([{"username": "noor"}])
    some = desk.visitor(Member(name="arno", role=MemberRole.ADMIN, repos=("acme/*",)))
    assert add(some, "noor").status == 403
    assert some.post("/settings/members/remove", {"name": "arno"}).status == 403
    assert "Add or change a member" not in some.get("/settings").body
    assert add(desk.reviewer("mia"), "noor").status == 403


# ---- a name given anew ---------------------------------------------------------------------------------------------------


def test_a_name_given_anew_inherits_no_selection_tray_or_runs(desk: Desk) -> None:
    desk.ask([{"username": name} for name in ("ada", "bob", "cyd")], {"Purpose": GOOD})
    lena, before = desk.visitor(), desk.reviewer("mia")
    before.post("/selection", {"do": "add", "key": desk.row("cyd").state.hub_request or ""})
    for name in ("ada", "bob"):
        row = desk.row(name)
        assert before.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"}).status == 303
    desk.send_due()
    run = desk.app_state.workspace.store.runs(1)[0]
    row = desk.row("cyd")
    assert before.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"}).status == 303
    assert lena.post("/settings/members/remove", {"name": "mia"}).status == 303
    after = desk.reviewer("mia")
    assert 'data-picked="1"' not in after.get("/queue").body
    assert not list_waiting_decisions(desk.app_state.workspace.store)
    for name in ("ada", "bob", "cyd"):
        assert f">{name}<" not in after.get("/tray").body
    assert after.post(f"/runs/{run.id}", {"do": "undo"}).status == 403
    assert [link.actor for link in read_links(desk.app_state.workspace.store) if link.kind == "ChangeStarted"] == [
        "mia",
        "mia",
    ]


# ---- the ledger ----------------------------------------------------------------------------------------------------------


def test_the_ledger_names_members_by_ids(desk: Desk) -> None:
    desk.visitor(Member(name="noor", role=MemberRole.ADMIN))
    noor = find_member(desk.app_state.workspace.store, "noor")
    assert noor is not None
    desk.remove("noor")
    told = [text_of_entry(link, None, UTC) for link in read_links(desk.app_state.workspace.store, repos=())]
    assert told == [
        f"member {noor.id} removed",
        f"member {noor.id} added as admin, Hub account {noor.user_id}",
    ]
    assert "noor" not in " ".join(told)
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok
    assert "member removed" in desk.visitor().get("/audit?q=chain:desk").body


def test_a_member_whom_no_entry_tells_of_is_found(desk: Desk) -> None:
    desk.reviewer("mia")
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE members SET role = 'admin', user_id = 'x' WHERE name = 'mia'")
        write.db.run("INSERT INTO members (name, role, made_at, id, salt) VALUES ('eve', 'admin', 1, 'm_eve', 'd')")
    what = " ".join(each.what for each in verify_ledger(desk.app_state.workspace.store, with_tables=True).broken)
    assert "member eve (m_eve) exists, but no entry records it" in what
    assert "member mia" in what


def test_an_account_that_two_admins_add_at_once_is_one_member(desk: Desk) -> None:
    mia, store = Member(name="mia", role=MemberRole.REVIEWER), desk.app_state.workspace.store
    workspace = desk.app_state.workspace

    def add_first() -> None:
        workspace.store = store
        desk.add_account("mia", mia.role)

    desk.local.add_people([{"username": "mia"}])
    workspace.store = cast("Store", InterruptedStore(store, add_first))
    desk.add_member(mia)
    assert [one.name for one in store.members()] == ["mia"]
    assert verify_ledger(store, with_tables=True).broken == []


@pytest.mark.parametrize("ident", ["old_eve", "m_eve"])
def test_a_member_added_by_sql_is_no_member_after_a_restart_either(desk: Desk, ident: str) -> None:
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("INSERT INTO members (name, role, made_at, id, salt) VALUES ('eve', 'admin', 1, ?, 'd')", (ident,))
    desk.app_state.membership.admit_owner()
    what = [each.what for each in verify_ledger(desk.app_state.workspace.store, with_tables=True).broken]
    assert what == [f"member eve ({ident}) exists, but no entry records it"]


@pytest.mark.parametrize(
    "change", ["salt = 'a salt of the attacker'", "user_id = 'x'", "account = 'x'", "name = name || '2'"]
)
def test_a_changed_salt_or_account_of_a_member_is_found(desk: Desk, change: str) -> None:
    desk.reviewer("mia")
    desk.visitor(Member(name="noor", role=MemberRole.REVIEWER))
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok
    for name in ("mia", "noor"):
        with desk.app_state.workspace.store.writing() as write:
            write.db.run(f"UPDATE members SET {change} WHERE name = ?", (name,))  # noqa: S608 - of this test
    assert len(verify_ledger(desk.app_state.workspace.store, with_tables=True).broken) == 2


def test_each_new_kind_of_entry_is_a_sentence() -> None:
    added = MemberAdded(member="m_1", role="reviewer", repos=("acme/*",), account="5f")
    assert describe_event(added, zone=UTC) == "member m_1 added as reviewer for acme/*, Hub account 5f"
    assert (
        describe_event(PlanAgreed(plan="0123456789", changes=700, account="5f"), zone=UTC)
        == "plan 01234567 agreed to: 700 changes"
    )


def test_a_third_admin_confirms_a_new_member_on_the_settings_page(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.visitor(Member(name="mia", role=MemberRole.ADMIN))
    desk.local.add_people([{"username": "noor"}])
    assert "There is one admin only" not in lena.get("/settings").body
    assert add(lena, "noor").status == 200
    button = 'Confirm<span class="vh"> that noor is another person'
    shown = lena.get("/settings").body
    assert "noor (member since 0 s, added by lena-brandt)" in text_of(shown)
    assert button not in shown
    assert lena.post("/settings/members/confirm", {"name": "noor"}).status == 403
    assert button in mia.get("/settings").body
    assert mia.post("/settings/members/confirm", {"name": "noor"}).status == 303
    after = mia.get("/settings").body
    assert "added by lena-brandt, confirmed by mia" in text_of(after)
    assert button not in after
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok


def test_a_workspace_with_one_admin_says_that_nothing_protects_against_a_second_account(desk: Desk) -> None:
    assert "There is one admin only" in desk.visitor().get("/settings").body
