"""Admins of all repos see each letter and its recipient in the desk, as text; the desk itself sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.core.events.events import LedgerEntry, VerdictReached
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.messages.service.letters import store_subscription
from hf_gate.messages.service.message_records import mark_messages_sent, preview_letters
from tests.kits.desk import Desk, open_desk, parse_page
from tests.kits.message_servers import Mailbox, open_mailbox

HOSTILE = '<img src=x onerror="window.__x=1">\u202e'


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with open_mailbox(None) as found:
        yield found


@pytest.fixture
def letters_desk(mailbox: Mailbox, tmp_path: Path) -> Iterator[Desk]:
    """A desk with letters, and one person with a hostile name who asked since they were turned on."""
    letters = f"letters: {{kinds: [received, ended], smtp: '127.0.0.1:{mailbox.port}', from: gate@example.org}}\n"
    with open_desk(tmp_path, repos=2, config=letters) as desk:
        store_subscription(desk.app_state.workspace)
        desk.local.clock.advance("1h")
        desk.ask([{"username": "bob", "fullname": HOSTILE, "email": "bob@example.org"}], {"Purpose": "to listen"})
        yield desk


def test_an_admin_sees_each_text_and_who_would_get_it(letters_desk: Desk, mailbox: Mailbox) -> None:
    body = letters_desk.visitor().get("/letters").body
    words = " ".join(" ".join(parse_page(body).text).split())
    assert "received, to bob (bob@example.org)" in words
    assert "Hello Ada Lovelace," in words
    assert '<img src=x onerror="window.__x=1">' in words
    assert "<img src=x" not in body
    assert "\u202e" not in body
    assert mailbox.mails == []


def test_nobody_else_sees_letters(letters_desk: Desk) -> None:
    bound = letters_desk.visitor(Member(name="bea", role=MemberRole.ADMIN, repos=(str(letters_desk.repo),)))
    for visitor in (letters_desk.reviewer(), letters_desk.viewer(), bound):
        answer = visitor.get("/letters")
        assert answer.status in {403, 404}
        assert "bob@example.org" not in answer.body
        assert "/letters" not in visitor.get("/settings").body


def test_the_settings_lead_to_the_letters_that_are_on(letters_desk: Desk) -> None:
    assert 'href="/letters"' in letters_desk.visitor().get("/settings").body


def test_the_settings_say_how_to_turn_letters_on(desk: Desk) -> None:
    body = desk.visitor().get("/settings").body
    assert 'href="/letters"' not in body
    assert "To turn them on, name kinds in" in body
    assert "Letters are off." in desk.visitor().get("/letters").body


WAITING = """\
version: 1
policy: house
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - {id: agreement, then: wait, at_most: 30d, after: reset, reason: Ask again.}
"""


def test_pages_say_when_a_wait_ends_and_which_letter_was_sent(mailbox: Mailbox, tmp_path: Path) -> None:
    mail = f"smtp: '127.0.0.1:{mailbox.port}', from: gate@example.org"
    letters = f"letters: {{kinds: [needed], needs: {{agreement: '{HOSTILE}'}}, {mail}}}\n"
    with open_desk(tmp_path, WAITING, repos=1, config=letters) as desk:
        workspace, store = desk.app_state.workspace, desk.app_state.workspace.store
        store_subscription(workspace)
        desk.local.clock.advance("1h")
        desk.ask([{"username": "bob", "email": "bob@example.org"}], {"Purpose": "to listen"})
        (row,) = store.find_by_identity(None, "bob")
        event = VerdictReached(action="wait", rule="agreement", policy="house", digest="d")
        with store.writing() as write:
            write.append(row.repo, [LedgerEntry(event=event, at=row.state.asked_at, actor="house", request=row.id)])
        admin, page = desk.visitor(), f"/requests/{row.state.hub_request}"
        found = words_of(admin.get(page).body)
        assert "The wait ends" in found
        assert "Then the request is sent back." in found
        assert "<img src=x" not in admin.get("/letters").body
        (due,) = preview_letters(workspace, 10)
        assert mark_messages_sent(workspace, [due.id], "lena") == [due.id]
        assert "letter `needed` sent by hand" in words_of(admin.get(page).body)
        assert mailbox.mails == []


def words_of(body: str) -> str:
    return " ".join(" ".join(parse_page(body).text).split())
