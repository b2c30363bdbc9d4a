"""Personal links that work in one browser, links for another device, and sessions that can be ended."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import SESSION_LIFETIME, Member, MemberRole
from hf_gate.members.pages.sign_in import name_browser
from hf_gate.members.pages.terminal import Terminal
from hf_gate.members.rows.members import find_member, invite_member, revoke_member
from hf_gate.members.rows.sessions import (
    MAX_DEVICES,
    MAX_SESSIONS,
    check_personal_link,
    count_devices,
    delete_session_by_secret,
    find_session_member,
    list_open_sessions,
    open_session,
    open_session_by_link,
)
from hf_gate.members.sessions import DEVICE_LIFETIME, LINK_LIFETIME, LinkState, NewSession, SignInMethod
from hf_gate.store.store import Store
from hf_gate.workspace.rows.opening import open_store
from hf_gate.workspace.service import bootstrap
from tests.kits.desk import Desk, Visitor, text_of
from tests.kits.stores import ENDPOINT, place, store

__all__ = ["place", "store"]

MIA = Member(name="mia", role=MemberRole.REVIEWER)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"


def _link(desk: Desk, member: Member = MIA) -> str:
    link = f"link-of-{member.name}"
    desk.app_state.membership.invite(member, link)
    return link


def _press(visitor: Visitor, link: str, **headers: str) -> int:
    return visitor.post("/sign-in", {"link": link, "stay": "1"}, **headers).status


# ---- personal links ----------------------------------------------------------------------------------------------------


def test_a_personal_link_always_shows_a_button(desk: Desk) -> None:
    link, mia = _link(desk), Visitor(desk.app)
    for site in ("none", "same-origin", "cross-site"):
        shown = mia.get(f"/sign-in?t={link}", sec_fetch_site=site)
        assert shown.status == 200
        assert "Afterwards, your link works only in this browser." in text_of(shown.body)
    assert "hf-gate" not in mia.cookies
    assert _press(mia, link) == 303


def test_a_used_link_works_only_in_the_browser_that_used_it(desk: Desk) -> None:
    link = _link(desk)
    mia = desk.by_link(link)
    assert mia.post("/sign-out").status == 200
    desk.by_link(link, mia)
    thief = Visitor(desk.app)
    opened = thief.get(f"/sign-in?t={link}")
    assert opened.status == 403
    assert "The link works only in the browser that used it first." in text_of(opened.body)
    assert _press(thief, link) == 403
    planted = Visitor(desk.app, {"hf-gate-device": "a" * 43})
    assert _press(planted, link) == 403
    assert "hf-gate" not in thief.cookies | planted.cookies


def test_two_presses_of_the_button_are_of_one_browser(desk: Desk) -> None:
    """The answer of the first press may be lost."""
    link, mia = _link(desk), Visitor(desk.app)
    mia.get(f"/sign-in?t={link}")
    before = dict(mia.cookies)
    assert [_press(Visitor(desk.app, dict(before)), link) for _ in range(2)] == [303, 303]


def test_the_device_cookie_alone_signs_nobody_in(desk: Desk) -> None:
    mia = desk.by_link(_link(desk))
    bare = Visitor(desk.app, {"hf-gate-device": mia.cookies["hf-gate-device"]})
    assert bare.get("/queue").status == 401
    other = Member(name="noor", role=MemberRole.ADMIN)
    desk.by_link(_link(desk, other))
    assert _press(bare, "link-of-noor") == 403, "and is no key to the link of somebody else"


def test_two_members_may_share_a_browser(desk: Desk) -> None:
    noor = Member(name="noor", role=MemberRole.ADMIN)
    shared = desk.by_link(_link(desk))
    desk.by_link(_link(desk, noor), shared)
    assert "noor" in shared.get("/settings").body
    desk.by_link("link-of-mia", shared)


def test_only_digests_are_stored(desk: Desk) -> None:
    mia = desk.by_link(_link(desk))
    rows = desk.app_state.workspace.store.reads.rows("SELECT id FROM devices")
    assert len(rows) == 1
    assert (len(rows[0][0]), rows[0][0] != mia.cookies["hf-gate-device"]) == (64, True)


def test_the_settings_say_what_a_link_can_do(desk: Desk) -> None:
    lena, link = desk.visitor(), _link(desk)
    assert "not used yet, until" in text_of(lena.get("/settings").body)
    desk.by_link(link)
    assert "works in 1 browser" in text_of(lena.get("/settings").body)
    desk.revoke("mia")
    assert "revoked" in text_of(lena.get("/settings").body)
    assert count_devices(desk.app_state.workspace.store, 0) == {}


NOW = 10 * DEVICE_LIFETIME
NEW = NewSession(member="mia", method=SignInMethod.LINK, browser="", began_at=NOW)


@pytest.mark.parametrize(
    ("later", "state"),
    [(LINK_LIFETIME, LinkState.VALID), (LINK_LIFETIME + 1, LinkState.EXPIRED)],
)
def test_a_link_must_be_used_within_seven_days(store: Store, later: int, state: LinkState) -> None:
    invite_member(store, MIA, "link", "lena", NOW)
    assert check_personal_link(store, "link", "", NOW + later)[1] is state
    assert open_session_by_link(store, "s", NEW, "link", "d", at=NOW, link_at=NOW + later) is state
    assert bool(list_open_sessions(store, NOW)) == (state is LinkState.VALID)


def test_a_clock_that_was_set_back_leaves_no_session_or_link_for_years(store: Store) -> None:
    """The machine started with a wrong clock, somebody signed in, and then the clock was set right."""
    later = NOW + 400 * DEVICE_LIFETIME
    invite_member(store, MIA, "link", "lena", later)
    new = NewSession(member="mia", method=SignInMethod.HUB, browser="", began_at=later)
    for number in range(MAX_SESSIONS):
        assert open_session(store, f"wrong{number}", new, at=later)
    assert find_session_member(store, "wrong1", later) == "mia"
    assert find_session_member(store, "wrong1", NOW) is None
    assert list_open_sessions(store, NOW) == []
    assert check_personal_link(store, "link", "", NOW)[1] is LinkState.EXPIRED
    for secret in ("a", "b"):
        assert open_session(
            store, secret, NewSession(member="mia", method=SignInMethod.HUB, browser="", began_at=NOW), at=NOW
        )
    assert [find_session_member(store, secret, NOW) for secret in ("a", "b")] == ["mia", "mia"]
    assert find_session_member(store, "a", NOW - 60_000) == "mia", "a small correction ends nothing"


@pytest.mark.parametrize(
    ("later", "state"),
    [(DEVICE_LIFETIME, LinkState.VALID), (DEVICE_LIFETIME + 1, LinkState.OTHER_DEVICE)],
)
def test_a_device_is_kept_for_ninety_days_after_its_last_use(store: Store, later: int, state: LinkState) -> None:
    invite_member(store, MIA, "link", "lena", NOW)
    for at in (NOW, NOW + DEVICE_LIFETIME):  # used again on the last day
        assert open_session_by_link(store, f"s{at}", NEW, "link", "d", at=NOW, link_at=at) is LinkState.VALID
    assert check_personal_link(store, "link", "d", NOW + DEVICE_LIFETIME + later)[1] is state


def test_a_member_has_twenty_devices_at_most(store: Store) -> None:
    mia = invite_member(store, MIA, "link", "lena", NOW)
    assert open_session_by_link(store, "s", NEW, "link", "d", at=NOW, link_at=NOW) is LinkState.VALID
    for number in range(MAX_DEVICES):
        new = NewSession(member="mia", method=SignInMethod.DEVICE, browser="", began_at=NOW)
        assert open_session(store, f"s{number}", new, at=NOW, device=f"d{number}", link_at=NOW + number + 1)
    assert count_devices(store, NOW) == {mia.id: MAX_DEVICES}
    assert check_personal_link(store, "link", "d", NOW)[1] is LinkState.OTHER_DEVICE, (
        "the one that was used longest ago is forgotten"
    )


class Links(RuleBasedStateMachine):
    """One member, one link and three browsers: a model of which browser the link works in."""

    store: ClassVar[Store]

    def __init__(self) -> None:
        super().__init__()
        self.at, self.number, self.link, self.until = NOW, 0, "", 0
        self.devices = dict[str, int]()
        self.invite()

    @rule()
    def invite(self) -> None:
        Links.counter += 1
        self.link, self.until, self.devices = f"link{Links.counter}", self.at + LINK_LIFETIME, {}
        invite_member(self.store, MIA, self.link, "lena", self.at)

    counter: ClassVar[int] = 0

    @rule(days=st.sampled_from([1, 6, 8, 89, 91]))
    def wait(self, days: int) -> None:
        self.at += days * 86_400_000

    @rule(device=st.sampled_from(["a", "b", "c"]))
    def press(self, device: str) -> None:
        expected = LinkState.VALID
        if self.until and self.at > self.until:
            expected = LinkState.EXPIRED
        elif not self.until and self.at - self.devices.get(device, -NOW) > DEVICE_LIFETIME:
            expected = LinkState.OTHER_DEVICE
        new = NewSession(member="mia", method=SignInMethod.LINK, browser="", began_at=self.at)
        found = open_session_by_link(self.store, f"s{self.at}", new, self.link, device, at=self.at, link_at=self.at)
        assert found is expected
        delete_session_by_secret(self.store, f"s{self.at}")
        if found is LinkState.VALID:
            self.until, self.devices[device] = 0, self.at

    @precondition(lambda self: self.devices)
    @rule(device=st.sampled_from(["a", "b", "c"]))
    def use_a_device_link(self, device: str) -> None:
        new = NewSession(member="mia", method=SignInMethod.DEVICE, browser="", began_at=self.at)
        assert open_session(self.store, "x", new, at=self.at, device=device, link_at=self.at)
        delete_session_by_secret(self.store, "x")
        self.devices[device] = self.at

    @rule()
    def revoke(self) -> None:
        mia = find_member(self.store, "mia")
        assert mia is not None
        revoke_member(self.store, mia, "lena", self.at)
        assert check_personal_link(self.store, self.link, "a", self.at)[1] is LinkState.INVALID
        assert count_devices(self.store, self.at) == {}
        self.invite()


def test_a_link_works_where_it_was_used_and_nowhere_else(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('links') / 'desk.db'}", endpoint=ENDPOINT) as made:
        Links.store = made
        case = Links.TestCase
        case.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
        case("runTest").runTest()


# ---- another device ----------------------------------------------------------------------------------------------------


def _device_link(visitor: Visitor) -> str:
    page = visitor.post("/settings/device")
    assert page.status == 200
    found = re.search(r"/sign-in\?t=([\w-]+)", page.body)
    assert found is not None
    return found[1]


def test_a_signed_in_browser_lets_another_device_in(desk: Desk) -> None:
    link = _link(desk)
    mia, phone = desk.by_link(link), Visitor(desk.app)
    once = _device_link(mia)
    assert phone.get(f"/sign-in?t={once}").status == 200
    assert _press(phone, once) == 303
    assert phone.get("/queue").status == 200
    assert _press(Visitor(desk.app), once) == 401, "once"
    phone.post("/sign-out")
    desk.by_link(link, phone)
    assert "works in 2 browsers" in text_of(desk.visitor().get("/settings").body)


def test_a_device_link_is_over_with_the_session_that_made_it(desk: Desk) -> None:
    mia = desk.by_link(_link(desk))
    once = _device_link(mia)
    mia.post("/sign-out")
    assert _press(Visitor(desk.app), once) == 403
    mia = desk.by_link("link-of-mia", mia)
    once = _device_link(mia)
    desk.revoke("mia")
    assert _press(Visitor(desk.app), once) == 401


def test_a_device_link_does_not_make_a_session_longer(desk: Desk) -> None:
    """Else a member who left an organisation would go on for ever, from device to device."""
    mia, phone = desk.by_link(_link(desk)), Visitor(desk.app)
    at = to_ms(bootstrap.utc_now())
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE sessions SET made_at = ?", (at - SESSION_LIFETIME + 60_000,))
    assert _press(phone, _device_link(mia)) == 303
    began = {one.method: one.began_at for one in list_open_sessions(desk.app_state.workspace.store, at, "mia")}
    assert began[SignInMethod.DEVICE] == began[SignInMethod.LINK] == at - SESSION_LIFETIME + 60_000


def test_the_owner_lets_another_device_in_too(desk: Desk) -> None:
    phone = Visitor(desk.app)
    assert _press(phone, _device_link(desk.visitor())) == 303
    assert "lena-brandt" in phone.get("/settings").body


def test_a_member_who_makes_many_links_leaves_those_of_others(desk: Desk) -> None:
    owners, vic = desk.authenticator.make_link(), desk.viewer()
    first = _device_link(vic)
    member, session = _member_and_session(desk, vic)
    last = [desk.app_state.make_device_link(member, session) for _ in range(1000)][-1]
    assert Visitor(desk.app).get(f"/sign-in?t={owners}").status == 303
    assert _press(Visitor(desk.app), first) == 401
    assert last is not None
    assert _press(Visitor(desk.app), last) == 303


def _member_and_session(desk: Desk, visitor: Visitor) -> tuple[Member, str]:
    member = desk.app_state.membership.find("vic")
    assert member is not None
    return member, _session(visitor.get("/settings").body, "another program")


# ---- sessions ----------------------------------------------------------------------------------------------------------


def test_a_member_sees_and_ends_their_own_sessions(desk: Desk) -> None:
    link = _link(desk)
    mia, noor = desk.by_link(link), desk.reviewer("noor")
    phone = Visitor(desk.app)
    assert _press(phone, _device_link(mia), user_agent=FIREFOX) == 303
    page = mia.get("/settings").body
    words = text_of(page)
    assert "mia (this browser) personal link another program" in words
    assert "mia link for another device Firefox on Linux" in words
    assert "noor personal link" not in words
    phones = _session(page, "Firefox on Linux")
    theirs = _session(noor.get("/settings").body, "another program")
    assert mia.post("/settings/sessions/end", {"session": theirs}).status == 409
    assert noor.get("/queue").status == 200
    assert mia.post("/settings/sessions/end", {"session": phones}).status == 303
    assert (phone.get("/queue").status, mia.get("/queue").status) == (401, 200)
    assert mia.post("/settings/sessions/end", {"session": phones}).status == 409


def test_an_admin_ends_any_session_and_an_admin_of_some_repos_only_their_own(desk: Desk) -> None:
    mia, lena = desk.by_link(_link(desk)), desk.visitor()
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
    terminal = Terminal(desk.app_state, desk.authenticator, "http://127.0.0.1:7860")
    with _full_disk():
        assert lena.get("/queue").status == 200
        invited = terminal.answer(f"Bearer {terminal._key}", b'{"do": "invite", "name": "noor"}')
        pressed = Visitor(desk.app).post("/sign-in", {"link": link, "stay": "1"})
        opened = Visitor(desk.app).get(f"/sign-in?t={owners}")
        left = lena.post("/sign-out")
    assert (invited.status_code, b"could not be read or written" in bytes(invited.body)) == (503, True)
    for answer in (pressed, opened, left):
        assert answer.status == 503
        assert "The desk cannot use its store now." in text_of(answer.body)
        assert "desk.db" not in answer.body, "a stranger learns no path"
    desk.by_link(link)
    assert Visitor(desk.app).get(f"/sign-in?t={owners}").status == 303, "the link was not used up"


def test_a_stranger_who_signs_out_takes_no_write_lock(desk: Desk) -> None:
    with _full_disk():
        assert Visitor(desk.app, {"hf-gate": "a" * 43}).post("/sign-out").status == 200
