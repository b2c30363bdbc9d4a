"""Who comes in by a link: nobody in the place of who is in, and nobody by one that is revoked in that moment."""

from __future__ import annotations

from dataclasses import replace

from hf_gate import wiring
from hf_gate.domain.members import Member, Role
from hf_gate.domain.moments import ms
from hf_gate.web.app import build
from hf_gate.web.sign_in import Door
from tests.web.kit import HOST, Room, Visitor


def test_a_page_of_another_site_puts_nobody_in_anothers_place(room: Room) -> None:
    lena, link = room.visitor(), room.door.link()
    room.reviewer("mia")
    led = lena.get("/sign-in?t=link-of-mia", sec_fetch_site="cross-site")
    assert led.status == 409
    assert "You are in as lena-brandt. To come in as mia, sign out first" in led.body
    assert "lena-brandt" in lena.get("/settings").body, "and stays in"
    assert lena.get(f"/sign-in?t={link}", sec_fetch_site="cross-site").status == 303, "their own link, from a mail"
    mia = Visitor(room.app)
    assert mia.get("/sign-in?t=link-of-mia", sec_fetch_site="cross-site").status == 303
    link = room.door.link()
    assert mia.get(f"/sign-in?t={link}", sec_fetch_site="cross-site").status == 409
    assert mia.get(f"/sign-in?t={link}", sec_fetch_site="none").status == 303, "not used up, and typed it counts"


def test_who_was_invited_by_the_name_of_the_tokens_account_is_not_its_owner(room: Room) -> None:
    """The desk is started again, with the token of an account that is called as a member was."""
    room.reviewer("mia")
    mia = Visitor(room.app)
    assert mia.get("/sign-in?t=link-of-mia").status == 303
    office = replace(room.office, owner="mia")
    again = Visitor(build(office, Door(office), frozenset({HOST})))
    again.cookies.update(mia.cookies)
    assert again.get("/settings").status != 200
    assert again.get("/sign-in?t=link-of-mia").status == 401


def test_nobody_is_called_as_the_ledger_calls_others(room: Room) -> None:
    lena = room.visitor()
    for name in ("outside", "desk", "lena-brandt"):
        answer = lena.post("/settings/invite", {"name": name, "role": "viewer"})
        assert answer.status == 422
        assert "is no name for a member" in answer.body


def test_a_link_that_is_revoked_while_it_is_opened_opens_nothing(room: Room) -> None:
    members, mia = room.office.members, Member(name="mia", role=Role.REVIEWER)
    room.office.invite(mia, "first")
    assert members.open("a session", "mia", ms(wiring.now()), "first")
    room.office.invite(mia, "second")
    assert not members.open("another session", "mia", ms(wiring.now()), "first")
    assert members.whose("another session", ms(wiring.now())) is None
    assert Visitor(room.app).get("/sign-in?t=second").status == 303
