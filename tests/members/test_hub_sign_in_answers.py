"""Sign-in with the Hub: answers of a provider that are not believed, or that are not for this browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.people.sign_in import SignInFailed
from hf_gate.desk.members.hub_sign_in import build_hub_sign_in
from hf_gate.desk.members.hub_sign_in_pages import SignInAttempts
from hf_gate.hub.credentials import Secret
from hf_gate.members.drivers.openid import OpenIdClient
from hf_gate.testing import LocalHub
from tests.kits.desk import HOME, Answer, Desk, Visitor, call_app, text_of
from tests.kits.sign_in import (
    CLIENT,
    choose_account,
    open_desk_with_sign_in,
    orgs,
    sign_in,
    sign_in_desk,
    start_sign_in,
)

__all__ = ["orgs", "sign_in_desk"]


# ---- a provider that is not believed -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def provided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One desk for all answers that are not believed: they change nothing in it."""
    with (
        pytest.MonkeyPatch.context() as patch,
        open_desk_with_sign_in(tmp_path_factory.mktemp("desk"), patch) as desk,
    ):
        yield desk


@pytest.fixture
def wary_desk(provided: Desk) -> Iterator[Desk]:
    """The desk, with a client that has read nothing of its provider yet."""
    state = provided.app_state
    state.hub_sign_in = build_hub_sign_in(state.workspace, CLIENT, None, "127.0.0.1", 7860)
    yield provided
    provided.local.set_faults([])


