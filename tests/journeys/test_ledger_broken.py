"""A turn that finds the audit log changed reads, plans and sends nothing, tells it, and waits for an admin."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hf_gate.core.letters.notices import NoticeEvent
from tests.kits.command_line import DATASET, Console, request_access, status_of
from tests.kits.message_servers import Hook
from tests.kits.notice_workspace import CLOCK, POLICY, console, hook

__all__ = ["console", "hook"]


@pytest.fixture
def running(console: Console, tmp_path: Path) -> Console:
    """A workspace whose policy accepts everybody, after a turn."""
    (tmp_path / "policies" / "starter.yaml").write_text(POLICY.replace("then: human", "then: accept"), "utf-8")
    assert console.run("run", "--once", env=CLOCK).code == 0
    assert status_of(console.hub, "ada-l") == "accepted"
    return console


def tamper(folder: Path, sql: str) -> None:
    """What somebody with the file and a database tool can do."""
    with closing(sqlite3.connect(folder / "desk.db")) as db, db:
        db.execute("DROP TRIGGER ledger_no_update")
        assert db.execute(sql).rowcount > 0


NEWEST = "UPDATE ledger SET actor = 'mallory' WHERE id = (SELECT max(id) FROM ledger)"


def told(hook: Hook) -> list[tuple[str, str]]:
    return [(item["event"], item["text"]) for call in hook.calls for item in call.document["items"]]


def test_a_turn_that_finds_a_new_entry_changed_sends_nothing_and_tells_it_once(
    running: Console, hook: Hook, tmp_path: Path
) -> None:
    tamper(tmp_path, NEWEST)
    request_access(running.hub, ["bob"], DATASET)
    hook.calls.clear()
    for _ in range(2):
        ended = running.run("run", "--once", env=CLOCK)
        assert ended.code == 1
        assert "Nothing was read or changed: the audit log does not verify." in ended.out
        assert "hf-gate audit verify" in ended.out
    assert status_of(running.hub, "bob") == "pending"
    ((event, text),) = told(hook)
    assert event == NoticeEvent.LEDGER_BROKEN
    assert text.startswith("The audit log does not verify: ")
    assert "content does not match its hash" in text
    assert text.endswith("then: hf-gate start")
    assert hook.calls[0].document["subject"] == "hf-gate: the audit log does not verify"
    checked = running.run("status", "--check", env=CLOCK)
    assert (checked.code, checked.out.startswith("stopped: hf-gate run stopped all unattended work ")) == (1, True)
    assert "the audit log does not verify" in checked.out
    assert "hf-gate audit verify" in checked.out


def test_an_admin_who_accepts_the_audit_log_lets_turns_continue(running: Console, hook: Hook, tmp_path: Path) -> None:
    tamper(tmp_path, NEWEST)
    request_access(running.hub, ["bob"], DATASET)
    assert running.run("run", "--once", env=CLOCK).code == 1
    hook.calls.clear()
    started = running.run("start", env=CLOCK)
    assert started.code == 0
    assert "1 break of the audit log accepted: " in started.out
    assert running.run("run", "--once", env=CLOCK).code == 0
    assert status_of(running.hub, "bob") == "accepted"
    assert running.run("status", "--check", env=CLOCK).code == 0
    ((event, text),) = told(hook)
    assert (event, text.startswith("Solved: The audit log does not verify: ")) == (NoticeEvent.LEDGER_BROKEN, True)
    running.hub.clock.advance("25h")
    assert running.run("run", "--once", env=CLOCK).code == 0, "what was accepted stops nothing again"
    texts = [row["text"] for row in running.run("audit", "ls", "--json").json]
    assert "all unattended work stopped, because the audit log does not verify" in texts
    assert "unattended work started again, and the audit log accepted as it is" in texts
    verified = running.run("audit", "verify")
    assert verified.code == 1, "the record still shows it"
    assert "To stop unattended work now: hf-gate stop" in verified.hint
