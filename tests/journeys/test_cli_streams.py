"""Streams that are closed, full or left by their reader: no trace, the work goes on, and the exit code tells what was done."""

from __future__ import annotations

import os
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hf_gate.base.ids import Person, parse_repo
from hf_gate.command_line.request_table import format_request_lines
from hf_gate.core.records import AccountRecord
from hf_gate.core.requests import AccessRequest
from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, PROGRAM, CommandResult, Console, request_access, status_of

NAMES = ["ada-l", "bob99"]
ACCEPT = ("accept", MODEL, *NAMES, "--yes")
has_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")


@pytest.fixture(autouse=True, params=["", "1"], ids=["buffered", "unbuffered"])
def _buffering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python does not gather what is printed, a write fails itself, else the last flush does."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


@pytest.fixture
def asked(fresh: LocalHub) -> LocalHub:
    request_access(fresh, NAMES)
    return fresh


def _shell(hub: LocalHub, redirection: str, *args: str) -> CommandResult:
    line = f"{shlex.join([*PROGRAM, *args])} {redirection}"
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=Console(hub).environment(),
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return CommandResult(done.returncode, done.stdout, done.stderr)


def _left_by_its_reader(hub: LocalHub, *args: str) -> CommandResult:
    """The reader of stdout is gone before the first line."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*PROGRAM, *args],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            env=Console(hub).environment(),
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return CommandResult(done.returncode, "", done.stderr)


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", ">&- 2>&- <&-", pytest.param("2>/dev/full", marks=has_full)])
def test_a_stream_that_is_closed_keeps_nothing_from_being_done(asked: LocalHub, closed: str) -> None:
    ended = _shell(asked, closed, *ACCEPT)
    assert ended.code == 0, ended.err
    assert [status_of(asked, name) for name in NAMES] == ["accepted"] * 2
    assert _shell(asked, closed, "ls", MODEL).code == 0
    assert _shell(asked, closed, "--help").code == 0
    assert _shell(asked, closed, "lss").code == 2


@has_full
@pytest.mark.parametrize("form", ["human", "json"])
def test_results_on_a_full_disk_are_a_part_when_something_was_done(asked: LocalHub, form: str) -> None:
    ended = _shell(asked, ">/dev/full", *ACCEPT, "--format", form)
    assert (ended.code, "could not be written: No space" in ended.error) == (5, True), ended.err
    assert status_of(asked, "ada-l") == "accepted"
    again = [f"hf-gate-nobody@{MODEL}", f"hf-gate-noone@{MODEL}"]
    assert _shell(asked, ">/dev/full", "accept", *again, "--yes", "--format", form).code == 1
    for args in (["ls", MODEL, "--status", "all"], ["--help"], ["version"], ["schema", "verbs"]):
        ended = _shell(asked, ">/dev/full", *args)
        assert (ended.code, "could not be written: No space" in ended.error) == (1, True), ended.err


def test_a_reader_who_left_changes_nothing_about_the_exit_code(asked: LocalHub, crowded_hub: LocalHub) -> None:
    ended = _left_by_its_reader(asked, *ACCEPT, "nobody-of-that-name")
    assert (ended.code, "Error" in ended.err) == (5, False), ended.err
    assert _left_by_its_reader(asked, *ACCEPT).code == 0
    assert _left_by_its_reader(crowded_hub, "ls", MODEL, "--format", "jsonl").code == 0
    assert _left_by_its_reader(crowded_hub, "ls", MODEL).code == 0
    assert _left_by_its_reader(crowded_hub, "--help").code == 0
    assert [status_of(asked, name) for name in NAMES] == ["accepted"] * 2


@has_full
def test_a_question_that_was_sent_is_a_part_when_its_answer_cannot_be_written(fresh: LocalHub) -> None:
    request_access(fresh, ["ada-l"])
    line = f"{shlex.join([*PROGRAM, 'withdraw', MODEL])} >/dev/full"
    env = Console(fresh, "ada-l").environment()
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, env=env, timeout=60, check=False)
    assert (done.returncode, "The changes were made" in done.stderr) == (5, True), done.stderr


def test_no_part_of_a_request_acts_on_the_screen() -> None:
    evil = "\x1b]52;c;ZXZpbA==\x07\n\u202e"
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    request = AccessRequest(
        repo=parse_repo(MODEL),
        status=evil,
        asked_at=moment,
        reviewed_at=moment,
        person=Person(evil, evil, evil),
        granted_by=Person(evil, evil, evil),
        request_id=evil,
        email=evil,
        answers={evil: evil},
        has_form=True,
    )
    account = AccountRecord(created_at=None, is_pro=False, orgs=[evil], models=1, datasets=None, followers=None)
    for line in format_request_lines(request, moment, account, {evil: "junk"}):
        assert not {"\x1b", "\x07", "\n", "\u202e"} & set(line)


def test_a_trace_for_who_debugs_shows_hostile_text_and_does_not_obey_it(asked: LocalHub) -> None:
    evil = "\x1b]52;c;ZXZpbA==\x07"
    ended = Console(asked).run("ls", MODEL, "--token-file", f"/{evil}", env={"HF_GATE_DEBUG": "1"})
    assert "Traceback" in ended.err
    assert "␛]52" in ended.err
    assert "\x1b" not in ended.err
