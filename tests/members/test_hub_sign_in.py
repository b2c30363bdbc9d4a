"""Sign-in with the Hub: who comes in, as whom, and where it is off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from msgspec.structs import replace as struct_replace

from hf_gate.core.people.members import Member, MemberOrigin, MemberRole
from hf_gate.core.people.sign_in import HubIdentity, find_role
from hf_gate.desk.members.hub_sign_in import build_hub_sign_in, find_space_origin
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.rows.members import admit_member
from hf_gate.members.service.sign_in import forget_organizations
from tests.kits.desk import Desk, Visitor, open_desk, text_of
from tests.kits.sign_in import (
    CLIENT,
    ORG,
    SIGN_IN,
    open_desk_with_sign_in,
    orgs,
    sign_in,
    sign_in_desk,
    start_sign_in,
)

__all__ = ["orgs", "sign_in_desk"]


def _added(desk: Desk, account: str = "mia-hub") -> Member:
    """A Hub account that an admin made a member."""
    return desk.add_member(Member(name=account, role=MemberRole.REVIEWER))


def _is_sound(desk: Desk) -> bool:
    return verify_ledger(desk.app_state.workspace.store, with_tables=True).ok


# ---- who comes in ------------------------------------------------------------------------------------------------------


def test_the_owner_signs_in_with_their_account(sign_in_desk: Desk) -> None:
    browser, answer = sign_in(sign_in_desk, "lena-brandt")
    assert (answer.status, answer.headers["location"]) == (303, "/queue")
    assert "lena-brandt" in browser.get("/settings").body
    assert not any(name.endswith("-oauth") for name in browser.cookies), "the cookie of the sign-in is gone"


def test_a_member_signs_in_as_often_as_they_like(sign_in_desk: Desk) -> None:
    _added(sign_in_desk)
    browser, answer = sign_in(sign_in_desk, "mia-hub")
    assert answer.status == 303
    assert "mia-hub" in text_of(browser.get("/settings").body)
    assert sign_in(sign_in_desk, "mia-hub")[1].status == 303, "and again"
    assert browser.get("/queue").status == 200, "a second sign-in ends no session"
    assert _is_sound(sign_in_desk)


def test_a_stranger_does_not_come_in(sign_in_desk: Desk) -> None:
    sign_in_desk.local.add_people([{"username": "eve"}])
    browser, answer = sign_in(sign_in_desk, "eve")
    assert answer.status == 403
    assert (
        "The Hub account eve is not a member of this desk. Ask an admin to add you: hf-gate members add eve"
        in text_of(answer.body)
    )
    assert browser.get("/queue").status == 401
    assert sign_in_desk.app_state.workspace.store.members() == []


def test_a_hub_account_that_takes_the_members_name_is_not_the_member(sign_in_desk: Desk) -> None:
    _added(sign_in_desk)
    sign_in_desk.local.add_people([{"username": "eve"}])
    sign_in_desk.local.rename("mia-hub", "mia-the-second")
    sign_in_desk.local.rename("eve", "mia-hub")
    assert sign_in(sign_in_desk, "mia-hub")[1].status == 403
    browser, answer = sign_in(sign_in_desk, "mia-the-second")
    assert answer.status == 303
    assert "mia-hub" in text_of(browser.get("/settings").body)
    assert _is_sound(sign_in_desk)


def test_a_sign_in_replaces_the_session_of_another_member_in_the_same_browser(sign_in_desk: Desk) -> None:
    _added(sign_in_desk)
    noor = sign_in_desk.reviewer("noor")
    _, answer = sign_in(sign_in_desk, "mia-hub", noor)
    assert answer.status == 303
    assert "mia-hub" in text_of(noor.get("/settings").body), "the browser is mia's now"


def test_a_removed_member_is_out(sign_in_desk: Desk) -> None:
    _added(sign_in_desk)
    browser, _ = sign_in(sign_in_desk, "mia-hub")
    sign_in_desk.remove("mia-hub")
    assert browser.get("/queue").status == 401
    assert sign_in(sign_in_desk, "mia-hub")[1].status == 403


# ---- organisations -----------------------------------------------------------------------------------------------------


def test_membership_is_read_again_at_each_sign_in(orgs: Desk) -> None:
    orgs.local.set_role(ORG, "kim", "write")
    first, answer = sign_in(orgs, "kim")
    assert answer.status == 303
    assert "reviewer" in text_of(first.get("/settings").body)
    orgs.local.set_role(ORG, "kim", "admin")
    second, _ = sign_in(orgs, "kim")
    assert second.get("/plans").status == 200
    assert "Add or change a member" in second.get("/settings").body
    assert first.get("/queue").status == 401, "the session with the old role is over"
    orgs.local.set_role(ORG, "kim", None)
    third, answer = sign_in(orgs, "kim")
    assert answer.status == 403
    assert (second.get("/queue").status, third.get("/queue").status) == (401, 401)
    orgs.local.set_role(ORG, "kim", "read")
    fourth, answer = sign_in(orgs, "kim")
    assert answer.status == 303, "who comes back is let in again"
    assert fourth.post("/tray").status == 403, "as a viewer"
    assert _is_sound(orgs)


def test_whom_an_admin_removed_does_not_come_back_by_the_organisation(orgs: Desk) -> None:
    orgs.local.set_role(ORG, "kim", "write")
    sign_in(orgs, "kim")
    orgs.remove("kim")
    answer = sign_in(orgs, "kim")[1]
    assert answer.status == 403
    assert "An admin removed kim from this desk." in text_of(answer.body)
    assert _is_sound(orgs)


def test_whom_an_admin_removed_stays_out_after_the_name_was_given_to_another_account(orgs: Desk) -> None:
    orgs.local.set_role(ORG, "kim", "admin")
    sign_in(orgs, "kim")
    orgs.remove("kim")
    orgs.local.add_people([{"username": "kim-b"}])
    orgs.local.rename("kim", "kim-a")
    orgs.local.rename("kim-b", "kim")
    _added(orgs, "kim")
    assert sign_in(orgs, "kim-a")[1].status == 403
    assert sign_in(orgs, "kim")[1].status == 303
    assert _is_sound(orgs)


def test_a_role_that_is_not_in_the_map_lets_nobody_in(orgs: Desk) -> None:
    orgs.local.set_role(ORG, "kim", "contributor")
    assert sign_in(orgs, "kim")[1].status == 403


def test_a_member_without_access_to_the_organisation_gets_no_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_desk_with_sign_in(tmp_path, monkeypatch, f"{SIGN_IN}  roles:\n    {ORG}: viewer\n", repos=3) as desk:
        desk.local.add_people([{"username": "kim"}])
        desk.local.set_role(ORG, "kim", "no_access")
        assert sign_in(desk, "kim")[1].status == 403
        desk.local.set_role(ORG, "kim", "contributor")
        assert sign_in(desk, "kim")[1].status == 303


def test_who_did_not_pass_the_sign_in_of_the_organisation_gets_no_role(orgs: Desk) -> None:
    orgs.local.set_role(ORG, "kim", "admin")
    browser = Visitor(orgs.app)
    led = start_sign_in(orgs, browser, "kim")
    orgs.local.set_faults(["bad_sign_in:how=no_sso"])
    answer = browser.get(led)
    assert answer.status == 403
    assert f"The organisation {ORG} does not let kim in now. Open a page of this organisation" in text_of(answer.body)
    assert orgs.app_state.workspace.store.members() == []
    orgs.local.set_faults([])
    assert sign_in(orgs, "kim", browser)[1].status == 303


def test_an_organisation_that_took_the_name_of_another_one_lets_nobody_in(orgs: Desk) -> None:
    orgs.local.set_role(ORG, "kim", "read")
    first, _ = sign_in(orgs, "kim")
    orgs.local.add_people([{"username": "eve"}])
    orgs.local.set_role(ORG, "eve", "admin")
    orgs.local.set_faults(["bad_sign_in:how=other_org:on=openid-userinfo"])
    answer = sign_in(orgs, "eve")[1]
    assert answer.status == 403
    assert f"The organisation {ORG} is not the one that had this name before." in text_of(answer.body)
    assert sign_in(orgs, "kim")[1].status == 403
    assert first.get("/queue").status == 401, "who is not in the organisation any more is out"
    store, roles = orgs.app_state.workspace.store, orgs.app_state.hub_sign_in.roles
    forget_organizations(store, roles)
    assert sign_in(orgs, "eve")[1].status == 403
    forget_organizations(store, {})
    assert sign_in(orgs, "eve")[1].status == 303, "an admin accepted it"
    assert _is_sound(orgs)


@pytest.mark.parametrize("name", ["lena-brandt", "desk", "mia"])
def test_a_member_of_the_organisation_takes_nobodys_name(orgs: Desk, name: str) -> None:
    _added(orgs, "mia")
    orgs.local.rename("mia", "mia-hub")
    orgs.local.add_people([{"username": "temp"}])
    if name == "lena-brandt":
        orgs.app_state.membership.owner = "temp"  # the owner's name, which a Hub account takes later
    user = {"lena-brandt": "temp", "desk": "desk", "mia": "mia"}[name]
    if user != "temp":
        orgs.local.add_people([{"username": user}])
    orgs.local.set_role(ORG, user, "write")
    assert sign_in(orgs, user)[1].status == 303
    names = {one.name for one in orgs.app_state.workspace.store.members()}
    assert user not in names or user == "mia"
    assert len(names) == 2
    assert _is_sound(orgs)


def test_an_added_member_keeps_the_role_that_an_admin_gave(orgs: Desk) -> None:
    _added(orgs)
    orgs.local.set_role(ORG, "mia-hub", "admin")
    browser, answer = sign_in(orgs, "mia-hub")
    assert answer.status == 303
    assert "Add or change a member" not in browser.get("/settings").body
    orgs.local.set_role(ORG, "mia-hub", None)
    assert sign_in(orgs, "mia-hub")[1].status == 303


def test_the_highest_role_of_all_organisations_counts() -> None:
    roles = {"a": {"any": MemberRole.VIEWER}, "b": {"write": MemberRole.ADMIN}, "c": {"any": MemberRole.REVIEWER}}
    assert find_role(HubIdentity("1", "u", {"a": "read", "c": "write"}), roles) is MemberRole.REVIEWER
    assert find_role(HubIdentity("1", "u", {"a": "read", "b": "write"}), roles) is MemberRole.ADMIN
    assert find_role(HubIdentity("1", "u", {"b": "read", "d": "admin"}), roles) is None


# ---- where it is off ---------------------------------------------------------------------------------------------------

SPACE = {"SPACE_HOST": "acme-desk.hf.space", "OAUTH_CLIENT_ID": "a", "OAUTH_CLIENT_SECRET": "b"}


@pytest.mark.parametrize(
    ("config", "environ", "place", "words"),
    [
        ("", {}, (None, "127.0.0.1", 7860), "hf-gate.yaml has no sign_in with a client_id."),
        (SIGN_IN, {}, (None, "0.0.0.0", 7860), "other machines reach this desk without TLS."),  # noqa: S104
        (
            SIGN_IN.replace("_ID", "_NO"),
            {},
            (None, "127.0.0.1", 1),
            "the environment variable DESK_CLIENT_NO is not set.",
        ),
        ("", {"SPACE_HOST": "a.hf.space"}, ("https://a.hf.space", "0.0.0.0", 1), "Write `hf_oauth: true`"),  # noqa: S104
        ("", SPACE | {"OPENID_PROVIDER_URL": "https://x.invalid"}, ("https://a", "::", 1), "is not the desk's Hub"),
    ],
)
def test_the_settings_say_why_sign_in_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, environ: dict[str, str], place: tuple[str | None, str, int],
    words: str,
) -> None:  # fmt: skip
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)
    with open_desk(tmp_path, config=config) as desk:
        made = build_hub_sign_in(desk.app_state.workspace, environ, *place)
        desk.app_state.hub_sign_in = made
        assert made.client is None
        assert words in made.problem
        assert words in text_of(desk.visitor().get("/settings").body)
        stranger = Visitor(desk.app)
        assert "/sign-in/hub" not in stranger.get("/sign-in").body
        assert [stranger.get(path).status for path in ("/sign-in/hub", "/sign-in/hub/callback?code=a")] == [404, 404]


def test_a_space_brings_its_own_client(desk: Desk) -> None:
    made = build_hub_sign_in(desk.app_state.workspace, SPACE, "https://acme-desk.hf.space", "0.0.0.0", 7860)  # noqa: S104
    assert made.client is not None
    assert made.redirect == "https://acme-desk.hf.space/sign-in/hub/callback"


def test_a_space_with_its_own_domain_has_one_address() -> None:
    hosts = {"SPACE_HOST": "acme-desk.hf.space,desk.example.org"}
    assert find_space_origin(hosts) == "https://acme-desk.hf.space"


def test_another_address_of_the_desk_leads_to_the_registered_one(sign_in_desk: Desk) -> None:
    sign_in_state = sign_in_desk.app_state.hub_sign_in
    sign_in_desk.app_state.hub_sign_in = replace(sign_in_state, origin="http://127.0.0.1:9")
    led = Visitor(sign_in_desk.app).get("/sign-in/hub")
    assert (led.status, led.headers["location"]) == (303, "http://127.0.0.1:9/sign-in/hub")
    assert os.environ["DESK_CLIENT_ID"] == CLIENT["DESK_CLIENT_ID"]


def test_two_first_sign_ins_of_one_person_make_one_member(orgs: Desk) -> None:
    """The second one began before the first one had ended."""
    ident = orgs.local.add_people([{"username": "zoe"}])[0]["id"]
    new = Member(name="zoe", role=MemberRole.VIEWER, user_id=ident, account="zoe", origin=MemberOrigin.ORGANIZATION)
    first = admit_member(orgs.app_state.workspace.store, new, "desk", 1)
    assert first is not None
    assert admit_member(orgs.app_state.workspace.store, new, "desk", 2) == first
    other = struct_replace(new, user_id="0" * 24)
    assert admit_member(orgs.app_state.workspace.store, other, "desk", 3) is None, "the name belongs to somebody"
    orgs.remove("zoe")
    assert admit_member(orgs.app_state.workspace.store, struct_replace(new, id=first.id), "desk", 4) is None, (
        "removed meanwhile"
    )
    assert _is_sound(orgs)
