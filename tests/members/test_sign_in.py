"""Who comes in by a link: nobody in the place of who is in, and nobody after they were removed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.desk.app import build_desk_app
from hf_gate.desk.members.sign_in import Authenticator
from hf_gate.members.sessions import SignInMethod
from tests.kits.desk import HOST, Desk, Visitor


def _link(desk: Desk) -> str:
    """A link of mia, whom the Hub named."""
    mia = desk.add_member(Member(name="mia", role=MemberRole.REVIEWER))
    return desk.authenticator.make_link_of(mia, SignInMethod.HUB, 60.0)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_signs_nobody_in_without_a_click(desk: Desk, site: str) -> None:
    """Else they would decide as somebody else unawares."""
    mias = _link(desk)
    for link in (mias, desk.authenticator.make_link()):
        for visitor in (Visitor(desk.app), desk.visitor()):
            before = visitor.cookies.get("hf-gate")
            led = visitor.get(f"/sign-in?t={link}", sec_fetch_site=site)
            assert (led.status, visitor.cookies.get("hf-gate")) == (200, before)
            assert "Another site or program opened this link." in led.body
            assert f'name="link" type="hidden" value="{link}"' in led.body
    assert Visitor(desk.app).post("/sign-in", {"link": link}, sec_fetch_site=site).status == 403
    mia = Visitor(desk.app)
    assert mia.post("/sign-in", {"link": mias}).status == 303
    assert mia.get("/queue").status == 200


def test_a_browser_that_fetches_a_link_before_anybody_opens_it_spends_nothing(desk: Desk) -> None:
    link, browser = desk.authenticator.make_link(), Visitor(desk.app)
    guessed = browser.get(f"/sign-in?t={link}", sec_fetch_site="none", sec_purpose="prefetch;prerender")
    assert (guessed.status, browser.cookies) == (200, {})
    assert browser.get(f"/sign-in?t={link}", sec_fetch_site="none").status == 303


def test_who_is_in_is_told_that_another_sites_link_is_somebody_elses(desk: Desk) -> None:
    lena = desk.visitor()
    led = lena.get(f"/sign-in?t={_link(desk)}", sec_fetch_site="cross-site")
    assert "You are signed in as lena-brandt. Signing in as mia ends that session." in led.body
    assert "lena-brandt" in lena.get("/settings").body, "and stays in"


def test_a_link_of_another_site_that_is_not_valid_is_counted_as_a_guess(desk: Desk) -> None:
    stranger = Visitor(desk.app)
    answers = [stranger.get(f"/sign-in?t=guess{n}", sec_fetch_site="cross-site").status for n in range(11)]
    assert answers == [401] * 10 + [429]


def test_a_member_with_the_name_of_the_tokens_account_is_not_its_owner(desk: Desk) -> None:
    """The desk is started again, with the token of an account that is called as a member was."""
    mia = desk.reviewer("mia")
    app_state = replace(desk.app_state, owner="mia")
    again = Visitor(build_desk_app(app_state, Authenticator(app_state), frozenset({HOST})))
    again.cookies.update(mia.cookies)
    assert again.get("/settings").status != 200


def test_nobody_is_called_as_the_ledger_calls_others(desk: Desk) -> None:
    desk.add_member(Member(name="desk", role=MemberRole.VIEWER))
    (added,) = desk.app_state.workspace.store.members()
    assert re.fullmatch("desk-[0-9a-f]{8}", added.name)
    refused = desk.visitor().post("/settings/members", {"name": "lena-brandt", "role": "viewer"})
    assert (refused.status, "is the owner of this desk" in refused.body) == (422, True)


def test_a_link_of_a_member_who_was_removed_opens_nothing(desk: Desk) -> None:
    link = _link(desk)
    desk.remove("mia")
    assert Visitor(desk.app).post("/sign-in", {"link": link}).status == 401


def test_without_tls_a_session_ends_with_the_process_that_gave_it(desk: Desk) -> None:
    """Another program could have listened at the port meanwhile, and taken the cookies of open pages."""
    lena = desk.visitor()
    assert lena.get("/queue").status == 200
    again = Visitor(
        build_desk_app(desk.app_state, Authenticator(desk.app_state), frozenset({HOST})), dict(lena.cookies)
    )
    assert again.get("/queue").status == 401
    assert lena.get("/queue").status == 200


def test_behind_tls_a_session_outlives_the_process(desk: Desk) -> None:
    doors = [Authenticator(desk.app_state, "__Host-hf-gate", is_https=True) for _ in range(2)]
    first, second = (Visitor(build_desk_app(desk.app_state, door, frozenset({HOST}))) for door in doors)
    assert first.get(f"/sign-in?t={doors[0].make_link()}").status == 303
    second.cookies.update(first.cookies)
    assert second.get("/queue").status == 200


def test_without_an_application_the_sign_in_page_says_what_is_missing(desk: Desk) -> None:
    body = Visitor(desk.app).get("/queue").body
    assert "Members cannot sign in here yet: the owner must register an application on the Hub" in body
