"""Sign-in with the Hub: who comes in, as whom, and every answer of a provider that is not believed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as struct_replace

from hf_gate.application.ledger_verification import verify_ledger
from hf_gate.domain.members import Member, MemberOrigin, MemberRole
from hf_gate.domain.sign_in import HubIdentity, SignInFailed, find_role
from hf_gate.hub.credentials import Secret
from hf_gate.hub.openid import OpenIdClient
from hf_gate.testing import LocalHub
from hf_gate.web.hub_sign_in import build_hub_sign_in, find_space_origin
from hf_gate.web.sign_in_attempts import SignInAttempts
from tests.web.kit import HOME, Answer, Room, Visitor, a_room, called, text_of
from tests.web.sign_in_kit import CLIENT, ORG, ROLES, SIGN_IN, a_desk_with_sign_in, begin, choose, connect, sign_in

MIA = Member(name="mia", role=MemberRole.REVIEWER, account="mia-hub")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    with a_desk_with_sign_in(tmp_path, monkeypatch) as room:
        yield room


@pytest.fixture
def orgs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A desk that lets the members of an organisation in."""
    with a_desk_with_sign_in(tmp_path, monkeypatch, SIGN_IN + ROLES, repos=3) as room:
        room.local.add_people([{"username": "kim"}])
        yield room


def _invited(room: Room, name: str = "mia", account: str | None = "mia-hub") -> Member:
    """A member whom an admin invited with a Hub account, or with a name that a Hub account has too."""
    ident = room.local.add_people([{"username": account or name}])[0]["id"]
    member = Member(name=name, role=MemberRole.REVIEWER, account=account, user_id=ident)
    return room.app_state.membership.invite(member, f"link-of-{name}")


def _is_sound(room: Room) -> bool:
    return verify_ledger(room.app_state.workspace.store, with_tables=True).ok


# ---- who comes in ------------------------------------------------------------------------------------------------------


def test_the_owner_signs_in_with_their_account(desk: Room) -> None:
    browser, answer = sign_in(desk, "lena-brandt")
    assert (answer.status, answer.headers["location"]) == (303, "/queue")
    assert "lena-brandt" in browser.get("/settings").body
    assert not any(name.endswith("-oauth") for name in browser.cookies), "the cookie of the sign-in is gone"


def test_a_member_who_signs_in_is_proven_and_the_link_that_the_inviter_saw_is_over(desk: Room) -> None:
    _invited(desk)
    with_link = desk.by_link("link-of-mia")
    browser, answer = sign_in(desk, "mia-hub")
    assert answer.status == 303
    assert "mia-hub, proven" in text_of(browser.get("/settings").body)
    assert with_link.get("/queue").status == 401
    assert Visitor(desk.app).get("/sign-in?t=link-of-mia").status == 401
    assert sign_in(desk, "mia-hub")[1].status == 303, "and again"
    assert browser.get("/queue").status == 200, "a second sign-in ends no session"
    assert _is_sound(desk)


def test_a_stranger_does_not_come_in(desk: Room) -> None:
    desk.local.add_people([{"username": "eve"}])
    browser, answer = sign_in(desk, "eve")
    assert answer.status == 403
    assert "The Hub account eve is not a member of this desk. Ask an admin to invite you" in text_of(answer.body)
    assert browser.get("/queue").status == 401
    assert desk.app_state.workspace.members.list_all() == []


def test_a_hub_account_that_only_has_the_members_name_is_not_the_member(desk: Room) -> None:
    """Whoever takes the name on the Hub would come in. The browser that has the member's link confirms the account."""
    _invited(desk, account=None)
    _, answer = sign_in(desk, "mia")
    assert answer.status == 403
    assert "does not name a Hub account. Open your personal link first" in text_of(answer.body)
    own = desk.by_link("link-of-mia")
    browser, answer = sign_in(desk, "mia", own)
    assert connect(browser, answer).status == 303
    assert "mia, proven" in text_of(browser.get("/settings").body)
    assert _is_sound(desk)


