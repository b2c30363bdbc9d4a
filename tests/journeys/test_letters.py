"""Letters reach applicants at most once, in a text that the owner saw before; nobody who asked before gets one."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.kits.command_line import DATASET, HOSTILE, Console
from tests.kits.letter_workspace import (
    PASSWORD,
    ask,
    certificate,
    configure,
    console,
    list_subjects,
    mailbox,
    read_body,
    run_once,
)
from tests.kits.message_servers import Mailbox
from tests.kits.paths import ROOT

__all__ = ["certificate", "console", "mailbox"]


def test_people_hear_of_their_request_of_what_is_needed_and_of_the_end(console: Console, mailbox: Mailbox) -> None:
    ask(console, "bob")
    ask(console, "cy", "wait")
    ask(console, "dee", "student")
    run_once(console)
    assert sorted(list_subjects(mailbox)) == [
        (("bob@example.org",), f"We have received your request for {DATASET}"),
        (("cy@example.org",), f"Something is missing for your access to {DATASET}"),
        (("cy@example.org",), f"We have received your request for {DATASET}"),
    ]
    mail = mailbox.mails[0][1]
    assert mail["auto-submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    assert mailbox.logins[0] == ("gate", True)
    assert any("Send the signed agreement." in read_body(mailbox, number) for number in range(3))
    mailbox.mails.clear()
    run_once(console)
    console.hub.clock.advance("24d")
    run_once(console)
    [(recipients, subject)] = list_subjects(mailbox)
    assert recipients == ("dee@example.org",)
    assert re.fullmatch(f"Your access to {DATASET} ends on \\d+ [A-Z][a-z]{{2}} \\d{{4}}", subject)
    console.hub.clock.advance("7d")
    run_once(console)
    run_once(console)
    assert list_subjects(mailbox)[1:] == [(("dee@example.org",), f"Your access to {DATASET} has ended")]


@pytest.mark.parametrize(("how", "state"), [("dies", "unknown"), ("refuses", "bounced"), ("is busy", "waiting")])
def test_what_became_of_a_letter_is_shown_and_only_a_person_sends_an_unknown_one_again(
    console: Console, mailbox: Mailbox, how: str, state: str
) -> None:
    mailbox.dies = how == "dies"
    mailbox.refusals = {"bob@example.org": "550 no such user"} if how == "refuses" else {}
    mailbox.content_answer = "451 later" if how == "is busy" else "250 OK"
    ask(console, "bob")
    assert "A letter to an applicant was not sent" in run_once(console)
    mailbox.dies, mailbox.refusals, mailbox.content_answer = False, {}, "250 OK"
    first = len(mailbox.mails)
    console.hub.clock.advance("1h")
    (found,) = console.run("messages", "ls", "--json").json
    assert found["state"] == state
    ident = found["id"]
    run_once(console)
    assert len(mailbox.mails) - first == (1 if state == "waiting" else 0)
    if state != "waiting":
        assert state in console.run("messages", "ls").out
        assert console.run("messages", "retry", ident).out == "1 message queued again.\n"
        run_once(console)
        assert len(mailbox.mails) - first == 1
    assert console.run("messages", "retry", ident).code == 1
    assert console.run("messages", "mark-sent", ident).code == 1, "it is sent already"
    assert console.run("messages", "ls", "--json").json == []


def test_a_server_that_is_away_holds_letters_and_sends_nothing_twice(
    console: Console, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "wrong")
    for name in ("bob", "cy"):
        ask(console, name)
    run_once(console)
    assert len(mailbox.logins) == 2, "one conversation, two ways to log in: the other letter would fare alike"
    assert "UNDELIVERED: 1 letter to applicants waits, the oldest for " in console.run("status").out
    assert console.run("status", "--check").code == 0
    monkeypatch.delenv("MAIL_PASSWORD")
    console.hub.clock.advance("1h")
    console.hub.clock.advance("1s")
    assert "MAIL_PASSWORD is not set" in run_once(console)
    assert "2 letters to applicants wait, the oldest for " in console.run("status").out
    stuck = console.run("status", "--check")
    assert (stuck.code, "2 letters to applicants wait" in stuck.out) == (1, True)
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    run_once(console)
    run_once(console)
    assert sorted(to for to, _ in mailbox.mails) == [("bob@example.org",), ("cy@example.org",)]
    assert console.run("status", "--json").json["problems"] == []


def test_a_letter_that_no_longer_applies_or_exceeds_a_limit_is_dropped(console: Console, mailbox: Mailbox) -> None:
    ask(console, "bob")
    assert console.run("stop").code == 0
    run_once(console)
    assert mailbox.mails == []
    assert console.run("accept", DATASET, "bob", "--yes").code == 0
    assert console.run("start").code == 0
    run_once(console)
    assert mailbox.mails == []
    ask(console, "cy")
    run_once(console)
    assert len(mailbox.mails) == 1
    assert console.run("reset", DATASET, "cy", "--reason", "more", "--yes").code == 0
    console.hub.clock.advance("1h")
    ask(console, "cy")
    run_once(console)
    assert len(mailbox.mails) == 1, "one of a kind in 7 days"
    assert console.run("reset", DATASET, "cy", "--reason", "more", "--yes").code == 0
    console.hub.clock.advance("8d")
    ask(console, "cy")
    run_once(console)
    assert len(mailbox.mails) == 2


def test_hostile_names_and_addresses_change_neither_headers_nor_recipients(console: Console, mailbox: Mailbox) -> None:
    ask(console, "bob", fullname=f"{HOSTILE}\r\nBcc: all@example.org {{link}}")
    ask(console, "cy", email="cy@example.org, all@example.org")
    ask(console, "dee", email="dee@example.org\r\nBcc: all@example.org")
    run_once(console)
    ((to, mail),) = mailbox.mails
    assert to == ("bob@example.org",)
    assert mail["bcc"] is None
    text = read_body(mailbox)
    assert "Bcc: all@example.org {link}" in text
    assert not {"\x1b", "\u202e", "\x07"} & set(text)


def test_the_list_for_a_mail_merge_needs_no_server_and_holds_no_formula(console: Console, mailbox: Mailbox) -> None:
    configure('letters: {kinds: [received], texts: {received: "={name} asked\\n\\n=1+1 {name}"}}\n')
    run_once(console)
    console.hub.clock.advance("1m")
    ask(console, "bob", fullname="=cmd|' /C calc'!A0")
    run_once(console)
    ended = console.run("messages", "preview", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(ended.out))
    assert (row["email"], row["kind"], row["user"]) == ("bob@example.org", "received", "bob")
    assert not any(line.startswith(("=", "+", "-", "@")) for cell in row.values() for line in cell.splitlines())
    jsonschema.validate(console.run("messages", "ls", "--json").json, console.run("schema", "messages-ls").json)
    assert console.run("messages", "mark-sent", row["id"]).code == 0
    assert console.run("messages", "ls", "--json").json == []
    assert mailbox.mails == []


def test_the_preview_names_recipients_and_shows_each_text(console: Console) -> None:
    ask(console, "bob")
    assert console.run("stop").code == 0
    run_once(console)
    ended = console.run("messages", "preview")
    assert "received, to bob <bob@example.org>" in ended.out
    assert ended.out.count("with invented values") == 4
    jsonschema.validate(
        console.run("messages", "preview", "--json").json, console.run("schema", "messages-preview").json
    )


def test_the_example_of_the_page_works(console: Console, mailbox: Mailbox) -> None:
    page = (ROOT / "docs" / "messages.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(letters:.*?)```", page, re.DOTALL)
    configure(example)
    assert console.run("policy", "check").code == 0
    samples = console.run("messages", "preview", "--json").json["samples"]
    assert [one["kind"] for one in samples] == ["received", "needed", "ends", "ended"]
    assert samples[3]["subject"] == "Your access to datasets/acme/example is over"
    assert "Ada Lovelace" in samples[3]["text"]
    ask(console, "bob")
    assert "only to a mail server on this machine" in run_once(console)
    assert mailbox.mails == []


@pytest.mark.parametrize(
    ("letters", "why"),
    [
        ("{}", "needs `kinds`"),
        ("{kinds: [receive]}", "Did you mean `received`"),
        ("{kinds: [needed]}", "require `needs`"),
        ("{kinds: [needed], needs: {agreement: {en: Sign.}}}", "needs of agreement"),
        ("{kinds: [received], languages: [en]}", "languages"),
        ('{kinds: [received], texts: {received: "Hi\\n{nam}"}}', "{nam} is not a placeholder of received"),
        ('{kinds: [received], texts: {received: "Hi\\n{days}"}}', "{days} is not a placeholder of received"),
        ('{kinds: [received], texts: {received: "Hi\\n{ name"}}', "{ is not a placeholder of received"),
        ("{kinds: [received], texts: {received: Hi}}", "needs a subject in its first line"),
        ("{kinds: [received], smtp: mail.example}", "smtp needs `from`"),
        ("{kinds: [received], from: a@example.org}", "no `smtp`"),
        ("{kinds: [received], smtp: mail.example, from: a@example.org, user: u, password: abc}", "is a secret"),
        ("{kinds: [received], smtp: 'mail.example:25', from: a@example.org}", "port 25"),
        ("{kinds: [received], per_person: 0}", "from 1 to 30"),
    ],
)
def test_letters_that_cannot_be_read_are_one_line(console: Console, letters: str, why: str) -> None:
    configure(f"letters: {letters}\n")
    for command in (("policy", "check"), ("run", "--once"), ("messages", "preview")):
        ended = console.run(*command)
        assert ended.code == 2, command
        assert why in ended.out + ended.err, ended.out + ended.err


def test_the_store_holds_no_text_and_no_address_of_a_letter(console: Console, tmp_path: Path) -> None:
    ask(console, "bob")
    run_once(console)
    out = tmp_path / "out"
    assert console.run("store", "export", str(out)).code == 0
    (line,) = (json.loads(text) for text in (out / "messages.jsonl").read_text("utf-8").splitlines())
    assert line["state"] == "sent"
    assert "bob" not in json.dumps(line)
