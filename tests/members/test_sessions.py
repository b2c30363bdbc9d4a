"""Sessions: how long they last, and who can end them."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hf_gate.core.people.members import SESSION_LIFETIME, Member, MemberRole
from hf_gate.desk.members.sign_in import name_browser
from hf_gate.members.rows.sessions import IDLE_MS, MAX_SESSIONS, find_session_member, list_open_sessions, open_session
from hf_gate.members.sessions import NewSession, SignInMethod
from hf_gate.store.store import Store
from tests.kits.desk import Desk, Visitor, text_of
from tests.kits.stores import place, store

__all__ = ["place", "store"]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"


def _link(desk: Desk) -> str:
    mia = desk.add_member(Member(name="mia", role=MemberRole.REVIEWER))
    return desk.authenticator.make_link_of(mia, SignInMethod.HUB, 60.0)


def _press(visitor: Visitor, link: str, **headers: str) -> int:
    return visitor.post("/sign-in", {"link": link}, **headers).status


NOW = 10 * SESSION_LIFETIME
NEW = NewSession(member="mia", method=SignInMethod.HUB, browser="")


def test_a_clock_that_was_set_back_leaves_no_session_for_years(store: Store) -> None:
    """The machine started with a wrong clock, somebody signed in, and then the clock was set right."""
    later = NOW + 80_000 * SESSION_LIFETIME
    for number in range(MAX_SESSIONS):
        open_session(store, f"wrong{number}", NEW, later)
    assert find_session_member(store, "wrong1", later) == "mia"
    assert find_session_member(store, "wrong1", NOW) is None
    assert list_open_sessions(store, NOW) == []
    for secret in ("a", "b"):
        open_session(store, secret, NEW, NOW)
    assert [find_session_member(store, secret, NOW) for secret in ("a", "b")] == ["mia", "mia"]
    assert find_session_member(store, "a", NOW - 60_000) == "mia", "a small correction ends nothing"


def test_a_session_ends_after_thirty_minutes_without_use_and_after_twelve_hours(store: Store) -> None:
    open_session(store, "s", NEW, NOW)
    assert find_session_member(store, "s", NOW + IDLE_MS) == "mia"
    assert find_session_member(store, "s", NOW + 2 * IDLE_MS + 1, renew=False) is None
    at = NOW + IDLE_MS
    while at <= NOW + SESSION_LIFETIME:
        assert find_session_member(store, "s", at) == "mia"
        at += IDLE_MS
    assert find_session_member(store, "s", at) is None


def test_a_member_has_twenty_sessions_at_most(store: Store) -> None:
    for number in range(MAX_SESSIONS + 1):
        open_session(store, f"s{number}", NEW, NOW + number)
    assert find_session_member(store, "s0", NOW) is None
    assert len(list_open_sessions(store, NOW + MAX_SESSIONS)) == MAX_SESSIONS


def test_only_digests_are_stored(desk: Desk) -> None:
    mia = desk.reviewer("mia")
    (row,) = desk.app_state.workspace.store.reads.rows("SELECT id FROM sessions")
    assert (len(row[0]), row[0] != mia.cookies["hf-gate"]) == (64, True)


def test_a_member_with_many_links_leaves_those_of_others(desk: Desk) -> None:
    owners, vic = desk.authenticator.make_link(), desk.add_member(Member(name="vic", role=MemberRole.VIEWER))
    links = [desk.authenticator.make_link_of(vic, SignInMethod.HUB, 60.0) for _ in range(1000)]
    assert Visitor(desk.app).get(f"/sign-in?t={owners}").status == 303
    assert _press(Visitor(desk.app), links[0]) == 401
    assert _press(Visitor(desk.app), links[-1]) == 303
    assert _press(Visitor(desk.app), links[-1]) == 401, "once"


# ---- sessions ----------------------------------------------------------------------------------------------------------


def test_a_member_sees_and_ends_their_own_sessions(desk: Desk) -> None:
    mia, noor = desk.reviewer("mia"), desk.reviewer("noor")
    phone, member = Visitor(desk.app), desk.app_state.membership.find("mia")
    assert member is not None
    link = desk.authenticator.make_link_of(member, SignInMethod.HUB, 60.0)
    assert _press(phone, link, user_agent=FIREFOX) == 303
    page = mia.get("/settings").body
    words = text_of(page)
    assert "mia (this browser) Hub account another program" in words
    assert "mia Hub account Firefox on Linux" in words
    assert "noor Hub account" not in words
    phones = _session(page, "Firefox on Linux")
    theirs = _session(noor.get("/settings").body, "another program")
    assert mia.post("/settings/sessions/end", {"session": theirs}).status == 409
    assert noor.get("/queue").status == 200
    assert mia.post("/settings/sessions/end", {"session": phones}).status == 303
    assert (phone.get("/queue").status, mia.get("/queue").status) == (401, 200)
    assert mia.post("/settings/sessions/end", {"session": phones}).status == 409


def test_an_admin_ends_any_session_and_an_admin_of_some_repos_only_their_own(desk: Desk) -> None:
    mia, lena = desk.reviewer("mia"), desk.visitor()
    some = desk.visitor(Member(name="arno", role=MemberRole.ADMIN, repos=("acme/*",)))
    theirs = _session(mia.get("/settings").body, "another program")
    assert some.post("/settings/sessions/end", {"session": theirs}).status == 409
    assert lena.post("/settings/sessions/end", {"session": theirs}).status == 303
    assert mia.get("/queue").status == 401


def _session(page: str, browser: str) -> str:
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    found = next(row for row in rows if browser in row and 'name="session"' in row)
    ident = re.search(r'value="([0-9a-f]{64})"', found)
    assert ident is not None
    return ident[1]


@pytest.mark.parametrize(
    ("header", "label"),
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("<script>alert(1)</script>", "another program"),
        ("", "another program"),
        ("x" * 5000 + "Firefox/1", "another program"),
    ],
)
def test_a_browser_is_named_in_known_words_only(header: str, label: str) -> None:
    assert name_browser(header) == label


# ---- a store that cannot be written -------------------------------------------------------------------------------------


@contextmanager
def _full_disk() -> Iterator[None]:
    """No file of this process grows beyond a page, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_who_is_signed_in_sees_the_desk_while_the_disk_is_full(desk: Desk) -> None:
    lena, link = desk.visitor(), _link(desk)
    owners = desk.authenticator.make_link()
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE sessions SET seen_at = seen_at - 120000")  # this use would be stored
    with _full_disk():
        assert lena.get("/queue").status == 200
        pressed = Visitor(desk.app).post("/sign-in", {"link": link})
        opened = Visitor(desk.app).get(f"/sign-in?t={owners}")
        left = lena.post("/sign-out")
    for answer in (pressed, opened, left):
        assert answer.status == 503
        assert "The desk cannot use its store now." in text_of(answer.body)
        assert "desk.db" not in answer.body, "a stranger learns no path"
    assert _press(Visitor(desk.app), link) == 303
    assert Visitor(desk.app).get(f"/sign-in?t={owners}").status == 303, "the link was not used up"


def test_a_stranger_who_signs_out_takes_no_write_lock(desk: Desk) -> None:
    with _full_disk():
        assert Visitor(desk.app, {"hf-gate": "a" * 43}).post("/sign-out").status == 200