def test_a_site_that_leads_a_member_through_a_sign_in_binds_no_account(desk: Room) -> None:
    """The browser may be signed in to the Hub with an account that several people use."""
    mia, stranger = desk.reviewer("mia"), desk.reviewer("noor")
    desk.local.add_people([{"username": "shared"}])
    _, answer = sign_in(desk, "shared", mia)
    assert (answer.status, "Is shared your Hub account?" in text_of(answer.body)) == (200, True)
    assert mia.get("/queue").status == 200, "her session goes on"
    assert connect(stranger, answer).status == 403, "the question is for one member"
    assert connect(mia, answer).status == 403, "and for one answer"
    found = desk.app_state.workspace.members.find_by_name("mia")
    assert found is not None
    assert found.proven_account is None


def test_the_browser_of_one_member_does_not_confirm_the_account_of_another(desk: Room) -> None:
    _invited(desk)
    noor = desk.reviewer("noor")
    _, answer = sign_in(desk, "mia-hub", noor)
    assert answer.status == 303
    assert "mia-hub, proven" in text_of(noor.get("/settings").body), "the browser is mia's now"
    found = desk.app_state.workspace.members.find_by_name("noor")
    assert found is not None
    assert found.proven_account is None


def test_two_invitations_of_one_account_let_nobody_in(desk: Room) -> None:
    mia = _invited(desk)
    desk.app_state.membership.invite(struct_replace(mia, name="mia2", id=""), "another link")
    answer = sign_in(desk, "mia-hub")[1]
    assert answer.status == 409
    assert "Several members are invited as mia-hub. Ask an admin to revoke all but one." in text_of(answer.body)


def test_a_revoked_member_is_out(desk: Room) -> None:
    _invited(desk)
    browser, _ = sign_in(desk, "mia-hub")
    desk.out("mia")
    assert browser.get("/queue").status == 401
    assert sign_in(desk, "mia-hub")[1].status == 403


# ---- organisations -----------------------------------------------------------------------------------------------------


def test_membership_is_read_again_at_each_sign_in(orgs: Room) -> None:
    orgs.local.set_role(ORG, "kim", "write")
    first, answer = sign_in(orgs, "kim")
    assert answer.status == 303
    assert "reviewer" in text_of(first.get("/settings").body)
    orgs.local.set_role(ORG, "kim", "admin")
    second, _ = sign_in(orgs, "kim")
    assert second.get("/plans").status == 200
    assert "Invite a member" in second.get("/settings").body
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


def test_whom_an_admin_removed_does_not_come_back_by_the_organisation(orgs: Room) -> None:
    orgs.local.set_role(ORG, "kim", "write")
    sign_in(orgs, "kim")
    orgs.out("kim")
    answer = sign_in(orgs, "kim")[1]
    assert answer.status == 403
    assert "An admin removed kim from this desk." in text_of(answer.body)
    assert _is_sound(orgs)


def test_whom_an_admin_removed_stays_out_after_the_name_was_given_to_another_account(orgs: Room) -> None:
    orgs.local.set_role(ORG, "kim", "admin")
    sign_in(orgs, "kim")
    orgs.out("kim")
    _invited(orgs, "kim", "kim-b")
    assert sign_in(orgs, "kim")[1].status == 403
    assert sign_in(orgs, "kim-b")[1].status == 303
    assert _is_sound(orgs)


def test_a_role_that_is_not_in_the_map_lets_nobody_in(orgs: Room) -> None:
    orgs.local.set_role(ORG, "kim", "contributor")
    assert sign_in(orgs, "kim")[1].status == 403


def test_a_member_without_access_to_the_organisation_gets_no_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_desk_with_sign_in(tmp_path, monkeypatch, f"{SIGN_IN}  roles:\n    {ORG}: viewer\n", repos=3) as room:
        room.local.add_people([{"username": "kim"}])
        room.local.set_role(ORG, "kim", "no_access")
        assert sign_in(room, "kim")[1].status == 403
        room.local.set_role(ORG, "kim", "contributor")
        assert sign_in(room, "kim")[1].status == 303


def test_who_did_not_pass_the_sign_in_of_the_organisation_gets_no_role(orgs: Room) -> None:
    orgs.local.set_role(ORG, "kim", "admin")
    browser = Visitor(orgs.app)
    led = begin(orgs, browser, "kim")
    orgs.local.set_faults(["bad_sign_in:how=no_sso"])
    answer = browser.get(led)
    assert answer.status == 403
    assert f"The organisation {ORG} does not let kim in now. Open a page of this organisation" in text_of(answer.body)
    assert orgs.app_state.workspace.members.list_all() == []
    orgs.local.set_faults([])
    assert sign_in(orgs, "kim", browser)[1].status == 303