WRONG = (
    ("nonce", "it belongs to another sign-in (its nonce differs)"),
    ("issuer", "another provider issued it"),
    ("audience", "it is for another application"),
    ("expired", "it has expired, or this machine's clock is wrong"),
    ("future", "it is from the future, or this machine's clock is wrong"),
    ("not_yet", "it is from the future, or this machine's clock is wrong"),
    ("odd_start", "it has no times"),
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
def test_a_wrong_answer_signs_nobody_in(wary_desk: Desk, how: str, words: str) -> None:
    browser = Visitor(wary_desk.app)
    led = start_sign_in(wary_desk, browser, "lena-brandt")
    wary_desk.local.set_faults([f"bad_sign_in:how={how}"])
    answer = browser.get(led)
    assert answer.status == 502
    assert words in text_of(answer.body)
    assert "Try again. If this repeats, an admin must check the provider." in text_of(answer.body)
    assert browser.get("/queue").status == 401
    wary_desk.local.set_faults([])
    assert sign_in(wary_desk, "lena-brandt", browser)[1].status == 303, "the next one works"


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
def test_a_broken_answer_signs_nobody_in(wary_desk: Desk, on: str, fault: str, status: int, words: str) -> None:
    browser = Visitor(wary_desk.app)
    spec = [f"{fault}:on={on}"]
    if on == "openid-configuration":
        wary_desk.local.set_faults(spec)
        answer = browser.get("/sign-in/hub")
    else:
        led = start_sign_in(wary_desk, browser, "lena-brandt")
        wary_desk.local.set_faults(spec)
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
def test_a_provider_that_is_another_is_not_asked(wary_desk: Desk, how: str, words: str) -> None:
    wary_desk.local.set_faults([f"bad_sign_in:how={how}"])
    answer = Visitor(wary_desk.app).get("/sign-in/hub")
    assert answer.status == 502
    assert words in text_of(answer.body)
    wary_desk.local.set_faults([])
    assert sign_in(wary_desk, "lena-brandt")[1].status == 303


def test_a_new_key_is_read_once(sign_in_desk: Desk) -> None:
    sign_in(sign_in_desk, "lena-brandt")
    before = sign_in_desk.local.stats()["calls"]["GET openid-keys"]
    sign_in_desk.local.set_faults(["bad_sign_in:how=rotated:on=openid-token"])
    assert sign_in(sign_in_desk, "lena-brandt")[1].status == 303
    assert sign_in(sign_in_desk, "lena-brandt")[1].status == 303
    assert sign_in_desk.local.stats()["calls"]["GET openid-keys"] == before + 1
    sign_in_desk.local.set_faults(["bad_sign_in:how=unknown_key"])
    assert sign_in(sign_in_desk, "lena-brandt")[1].status == 502
    assert sign_in_desk.local.stats()["calls"]["GET openid-keys"] == before + 2, "and an unknown one costs one call"


def test_a_provider_that_does_not_answer_is_given_up() -> None:
    with LocalHub(requests=0, repos=1, faults=["slow_body:bps=20"]) as local:
        client = OpenIdClient(local.url, CLIENT["DESK_CLIENT_ID"], Secret("x"), time.monotonic, max_seconds=0.3)
        with pytest.raises(SignInFailed, match="did not answer in time") as caught:
            client.authorization_url(SignInAttempts().begin()[1], "http://127.0.0.1:1/")
    assert caught.value.status == 503


# ---- an answer that is not for this browser ----------------------------------------------------------------------------


def test_the_state_of_another_browser_signs_nobody_in(sign_in_desk: Desk) -> None:
    """An attacker leads somebody to the redirect of a sign-in of their own."""
    mallory, victim = Visitor(sign_in_desk.app), Visitor(sign_in_desk.app)
    led = start_sign_in(sign_in_desk, mallory, "lena-brandt")
    for browser in (victim, Visitor(sign_in_desk.app)):
        if browser is victim:
            start_sign_in(sign_in_desk, victim, "lena-brandt")  # has a cookie of a sign-in of their own
        answer = browser.get(led, sec_fetch_site="cross-site")
        assert answer.status == 403
        assert "This sign-in began in another browser" in text_of(answer.body)
        assert browser.get("/queue").status == 401
    assert mallory.get(led).status == 303


def test_an_answer_works_once(sign_in_desk: Desk) -> None:
    browser = Visitor(sign_in_desk.app)
    led = start_sign_in(sign_in_desk, browser, "lena-brandt")
    cookies = dict(browser.cookies)
    assert browser.get(led).status == 303
    again = Visitor(sign_in_desk.app, cookies)
    answer = again.get(led)
    assert answer.status == 403
    assert "was used before" in text_of(answer.body)
    assert again.get("/queue").status == 401


def test_a_used_code_signs_nobody_in(sign_in_desk: Desk) -> None:
    """The provider refuses it, also with the state of a sign-in that is open."""
    browser, other = Visitor(sign_in_desk.app), Visitor(sign_in_desk.app)
    led = start_sign_in(sign_in_desk, browser, "lena-brandt")
    assert browser.get(led).status == 303
    code = led.partition("code=")[2].partition("&")[0]
    state = start_sign_in(sign_in_desk, other, "lena-brandt").partition("state=")[2]
    answer = other.get(f"/sign-in/hub/callback?code={code}&state={state}")
    assert (answer.status, "has expired or was used before" in text_of(answer.body)) == (403, True)


def test_a_code_of_another_sign_in_does_not_fit_the_verifier(sign_in_desk: Desk) -> None:
    """A stolen code is worth nothing without the cookie of the browser that began."""
    browser, thief = Visitor(sign_in_desk.app), Visitor(sign_in_desk.app)
    code = start_sign_in(sign_in_desk, browser, "lena-brandt").partition("code=")[2].partition("&")[0]
    state = start_sign_in(sign_in_desk, thief, "lena-brandt").partition("state=")[2]
    assert thief.get(f"/sign-in/hub/callback?code={code}&state={state}").status == 403


@pytest.mark.parametrize(
    "path", ["/sign-in/hub", "/sign-in/hub/callback", "/sign-in/hub/callback?error=access_denied&state=1.a.b"]
)
def test_a_site_that_opens_an_address_of_the_sign_in_ends_no_sign_in_under_way(sign_in_desk: Desk, path: str) -> None:
    browser = Visitor(sign_in_desk.app)
    led = start_sign_in(sign_in_desk, browser, "lena-brandt")
    browser.get(path, sec_fetch_site="cross-site")
    assert browser.get(led).status == 303


def test_sign_ins_in_two_tabs_do_not_disturb_each_other(sign_in_desk: Desk) -> None:
    browser = Visitor(sign_in_desk.app)
    first, second = (
        start_sign_in(sign_in_desk, browser, "lena-brandt"),
        start_sign_in(sign_in_desk, browser, "lena-brandt"),
    )
    cookies = dict(browser.cookies)
    assert browser.get(first).status == 303
    assert Visitor(sign_in_desk.app, cookies).get(second).status == 303


def test_one_network_does_not_take_all_places_of_those_who_sign_in(sign_in_desk: Desk) -> None:
    """A stranger sends invented codes while the provider is slow."""
    client = sign_in_desk.app_state.hub_sign_in.client
    assert client is not None
    client.max_seconds = 3.0
    sign_in_desk.app_state.url = "https://desk.example.org"  # the proxy names the client's address
    states = [(dict(browser.cookies), led) for browser, led in (_begun(sign_in_desk) for _ in range(24))]
    sign_in_desk.local.set_faults(["slow_body:bps=1:on=openid-token"])

    async def flood() -> bool:
        junk = [
            asyncio.create_task(
                _ask(sign_in_desk, f"{led.partition('?')[0]}?code=x&{led.partition('&')[2]}", cookies, "203.0.113.9")
            )
            for cookies, led in states
        ]
        answers = [await _ask(sign_in_desk, "/sign-in/hub", {}, "198.51.100.7") for _ in range(50)]
        is_first = {answer.status for answer in answers} == {303} and not any(task.done() for task in junk)
        for task in junk:
            task.cancel()
        await asyncio.gather(*junk, return_exceptions=True)
        return is_first

    with ThreadPoolExecutor(1) as apart:
        assert apart.submit(asyncio.run, flood()).result()


def _begun(desk: Desk) -> tuple[Visitor, str]:
    browser = Visitor(desk.app)
    return browser, start_sign_in(desk, browser, "lena-brandt")


async def _ask(desk: Desk, path: str, cookies: dict[str, str], address: str) -> Answer:
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return await call_app(
        desk.app, "GET", path, b"", {**HOME, "cookie": cookie, "x-forwarded-for": f"1.2.3.4, {address}"}
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
def test_an_answer_without_a_code_is_refused_in_one_line(sign_in_desk: Desk, query: str, words: str) -> None:
    browser = Visitor(sign_in_desk.app)
    state = start_sign_in(sign_in_desk, browser, "lena-brandt").partition("state=")[2]
    answer = browser.get(f"/sign-in/hub/callback?{query}&state={state}")
    assert answer.status == 403
    assert words in text_of(answer.body)
    assert "<script>" not in answer.body
    assert browser.get("/queue").status == 401


def test_who_cancels_at_the_provider_is_told_so(sign_in_desk: Desk) -> None:
    browser = Visitor(sign_in_desk.app)
    led = choose_account(sign_in_desk, browser.get("/sign-in/hub").headers["location"], deny="1")
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
