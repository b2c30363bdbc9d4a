"""A reminder tells somebody on hold what is missing and by when; only then a rule may send them back."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.workspace.commands.schemas import schema_of
from tests.kits.command_line import DATASET, Console
from tests.kits.letter_workspace import (
    POLICY,
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
from tests.kits.word_search import find_words_in_files

__all__ = ["certificate", "console", "mailbox"]

REMINDERS = """\
letters:
  kinds: [reminder]
  smtp: 127.0.0.1:PORT
  from: access@example.org
  user: gate
  password: env:MAIL_PASSWORD
  needs: {agreement: Send the signed agreement.}
"""
BY_HAND = "letters: {kinds: [reminder], needs: {agreement: Send the signed agreement.}}\n"
SUBJECT = f"Something is missing for your access to {DATASET}: please send it before "


def turn_reminders_on(console: Console, letters: str) -> None:
    """Send people back who are on hold for 30 days, with reminders."""
    text = POLICY.replace("after: human", "after: reset\n    reason: The agreement did not come. Ask again.")
    Path("policies/starter.yaml").write_text(text, "utf-8")
    configure(letters)
    run_once(console)
    console.hub.clock.advance("1m")


@pytest.fixture
def desk_with_reminders(console: Console, mailbox: Mailbox) -> Console:
    turn_reminders_on(console, REMINDERS.replace("PORT", str(mailbox.port)))
    return console


def status(console: Console, name: str) -> tuple[str, str | None]:
    """The status of a request, and its verdict while it is pending."""
    found = console.run("show", "--json", f"{name}@{DATASET}").json
    return found["status"], found["verdict"] and found["verdict"]["action"]


def explain(console: Console, name: str) -> str:
    ended = console.run("explain", f"{name}@{DATASET}")
    assert ended.code == 0, ended.err
    jsonschema.validate(console.run("explain", f"{name}@{DATASET}", "--json").json, schema_of("explain"))
    return ended.out


def test_the_mail_server_starts_the_time_after_which_a_rule_sends_people_back(
    desk_with_reminders: Console, mailbox: Mailbox
) -> None:
    run, clock = desk_with_reminders.run, desk_with_reminders.hub.clock
    ask(desk_with_reminders, "bob", "wait")
    mailbox.content_answer = "451 later"
    run_once(desk_with_reminders)
    clock.advance("9d")
    mailbox.content_answer = "250 OK"
    run_once(desk_with_reminders)
    ((to, subject),) = list_subjects(mailbox)
    assert to == ("bob@example.org",)
    assert subject.startswith(SUBJECT)
    assert "Send the signed agreement." in read_body(mailbox)
    assert "counted from the reminder that was accepted" in explain(desk_with_reminders, "bob")
    assert run("explain", "--json", f"bob@{DATASET}").json["wait"]["is_reminded"] is True
    clock.advance("29d")
    run_once(desk_with_reminders)
    assert status(desk_with_reminders, "bob") == ("pending", "wait")
    clock.advance("1d")
    run_once(desk_with_reminders)
    assert status(desk_with_reminders, "bob")[0] == "reset"
    entries = run("audit", "ls", "--limit", "50", "--json").out
    assert "reminder of rule agreement accepted by the mail server" in entries
    assert run("audit", "verify").code == 0
    assert run("store", "check").code == 0
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("how", ["dies", "refuses", "is busy"])
def test_without_an_accepted_reminder_a_person_decides(
    desk_with_reminders: Console, mailbox: Mailbox, how: str
) -> None:
    mailbox.dies = how == "dies"
    mailbox.refusals = {"bob@example.org": "550 no such user"} if how == "refuses" else {}
    mailbox.content_answer = "451 later" if how == "is busy" else "250 OK"
    ask(desk_with_reminders, "bob", "wait")
    run_once(desk_with_reminders)
    assert "Without one before" in explain(desk_with_reminders, "bob")
    desk_with_reminders.hub.clock.advance("31d")
    run_once(desk_with_reminders)
    assert status(desk_with_reminders, "bob") == ("pending", "human")
    assert "Needs review: no reminder reached this person; you decide." in explain(desk_with_reminders, "bob")


def test_nobody_who_waited_before_reminders_were_on_is_sent_back(console: Console, mailbox: Mailbox) -> None:
    ask(console, "bob", "wait")
    configure("")
    turn_reminders_on(console, "")
    console.hub.clock.advance("20d")
    turn_reminders_on(console, REMINDERS.replace("PORT", str(mailbox.port)))
    ask(console, "cy", "wait")
    run_once(console)
    assert [to for to, _ in list_subjects(mailbox)] == [("cy@example.org",)]
    told = {name: explain(console, name) for name in ("bob", "cy")}
    assert re.search(
        r"^Reminders began .* UTC\. People who asked earlier get none\. From .* UTC on, a", told["bob"], re.MULTILINE
    )
    assert ("Reminders began" in told["cy"], "counted from the reminder" in told["cy"]) == (False, True)
    console.hub.clock.advance("11d")
    run_once(console)
    assert (status(console, "bob"), status(console, "cy")) == (("pending", "human"), ("pending", "wait"))
    console.hub.clock.advance("20d")
    run_once(console)
    assert (status(console, "bob")[0], status(console, "cy")[0]) == ("pending", "reset")


def test_reminders_by_hand_need_no_mail_server(console: Console, mailbox: Mailbox) -> None:
    turn_reminders_on(console, BY_HAND)
    checked = console.run("policy", "check")
    assert checked.code == 0
    assert "reminders are on, but `letters` has no `smtp`" in checked.out + checked.err
    ask(console, "bob", "wait")
    run_once(console)
    (row,) = csv.DictReader(io.StringIO(console.run("messages", "preview", "--format", "csv").out))
    assert (row["kind"], row["email"]) == ("reminder", "bob@example.org")
    preview = console.run("messages", "preview").out
    ends, last = (row[key][:16].replace("T", " ") for key in ("wait_ends_at", "counts_until"))
    assert f"the wait ends {ends} UTC, counted from this reminder. After {last} UTC it no longer counts" in preview
    jsonschema.validate(console.run("messages", "ls", "--json").json, schema_of("messages-ls"))
    console.hub.clock.advance("5d")
    done = console.run("messages", "mark-sent", row["id"])
    assert done.code == 0
    assert "These include 1 reminder: the time in `at_most` counts from now" in done.out
    console.hub.clock.advance("29d")
    run_once(console)
    assert status(console, "bob") == ("pending", "wait")
    console.hub.clock.advance("1d")
    run_once(console)
    assert status(console, "bob")[0] == "reset"
    assert mailbox.mails == []


def test_a_rule_without_a_text_is_named_by_the_check(desk_with_reminders: Console, mailbox: Mailbox) -> None:
    configure(REMINDERS.replace("PORT", str(mailbox.port)).replace("{agreement:", "{other:"))
    checked = desk_with_reminders.run("policy", "check")
    assert checked.code == 0
    assert "rule agreement: reminders are on, but `letters` has no `needs` for this rule." in checked.out + checked.err


def test_a_text_for_a_rule_that_no_policy_has_is_named_by_the_check_with_its_line(
    console: Console, mailbox: Mailbox
) -> None:
    needs = "needs:\n    agreemnt: Send the agreement.\n    students: Send a photo.\n    zz: Send it.\n    agreement: Send it."
    configure(
        REMINDERS.replace("PORT", str(mailbox.port)).replace("needs: {agreement: Send the signed agreement.}", needs)
    )
    lines = Path("hf-gate.yaml").read_text("utf-8").splitlines()
    checked = console.run("policy", "check", "--json")
    problems = [each for each in checked.json["problems"] if each["code"] == "unknown_rule"]
    found = [(each["line"], each["message"], each["hint"]) for each in problems]
    end = "so nobody gets this text of `needs`."
    remove = "Remove it, or write the id of a rule with `then: wait`."
    assert found == [
        (_line_of(lines, "agreemnt"), f"letters: no policy has a rule `agreemnt`, {end}", "Did you mean `agreement`?"),
        (_line_of(lines, "students"), f"letters: the rule `students` does not have `then: wait`, {end}", remove),
        (_line_of(lines, "zz"), f"letters: no policy has a rule `zz`, {end}", remove),
    ]
    assert (checked.code, checked.json["ok"]) == (0, True)
    said = console.run("policy", "check").out
    assert f"hf-gate.yaml:{_line_of(lines, 'agreemnt')}:5: warning: letters: no policy has a rule `agreemnt`" in said, (
        said
    )
    (Path("policies") / "second.yaml").write_text("version: 1\npolicy: second\n", "utf-8")
    assert "no policy has a rule" not in console.run("policy", "check").out, "a faulty file may have it"


def _line_of(lines: list[str], rule: str) -> int:
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(f"{rule}:"))


def test_a_person_gets_a_list_of_their_letters_until_they_are_erased(
    desk_with_reminders: Console, tmp_path: Path
) -> None:
    ask(desk_with_reminders, "quokka-zzyx", "wait")
    run_once(desk_with_reminders)
    done = desk_with_reminders.run("person", "export", "quokka-zzyx", "all.json")
    assert done.code == 0, done.err
    document = json.loads(Path("all.json").read_text("utf-8"))
    jsonschema.validate(document, schema_of("person-export"))
    (letter,) = document["letters"]
    assert (letter["kind"], letter["outcome"], letter["problem"]) == ("reminder", "sent", None)
    assert letter["made_at"] <= letter["sent_at"] <= letter["ended_at"]
    assert "<h2>Letters</h2>" in Path("all.html").read_text("utf-8")
    for name in ("all.json", "all.html"):
        Path(name).unlink()
    assert desk_with_reminders.run("person", "erase", "quokka-zzyx", "--yes").code == 0
    assert find_words_in_files(tmp_path, ["quokka-zzyx"]) == []
    assert letter["id"] in desk_with_reminders.run("audit", "ls", "--json", "--limit", "50").out, (
        "the ledger keeps the id alone"
    )