def test_an_invitation_that_guessed_the_account_does_not_keep_a_member_of_the_organisation_out(orgs: Room) -> None:
    _invited(orgs, account=None)
    orgs.local.set_role(ORG, "mia", "read")
    browser, answer = sign_in(orgs, "mia")
    assert answer.status == 303
    assert browser.post("/tray").status == 403, "as a viewer"
    found = orgs.app_state.workspace.members.find_by_name("mia")
    assert found is not None
    assert (found.role, found.proven_account) == (MemberRole.REVIEWER, None)
    assert _is_sound(orgs)


@pytest.mark.parametrize("name", ["lena-brandt", "desk", "mia"])
def test_a_member_of_the_organisation_takes_nobodys_name(orgs: Room, name: str) -> None:
    _invited(orgs, "mia", "mia-hub")
    orgs.local.add_people([{"username": "temp"}])
    if name == "lena-brandt":
        orgs.app_state.membership.owner = "temp"  # the owner's name, which a Hub account takes later
    user = {"lena-brandt": "temp", "desk": "desk", "mia": "mia"}[name]
    if user != "temp":
        orgs.local.add_people([{"username": user}])
    orgs.local.set_role(ORG, user, "write")
    assert sign_in(orgs, user)[1].status == 303
    names = {one.name for one in orgs.app_state.workspace.members.list_all()}
    assert user not in names or user == "mia"
    assert len(names) == 2
    assert _is_sound(orgs)


def test_an_invited_member_keeps_the_role_of_the_invitation(orgs: Room) -> None:
    _invited(orgs)
    orgs.local.set_role(ORG, "mia-hub", "admin")
    browser, answer = sign_in(orgs, "mia-hub")
    assert answer.status == 303
    assert "Invite a member" not in browser.get("/settings").body
    orgs.local.set_role(ORG, "mia-hub", None)
    assert sign_in(orgs, "mia-hub")[1].status == 303


def test_the_highest_role_of_all_organisations_counts() -> None:
    roles = {"a": {"any": MemberRole.VIEWER}, "b": {"write": MemberRole.ADMIN}, "c": {"any": MemberRole.REVIEWER}}
    assert find_role(HubIdentity("1", "u", {"a": "read", "c": "write"}), roles) is MemberRole.REVIEWER
    assert find_role(HubIdentity("1", "u", {"a": "read", "b": "write"}), roles) is MemberRole.ADMIN
    assert find_role(HubIdentity("1", "u", {"b": "read", "d": "admin"}), roles) is None


# ---- a provider that is not believed -----------------------------------------------------------------------------------

WRONG = (
    ("nonce", "it belongs to another sign-in (its nonce differs)"),
    ("issuer", "another provider issued it"),
    ("audience", "it is for another application"),
    ("expired", "it has expired, or this machine's clock is wrong"),
    ("future", "it is from the future, or this machine's clock is wrong"),
    ("no_expiry", "it has no times"),
    ("unknown_key", "an unknown key signed it"),
    ("forged", "its signature is not valid"),
    ("alg_none", "its algorithm is not allowed"),
    ("alg_hs256", "its algorithm is not allowed"),
    ("huge", "it is too large"),
    ("no_token", "an answer that cannot be read"),
    ("subject", "named two different accounts"),
    ("other_person", "named two different accounts"),
)


@pytest.mark.parametrize(("how", "words"), WRONG)
def test_a_wrong_answer_signs_nobody_in(desk: Room, how: str, words: str) -> None:
    browser = Visitor(desk.app)
    led = begin(desk, browser, "lena-brandt")
    desk.local.set_faults([f"bad_sign_in:how={how}"])
    answer = browser.get(led)
    assert answer.status == 502
    assert words in text_of(answer.body)
    assert "Try again. If this repeats, an admin must check the provider." in text_of(answer.body)
    assert browser.get("/queue").status == 401
    desk.local.set_faults([])
    assert sign_in(desk, "lena-brandt", browser)[1].status == 303, "the next one works"


