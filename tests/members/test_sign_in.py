"""Who comes in by a link: nobody in the place of who is in, and nobody by one that is revoked in that moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.members.pages.sign_in import Authenticator
from hf_gate.members.rows.sessions import find_session_member, open_session_by_link
from hf_gate.members.sessions import LinkState, NewSession, SignInMethod
from hf_gate.web.app import build_desk_app
from hf_gate.workspace.service import bootstrap
from tests.kits.desk import HOST, Desk, Visitor

MIA = Member(name="mia", role=MemberRole.REVIEWER)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_signs_nobody_in_without_a_click(desk: Desk, site: str) -> None:
    """Else they would decide as somebody else unawares."""
    desk.app_state.membership.invite(MIA, "link-of-mia")
    for link in ("link-of-mia", desk.authenticator.make_link()):
        for visitor in (Visitor(desk.app), desk.visitor()):
            before = visitor.cookies.get("hf-gate")
            led = visitor.get(f"/sign-in?t={link}", sec_fetch_site=site)
            assert (led.status, visitor.cookies.get("hf-gate")) == (200, before)
            assert "Another site or program opened this link." in led.body
            assert f'name="link" type="hidden" value="{link}"' in led.body
    assert Visitor(desk.app).post("/sign-in", {"link": link}, sec_fetch_site=site).status == 403
    mia = Visitor(desk.app)
    assert mia.post("/sign-in", {"link": "link-of-mia", "stay": "1"}).status == 303
    assert mia.get("/queue").status == 200


def test_a_browser_that_fetches_a_link_before_anybody_opens_it_spends_nothing(desk: Desk) -> None:
    link, browser = desk.authenticator.make_link(), Visitor(desk.app)
    guessed = browser.get(f"/sign-in?t={link}", sec_fetch_site="none", sec_purpose="prefetch;prerender")
    assert (guessed.status, browser.cookies) == (200, {})
    assert browser.get(f"/sign-in?t={link}", sec_fetch_site="none").status == 303


def test_who_is_in_is_told_that_another_sites_link_is_somebody_elses(desk: Desk) -> None:
    lena = desk.visitor()
    desk.app_state.membership.invite(MIA, "link-of-mia")
    led = lena.get("/sign-in?t=link-of-mia", sec_fetch_site="cross-site")
    assert "You are signed in as lena-brandt. Signing in as mia ends that session." in led.body
    assert "lena-brandt" in lena.get("/settings").body, "and stays in"


def test_a_link_of_another_site_that_is_not_valid_is_counted_as_a_guess(desk: Desk) -> None:
    stranger = Visitor(desk.app)
    answers = [stranger.get(f"/sign-in?t=guess{n}", sec_fetch_site="cross-site").status for n in range(11)]
    assert answers == [401] * 10 + [429]


def test_who_was_invited_by_the_name_of_the_tokens_account_is_not_its_owner(desk: Desk) -> None:
    """The desk is started again, with the token of an account that is called as a member was."""
    mia = desk.reviewer("mia")
    app_state = replace(desk.app_state, owner="mia")
    again = Visitor(build_desk_app(app_state, Authenticator(app_state), frozenset({HOST})))
    again.cookies.update(mia.cookies)
    assert again.get("/settings").status != 200
    assert again.get("/sign-in?t=link-of-mia").status == 401


def test_nobody_is_called_as_the_ledger_calls_others(desk: Desk) -> None:
    lena = desk.visitor()
    for name in ("outside", "desk", "lena-brandt"):
        answer = lena.post("/settings/invite", {"name": name, "role": "viewer"})
        assert answer.status == 422
        assert "is not a valid member name" in answer.body


def test_a_link_that_is_revoked_while_it_is_opened_opens_nothing(desk: Desk) -> None:
    mia = Member(name="mia", role=MemberRole.REVIEWER)
    at = to_ms(bootstrap.utc_now())
    new = NewSession(member="mia", method=SignInMethod.LINK, browser="", began_at=at)
    desk.app_state.membership.invite(mia, "first")
    assert (
        open_session_by_link(desk.app_state.workspace.store, "a session", new, "first", "a device", at=at, link_at=at)
        is LinkState.VALID
    )
    desk.app_state.membership.invite(mia, "second")
    assert (
        open_session_by_link(desk.app_state.workspace.store, "another", new, "first", "a device", at=at, link_at=at)
        is LinkState.INVALID
    )
    assert find_session_member(desk.app_state.workspace.store, "another", at) is None
    desk.by_link("second")


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


def test_the_sign_in_page_leads_with_the_link_of_the_admin(desk: Desk) -> None:
    body = Visitor(desk.app).get("/queue").body
    lead, field = body.find("Use the link that an admin sent you."), body.find('id="link"')
    assert 0 < lead < field < body.find("hf-gate ui")
