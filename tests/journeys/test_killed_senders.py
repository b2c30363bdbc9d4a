"""`kill -9` while a message is being sent: a letter is not sent again by itself, and a notice is, with its id and in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import Console
from tests.kits.letter_workspace import ask, certificate, console, mailbox, run_once
from tests.kits.message_servers import HOOK_KEY, Hook, Mailbox
from tests.kits.notice_workspace import NOTIFY, hook

__all__ = ["certificate", "console", "hook", "mailbox"]

UNKNOWN = "UNDELIVERED: 1 letter to applicants failed or has an unknown outcome."


def run_and_kill(console: Console, receiver: Hook | Mailbox) -> None:
    """Start a turn, and kill it as soon as the receiver has what it sends."""
    with console.start("run", "--once") as turn:
        if isinstance(receiver, Hook):
            receiver.on_call = turn.kill
        else:
            receiver.on_mail = turn.kill
        turn.communicate(timeout=120)
    assert turn.returncode == -9
    if isinstance(receiver, Hook):
        receiver.on_call = lambda: None
    else:
        receiver.on_mail = lambda: None


def test_a_letter_of_a_killed_turn_is_unknown_and_the_next_one_is_sent(console: Console, mailbox: Mailbox) -> None:
    ask(console, "bob")
    ask(console, "cy")
    run_and_kill(console, mailbox)
    assert len(mailbox.mails) == 1
    for _ in range(3):
        console.hub.clock.advance("1d")
        run_once(console)
    assert sorted(to for to, _ in mailbox.mails) == [("bob@example.org",), ("cy@example.org",)]
    assert UNKNOWN in console.run("status").out
    (found,) = console.run("status", "--json").json["problems"]
    assert (found["kind"], found["is_stuck"], "1 letter" in found["sentence"]) == ("undelivered", True, True)


def test_notices_of_a_killed_turn_are_sent_again_in_order(
    fresh: LocalHub, console: Console, hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = tmp_path / "hf-gate.yaml"
    desk.write_text(desk.read_text("utf-8") + NOTIFY, "utf-8")
    monkeypatch.setenv("HOOK", hook.url)
    monkeypatch.setenv("HOOK_KEY", HOOK_KEY)
    run_once(console)
    for word in ("stop", "start", "stop", "start"):
        fresh.clock.advance("1m")
        assert console.run(word).code == 0
    run_and_kill(console, hook)
    assert len(hook.calls) == 1
    hook.answers = [503]
    for _ in range(3):
        fresh.clock.advance("10m")
        run_once(console)
    numbers = [call.document["sequence"] for call in hook.calls]
    assert numbers == [1, 1, 1, 2, 3, 4]
    assert len(set(hook.ids)) == 4