@pytest.mark.parametrize("on", ["openid-configuration", "openid-token", "openid-keys", "openid-userinfo"])
@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("redirect_evil", 502, "answered with a redirect, which is not followed"),
        ("huge_body:mb=2", 502, "sent more than 1 MiB"),
        ("deep_json", 502, "an answer that cannot be read"),
        ("html_200", 502, "an answer that cannot be read"),
        ("empty_200", 502, "an answer that cannot be read"),
        ("fail_before:status=503", 503, "answered 503"),
        ("reset_at:byte=10", 503, "did not answer"),
    ],
)
def test_a_broken_answer_signs_nobody_in(desk: Room, on: str, fault: str, status: int, words: str) -> None:
    browser = Visitor(desk.app)
    spec = [f"{fault}:on={on}"]
    if on == "openid-configuration":
        desk.local.set_faults(spec)
        answer = browser.get("/sign-in/hub")
    else:
        led = begin(desk, browser, "lena-brandt")
        desk.local.set_faults(spec)
        answer = browser.get(led)
    assert (answer.status, words in text_of(answer.body)) == (status, True), text_of(answer.body)
    assert browser.get("/queue").status == 401


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("other_issuer", "The provider calls itself https://evil.invalid"),
        ("other_host", "The provider points to another host; nothing was sent there."),
        ("no_pkce", "The provider does not support PKCE with S256."),
    ],
)
def test_a_provider_that_is_another_is_not_asked(desk: Room, how: str, words: str) -> None:
    desk.local.set_faults([f"bad_sign_in:how={how}"])
    answer = Visitor(desk.app).get("/sign-in/hub")
    assert answer.status == 502
    assert words in text_of(answer.body)
    desk.local.set_faults([])
    assert sign_in(desk, "lena-brandt")[1].status == 303


def test_a_new_key_is_read_once(desk: Room) -> None:
    sign_in(desk, "lena-brandt")
    before = desk.local.stats()["calls"]["GET openid-keys"]
    desk.local.set_faults(["bad_sign_in:how=rotated:on=openid-token"])
    assert sign_in(desk, "lena-brandt")[1].status == 303
    assert sign_in(desk, "lena-brandt")[1].status == 303
    assert desk.local.stats()["calls"]["GET openid-keys"] == before + 1
    desk.local.set_faults(["bad_sign_in:how=unknown_key"])
    assert sign_in(desk, "lena-brandt")[1].status == 502
    assert desk.local.stats()["calls"]["GET openid-keys"] == before + 2, "and an unknown one costs one call"


def test_a_provider_that_does_not_answer_is_given_up() -> None:
    with LocalHub(requests=0, repos=1, faults=["slow_body:bps=20"]) as local:
        client = OpenIdClient(local.url, CLIENT["DESK_CLIENT_ID"], Secret("x"), time.monotonic, max_seconds=0.3)
        with pytest.raises(SignInFailed, match="did not answer in time") as caught:
            client.authorization_url(SignInAttempts().begin()[1], "http://127.0.0.1:1/")
    assert caught.value.status == 503


# ---- an answer that is not for this browser ----------------------------------------------------------------------------


def test_the_state_of_another_browser_signs_nobody_in(desk: Room) -> None:
    """An attacker leads somebody to the redirect of a sign-in of their own."""
    mallory, victim = Visitor(desk.app), Visitor(desk.app)
    led = begin(desk, mallory, "lena-brandt")
    for browser in (victim, Visitor(desk.app)):
        if browser is victim:
            begin(desk, victim, "lena-brandt")  # has a cookie of a sign-in of their own
        answer = browser.get(led, sec_fetch_site="cross-site")
        assert answer.status == 403
        assert "This sign-in began in another browser" in text_of(answer.body)
        assert browser.get("/queue").status == 401
    assert mallory.get(led).status == 303


def test_an_answer_works_once(desk: Room) -> None:
    browser = Visitor(desk.app)
    led = begin(desk, browser, "lena-brandt")
    cookies = dict(browser.cookies)
    assert browser.get(led).status == 303
    again = Visitor(desk.app, cookies)
    answer = again.get(led)
    assert answer.status == 403
    assert "was used before" in text_of(answer.body)
    assert again.get("/queue").status == 401


