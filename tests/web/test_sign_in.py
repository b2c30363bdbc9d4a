"""Who comes in by a link that a page of another site led to: nobody in the place of who is in."""

from __future__ import annotations

from tests.web.kit import Room, Visitor


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
