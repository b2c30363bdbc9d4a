"""An incident is told once, with what to do; its end is told once, to those who were told of it, and only when it is over."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kits.command_line import DATASET, PROGRAM, Console, request_access
from tests.kits.message_servers import Hook
from tests.kits.notice_workspace import NOTIFY, POLICY, configure, console, hook, run_once
from tests.kits.stores import new_schema

__all__ = ["console", "hook"]

ACCEPT = POLICY.replace("then: human", "then: accept")
BASH = shutil.which("bash") or "bash"


def subjects(hook: Hook) -> list[str]:
    return [call.document["subject"] for call in hook.calls]


def run_down(console: Console) -> None:
    """A turn while the Hub or the store does not answer."""
    ended = console.run("run", "--once", "--max-wait", "1s")
    assert ended.code == 75, ended.err


def add_repo(folder: Path, repo: str) -> None:
    desk = folder / "hf-gate.yaml"
    desk.write_text(desk.read_text("utf-8").replace("repos:\n", f"repos:\n  - {repo}\n"), "utf-8")


def test_a_wrong_clock_is_stuck_and_told_once_and_so_is_its_end(
    console: Console, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_once(console)
    monkeypatch.delenv("HF_GATE_CLOCK")
    console.hub.clock.advance("210m")
    assert "behind the Hub's" in run_once(console)
    run_once(console)
    assert hook.texts == ["This machine's clock is 3 h behind the Hub's, so no grant ends. Correct the clock."]
    found = console.run("status", "--check")
    assert (found.code, found.out.count(hook.texts[0])) == (1, 1), found.out
    assert found.out.startswith("stuck: ")
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    run_once(console)
    run_once(console)
    assert hook.texts[1:] == [f"Solved: {hook.texts[0]} There is nothing to do."]
    assert subjects(hook)[1:] == ["hf-gate: works again"]
    assert console.run("status", "--check").code == 0


def test_what_holds_when_a_destination_is_first_known_is_told_to_it(
    console: Console, hook: Hook, tmp_path: Path
) -> None:
    (tmp_path / "policies" / "starter.yaml").write_text(ACCEPT, "utf-8")
    request_access(console.hub, [f"p{number}" for number in range(60)], DATASET)
    run_once(console)
    run_once(console)
    (text,) = hook.texts
    assert text.startswith("61 changes of policy voices held")
    configure(tmp_path, f"{NOTIFY}{NOTIFY.partition('notify:')[2].replace('team', 'office')}")
    run_once(console)
    assert hook.texts == [text, text], "the new destination is told too"
    assert console.run("policy", "promote", "voices", "--yes", "--max-changes", "61").code == 0
    run_once(console)
    assert hook.texts[2:] == [f"Solved: {text} There is nothing to do."] * 2


def test_a_failed_turn_is_told_when_the_next_one_fails_too(console: Console, hook: Hook) -> None:
    run_once(console)
    console.hub.set_faults(["down:s=100000"])
    run_down(console)
    console.hub.set_faults([])
    run_once(console)
    assert hook.texts == [], "one failed turn is no incident, and what was not told is not over"
    console.hub.set_faults(["down:s=100000"])
    run_down(console)
    run_down(console)
    (text,) = hook.texts
    assert text.startswith(f"A turn of hf-gate run failed at {DATASET}: ")
    assert text.endswith(" There is nothing to do. The next turn tries again.")
    console.hub.set_faults([])
    run_once(console)
    assert hook.texts[1].startswith(f"Solved: A turn of hf-gate run failed at {DATASET}: ")
    assert subjects(hook) == ["hf-gate: a turn of hf-gate run failed", "hf-gate: works again"]


@pytest.mark.parametrize(
    ("after", "turns"), [("3 turns", 3), ("{failed_turn: 1 turn, stuck: 4 turns}", 1), ("{stuck: 5}", 2)]
)
def test_a_destination_says_after_how_many_failed_turns_it_is_told(
    console: Console, hook: Hook, tmp_path: Path, after: str, turns: int
) -> None:
    configure(tmp_path, f"{NOTIFY}    after: {after}\n")
    add_repo(tmp_path, "someone/else")
    for number in range(1, 5):
        run_once(console, 5)
        assert len(hook.calls) == (1 if number >= turns else 0), number


@pytest.mark.parametrize("after", ["0 turns", "3 days", "101", "{ageing: often}", "{run_result: 3}"])
def test_a_number_of_turns_that_cannot_be_read_is_one_line(console: Console, tmp_path: Path, after: str) -> None:
    configure(tmp_path, f"{NOTIFY}    after: {after}\n")
    ended = console.run("policy", "check")
    assert ended.code == 2
    assert "hf-gate.yaml" in ended.out + ended.err


def test_a_new_token_that_reaches_only_some_repos_is_no_all_clear_and_the_new_cause_is_told(
    console: Console, hook: Hook, tmp_path: Path
) -> None:
    run_once(console)
    stranger = Console(console.hub, "hf_local_revoked")
    run_once(stranger, 4)
    run_once(stranger, 4)
    refused = "The Hub refuses the token of hf-gate run, so nothing is decided."
    assert [text.partition(" Replace the token of hf-gate run.")[0] for text in hook.texts] == [refused], (
        "one incident is one line"
    )
    add_repo(tmp_path, "someone/else")
    run_once(console, 5)
    assert subjects(hook)[1:] == ["hf-gate: a turn of hf-gate run failed, and more"]
    over, cause = sorted(hook.texts[1:], reverse=True)
    assert over == f"Solved: {refused} 1 other problem remains: hf-gate status --check"
    assert cause.startswith("A turn of hf-gate run failed at someone/else: no such repo")
    hook.calls.clear()
    run_once(console, 5)
    assert hook.calls == []
    desk = tmp_path / "hf-gate.yaml"
    desk.write_text(desk.read_text("utf-8").replace("  - someone/else\n", ""), "utf-8")
    run_once(console)
    assert [text.startswith("Solved: A turn of hf-gate run failed at someone/else") for text in hook.texts] == [True]
    assert subjects(hook) == ["hf-gate: works again"]


def test_an_outage_does_not_show_that_a_refused_token_works_again(console: Console, hook: Hook) -> None:
    run_once(console)
    run_once(Console(console.hub, "hf_local_revoked"), 4)
    console.hub.set_faults(["down:s=100000"])
    run_down(console)
    assert [text.startswith("Solved:") for text in hook.texts] == [False, False]
    console.hub.set_faults([])
    run_once(console)
    assert [text.startswith("Solved:") for text in hook.texts] == [False, False, True, True]


def wait_until(is_so: Callable[[], bool], loop: subprocess.Popen[bytes]) -> None:
    """Read the messages of a loop until something is so."""
    assert loop.stderr is not None
    while not is_so():
        assert loop.stderr.readline(), "the loop has ended"


@pytest.mark.parametrize(
    ("wrong", "subject", "words"),
    [
        ("hf_local_revoked", "hf-gate: the token does not work", "The Hub refuses the token of hf-gate run"),
        ("not a token", "hf-gate: the token does not work", "is not a token. Copy the token again."),
    ],
)
def test_a_wrong_token_in_the_file_of_a_running_loop_is_one_incident_with_one_end(
    console: Console, hook: Hook, tmp_path: Path, wrong: str, subject: str, words: str
) -> None:
    file = tmp_path / "token"
    file.write_text(console.hub.tokens["owner"])
    with console.start("run", "--every", "1s", "--token-file", str(file)) as loop:
        assert loop.stdout is not None
        assert loop.stdout.readline().startswith(b"Synced")
        assert Console(console.hub, "hf_local_revoked").run("run", "--once").code == 4
        assert console.run("status", "--check").code == 0, "the loop decides"
        assert hook.calls == []
        file.write_text(wrong)
        wait_until(lambda: bool(hook.calls), loop)
        found: Any = console.run("status", "--check", "--json").json
        assert found["state"] == "failed"
        file.write_text(console.hub.tokens["owner"])
        wait_until(lambda: len(hook.calls) == 2, loop)
        loop.send_signal(signal.SIGINT)
        loop.communicate()
    assert subjects(hook) == [subject, "hf-gate: works again"]
    assert words in hook.texts[0]
    assert console.run("status", "--check").code == 0


def test_a_wrong_token_file_at_the_start_is_told_too(console: Console, hook: Hook, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(console.hub.tokens["owner"])
    run_once(console)
    file.write_text("not a token")
    for _ in range(3):
        assert console.run("run", "--once", "--token-file", str(file)).code == 2
    (text,) = hook.texts
    assert text.startswith("hf-gate run has no token, so nothing is decided: the value of ")
    assert console.spawn("run", "--every", "1s", "--token-file", str(file)).code == 2
    assert "has ended: the value of" in hook.texts[1]
    file.write_text(console.hub.tokens["owner"])
    assert console.run("run", "--once", "--token-file", str(file)).code == 0
    assert [text.startswith("Solved: ") for text in hook.texts] == [False, False, True]
    assert hook.texts[2].endswith("1 other problem remains: hf-gate status --check"), "no loop runs yet"


def test_a_full_disk_is_told_with_what_to_do_and_its_end_too(console: Console, hook: Hook) -> None:
    run_once(console)
    for _ in range(4):  # no file may grow, as on a full disk
        script = 'ulimit -f 0; exec "$@"'
        words = [BASH, "-c", script, "bash", *PROGRAM, "run", "--once"]
        done = subprocess.run(words, env=console.environment(), check=False, capture_output=True, timeout=120)
        assert done.returncode != 0
    (text,) = hook.texts
    assert text.startswith("A turn of hf-gate run failed: ")
    assert "free disk space" in text.lower()
    run_once(console)
    run_once(console)
    assert hook.texts[1:] == [
        "Solved: A turn of hf-gate run failed: the store could not be used. There is nothing to do."
    ]


def test_a_database_server_that_was_away_is_told_and_so_is_its_end(
    console: Console, hook: Hook, tmp_path: Path, postgres_uri: str
) -> None:
    desk, place = tmp_path / "hf-gate.yaml", new_schema(postgres_uri)
    good = desk.read_text("utf-8").replace("sqlite:///desk.db", place)
    assert place in good
    desk.write_text(good, "utf-8")
    run_once(console)
    desk.write_text(good.replace(place, "postgresql://127.0.0.1:9/gate"), "utf-8")
    for _ in range(3):
        run_down(console)
    (text,) = hook.texts
    assert "cannot be reached" in text
    assert "Check that the server runs" in text
    desk.write_text(good, "utf-8")
    run_once(console)
    assert hook.texts[1:] == [
        "Solved: A turn of hf-gate run failed: the store could not be used. There is nothing to do."
    ]


def test_a_notice_that_was_given_up_stays_an_incident_until_a_person_handles_it(console: Console, hook: Hook) -> None:
    run_once(console)
    console.hub.clock.advance("1m")
    hook.answer = 500
    assert console.run("stop").code == 0
    assert console.run("start").code == 0
    for pause, words in (
        ("2h", "notices to team wait"),
        ("8d", "given up"),
        ("40d", "given up"),
    ):
        console.hub.clock.advance(pause)
        run_once(console)
        found = console.run("status", "--check")
        assert (found.code, words in found.out) == (1, True), found.out
    hook.answer = 200
    run_once(console)
    assert not any(text.startswith("Solved:") for text in hook.texts)
    for message in console.run("messages", "ls", "--json").json:
        console.run("messages", "mark-sent", message["id"])
    run_once(console)
    assert "to team" not in console.run("status", "--check").out


def test_an_error_in_the_configuration_is_told_to_the_destinations_that_it_last_named(
    console: Console, hook: Hook, tmp_path: Path
) -> None:
    run_once(console)
    file = tmp_path / "hf-gate.yaml"
    good = file.read_text("utf-8")
    file.write_text(f"{good}nonsense: 1\n", "utf-8")
    line = good.count("\n") + 1
    for _ in range(3):
        run_once(console, 2)
    (text,) = hook.texts
    assert f"{file}:{line}:1: hf-gate.yaml has no key `nonsense`." in text
    file.write_text(good, "utf-8")
    run_once(console)
    assert subjects(hook)[1:] == ["hf-gate: works again"]


def test_old_requests_that_wait_for_the_applicant_are_not_counted(console: Console, hook: Hook, tmp_path: Path) -> None:
    configure(tmp_path, f"{NOTIFY}    events: {{ageing: immediate}}\n")
    waits = "  - {id: agreement, when: 'person.username != \"ada-l\"', then: wait, at_most: 90d, after: human}\n"
    text = POLICY.replace("rules:\n", f"rules:\n{waits}")
    (tmp_path / "policies" / "starter.yaml").write_text(text, "utf-8")
    request_access(console.hub, ["bob", "cy"], DATASET)
    run_once(console)
    console.hub.clock.advance("6d")
    run_once(console)
    words = f"1 request at {DATASET} is older than 5 days and waits for a decision"
    assert hook.texts == [f"{words}: hf-gate ls {DATASET} --query 'age:>5d -verdict:wait'"]
    listed = console.run("ls", *shlex.split(hook.texts[0].partition("hf-gate ls ")[2]), "--format", "jsonl")
    assert [line["user"] for line in listed.lines] == ["ada-l"], "the command shows what was counted"