def test_a_used_code_signs_nobody_in(desk: Room) -> None:
    """The provider refuses it, also with the state of a sign-in that is open."""
    browser, other = Visitor(desk.app), Visitor(desk.app)
    led = begin(desk, browser, "lena-brandt")
    assert browser.get(led).status == 303
    code = led.partition("code=")[2].partition("&")[0]
    state = begin(desk, other, "lena-brandt").partition("state=")[2]
    answer = other.get(f"/sign-in/hub/callback?code={code}&state={state}")
    assert (answer.status, "has expired or was used before" in text_of(answer.body)) == (403, True)


def test_a_code_of_another_sign_in_does_not_fit_the_verifier(desk: Room) -> None:
    """A stolen code is worth nothing without the cookie of the browser that began."""
    browser, thief = Visitor(desk.app), Visitor(desk.app)
    code = begin(desk, browser, "lena-brandt").partition("code=")[2].partition("&")[0]
    state = begin(desk, thief, "lena-brandt").partition("state=")[2]
    assert thief.get(f"/sign-in/hub/callback?code={code}&state={state}").status == 403


@pytest.mark.parametrize(
    "path", ["/sign-in/hub", "/sign-in/hub/callback", "/sign-in/hub/callback?error=access_denied&state=1.a.b"]
)
def test_a_site_that_opens_an_address_of_the_sign_in_ends_no_sign_in_under_way(desk: Room, path: str) -> None:
    browser = Visitor(desk.app)
    led = begin(desk, browser, "lena-brandt")
    browser.get(path, sec_fetch_site="cross-site")
    assert browser.get(led).status == 303


def test_sign_ins_in_two_tabs_do_not_disturb_each_other(desk: Room) -> None:
    browser = Visitor(desk.app)
    first, second = begin(desk, browser, "lena-brandt"), begin(desk, browser, "lena-brandt")
    cookies = dict(browser.cookies)
    assert browser.get(first).status == 303
    assert Visitor(desk.app, cookies).get(second).status == 303


def test_one_network_does_not_take_all_places_of_those_who_sign_in(desk: Room) -> None:
    """A stranger sends invented codes while the provider is slow."""
    client = desk.app_state.hub_sign_in.client
    assert client is not None
    client.max_seconds = 3.0
    desk.app_state.url = "https://desk.example.org"  # the proxy names the client's address
    states = [(dict(browser.cookies), led) for browser, led in (_begun(desk) for _ in range(24))]
    desk.local.set_faults(["slow_body:bps=1:on=openid-token"])

    async def flood() -> bool:
        junk = [
            asyncio.create_task(
                _ask(desk, f"{led.partition('?')[0]}?code=x&{led.partition('&')[2]}", cookies, "203.0.113.9")
            )
            for cookies, led in states
        ]
        answers = [await _ask(desk, "/sign-in/hub", {}, "198.51.100.7") for _ in range(50)]
        is_first = {answer.status for answer in answers} == {303} and not any(task.done() for task in junk)
        for task in junk:
            task.cancel()
        await asyncio.gather(*junk, return_exceptions=True)
        return is_first

    with ThreadPoolExecutor(1) as apart:
        assert apart.submit(asyncio.run, flood()).result()


def _begun(room: Room) -> tuple[Visitor, str]:
    browser = Visitor(room.app)
    return browser, begin(room, browser, "lena-brandt")


async def _ask(room: Room, path: str, cookies: dict[str, str], address: str) -> Answer:
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return await called(
        room.app, "GET", path, b"", {**HOME, "cookie": cookie, "x-forwarded-for": f"1.2.3.4, {address}"}
    )


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("error=access_denied", "You did not allow the sign-in."),
        ("error=<script>", "The provider refused the sign-in."),
        ("", "The provider refused the sign-in."),
        ("code=" + "a" * 3000, "The provider refused the sign-in."),
        ("code=a&iss=https%3A%2F%2Fevil.invalid", "The provider refused the sign-in."),
        ("code=%F0%9F%98%80%00", "has expired or was used before"),
    ],
)
def test_an_answer_without_a_code_is_refused_in_one_line(desk: Room, query: str, words: str) -> None:
    browser = Visitor(desk.app)
    state = begin(desk, browser, "lena-brandt").partition("state=")[2]
    answer = browser.get(f"/sign-in/hub/callback?{query}&state={state}")
    assert answer.status == 403
    assert words in text_of(answer.body)
    assert "<script>" not in answer.body
    assert browser.get("/queue").status == 401


def test_who_cancels_at_the_provider_is_told_so(desk: Room) -> None:
    browser = Visitor(desk.app)
    led = choose(desk, browser.get("/sign-in/hub").headers["location"], deny="1")
    assert "You did not allow the sign-in. Sign in again." in text_of(browser.get(led).body)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_a_cookie_and_a_state_fit_only_if_they_were_made_together_and_only_once(tries: list[tuple[int, int]]) -> None:
    attempts, used = SignInAttempts(), set[int]()
    made = [attempts.begin() for _ in range(4)]
    for cookie, state in tries:
        found = attempts.take(made[cookie][0], made[state][1].state)
        assert (found is not None) == (cookie == state and cookie not in used)
        if found is not None:
            assert found == made[cookie][1]
            used.add(cookie)


def test_strangers_who_use_up_many_attempts_keep_nobody_out() -> None:
    attempts = SignInAttempts()
    for cookie, attempt in (attempts.begin() for _ in range(10_000)):
        assert attempts.take(cookie, attempt.state) is not None
    cookie, attempt = attempts.begin()
    assert attempts.take(cookie, attempt.state) == attempt
    assert attempts.take(cookie, attempt.state) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_an_invented_cookie_fits_no_state(cookie: str, state: str) -> None:
    assert SignInAttempts().take(cookie, state) is None


# ---- where it is off ---------------------------------------------------------------------------------------------------

SPACE = {"SPACE_HOST": "acme-desk.hf.space", "OAUTH_CLIENT_ID": "a", "OAUTH_CLIENT_SECRET": "b"}


@pytest.mark.parametrize(
    ("desk", "environ", "place", "words"),
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desk: str, environ: dict[str, str], place: tuple[str | None, str, int],
    words: str,
) -> None:  # fmt: skip
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)
    with a_room(tmp_path, desk=desk) as room:
        made = build_hub_sign_in(room.app_state.workspace, environ, *place)
        room.app_state.hub_sign_in = made
        assert made.client is None
        assert words in made.problem
        assert words in text_of(room.visitor().get("/settings").body)
        stranger = Visitor(room.app)
        assert "/sign-in/hub" not in stranger.get("/sign-in").body
        assert [stranger.get(path).status for path in ("/sign-in/hub", "/sign-in/hub/callback?code=a")] == [404, 404]


def test_a_space_brings_its_own_client(room: Room) -> None:
    made = build_hub_sign_in(room.app_state.workspace, SPACE, "https://acme-desk.hf.space", "0.0.0.0", 7860)  # noqa: S104
    assert made.client is not None
    assert made.redirect == "https://acme-desk.hf.space/sign-in/hub/callback"


def test_a_space_with_its_own_domain_has_one_address() -> None:
    hosts = {"SPACE_HOST": "acme-desk.hf.space,desk.example.org"}
    assert find_space_origin(hosts) == "https://acme-desk.hf.space"


def test_another_address_of_the_desk_leads_to_the_registered_one(desk: Room) -> None:
    sign_in_state = desk.app_state.hub_sign_in
    desk.app_state.hub_sign_in = replace(sign_in_state, origin="http://127.0.0.1:9")
    led = Visitor(desk.app).get("/sign-in/hub")
    assert (led.status, led.headers["location"]) == (303, "http://127.0.0.1:9/sign-in/hub")
    assert os.environ["DESK_CLIENT_ID"] == CLIENT["DESK_CLIENT_ID"]


def test_two_first_sign_ins_of_one_person_make_one_member(orgs: Room) -> None:
    """The second one began before the first one had ended."""
    ident = orgs.local.add_people([{"username": "zoe"}])[0]["id"]
    new = Member(name="zoe", role=MemberRole.VIEWER, user_id=ident, account="zoe", origin=MemberOrigin.ORGANIZATION)
    members = orgs.app_state.workspace.members
    first = members.admit(new, "one", "desk", 1)
    assert first is not None
    assert members.admit(new, "two", "desk", 2) == first
    other = struct_replace(new, user_id="0" * 24)
    assert members.admit(other, "three", "desk", 3) is None, "the name belongs to somebody"
    orgs.out("zoe")
    assert members.admit(struct_replace(new, id=first.id), "four", "desk", 4) is None, "revoked meanwhile"
    assert _is_sound(orgs)
