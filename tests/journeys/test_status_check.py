"""`status --check` tells a monitor whether unattended work is alive, and `stop` and `start` switch all of it."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from hf_gate.automation.rows import begin_turn, write_turn_end
from hf_gate.core.turns import TurnEnd, TurnRow
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import DATASET, Console, request_access, status_of
from tests.kits.status_workspace import CLOCK, POLICY, check_status, console

__all__ = ["console"]


def test_without_a_store_nothing_was_ever_started(
    fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_status(Console(fresh)) == (0, "idle")


def test_a_refused_token_is_named_by_status_hours_later(console: Console) -> None:
    assert console.run("run", "--once", env=CLOCK).code == 0
    stranger = Console(console.hub, "hf_local_revoked")
    assert stranger.run("run", "--once", env=CLOCK).code == 4
    assert "The next `run --once` tries again." in console.run("status", "--check", env=CLOCK).out
    assert "FAILED: Last turn of `hf-gate run` " in console.run("doctor", env=CLOCK).out
    console.hub.clock.advance("7h")
    assert check_status(console) == (1, "failed")
    assert "No turn followed." in console.run("status", "--check", env=CLOCK).out
    ended = console.run("status", env=CLOCK)
    assert ended.out.startswith("FAILED: Last turn of `hf-gate run` 7 h ago: failed: ")
    assert "token" in ended.out.splitlines()[0].lower()


def test_a_repo_that_cannot_be_read_is_a_failure_although_others_were(console: Console, tmp_path: Path) -> None:
    desk = tmp_path / "hf-gate.yaml"
    desk.write_text(desk.read_text("utf-8").replace("repos:\n", "repos:\n  - someone/else\n"), "utf-8")
    assert "someone/else" in desk.read_text("utf-8")
    assert console.run("run", "--once").code == 5
    assert check_status(console) == (1, "failed")
    assert "failed in part: someone/else: " in console.run("status", "--check").out


def test_an_error_in_the_configuration_is_followed_by_the_command_that_lists_all(
    console: Console, tmp_path: Path
) -> None:
    file = tmp_path / "hf-gate.yaml"
    file.write_text(re.sub("timezone: .*", "timezone: Mars/North", file.read_text("utf-8")), "utf-8")
    refused = console.run("status")
    assert (refused.code, "unknown timezone `Mars/North`" in refused.error) == (2, True)
    assert refused.err.rstrip().endswith("Hint: Correct it. All problems of the files: hf-gate policy check")
    assert "unknown timezone `Mars/North`" in console.run("policy", "check").out


def test_a_turn_whose_process_was_killed_is_late(console: Console, tmp_path: Path) -> None:
    with open_store(tmp_path / "desk.db", endpoint=console.hub.url, world=get_world_id(console.hub.url)) as store:
        begin_turn(store, 0, None)
    assert check_status(console) == (1, "late")
    assert "has not ended" in console.run("status", "--check").out


def _store_turns(
    console: Console, folder: Path, ends: Sequence[TurnEnd | None], ahead: timedelta = timedelta(0)
) -> None:
    """Turns that began now or in the future, the oldest first. None: the turn has not ended."""
    at = round(1000 * (console.hub.clock.now() + ahead.total_seconds()))
    with open_store(folder / "desk.db", endpoint=console.hub.url, world=get_world_id(console.hub.url)) as store:
        for end in ends:
            turn = TurnRow(id=begin_turn(store, at, 60), started_at=at, ended_at=at, end=end, repos=1)
            if end is not None:
                with store.writing() as write:
                    write_turn_end(write, turn)


@pytest.mark.parametrize(
    ("ends", "state", "words"),
    [
        ((None, None), "failed", "The last turn of `hf-gate run` was killed."),
        ((TurnEnd.OK, None, None), "failed", "The last turn of `hf-gate run` was killed."),
        (
            (TurnEnd.INTERRUPTED, TurnEnd.INTERRUPTED),
            "failed",
            "Each of the last 2 turns of `hf-gate run` was interrupted or killed.",
        ),
        (
            (None, TurnEnd.INTERRUPTED, None),
            "failed",
            "Each of the last 2 turns of `hf-gate run` was interrupted or killed.",
        ),
        ((TurnEnd.OK, TurnEnd.INTERRUPTED), "fine", "interrupted"),
        ((TurnEnd.OK, None), "fine", "1 repo"),
        ((None, None, TurnEnd.OK), "fine", "1 repo"),
    ],
)
def test_turns_that_are_killed_or_interrupted_again_and_again_have_failed(
    console: Console, tmp_path: Path, ends: Sequence[TurnEnd | None], state: str, words: str
) -> None:
    _store_turns(console, tmp_path, ends)
    assert check_status(console) == (0 if state == "fine" else 1, state)
    assert words in console.run("status", "--check", env=CLOCK).out


def test_a_turn_that_began_in_the_future_is_late(console: Console, tmp_path: Path) -> None:
    _store_turns(console, tmp_path, [TurnEnd.OK], timedelta(days=365, hours=1))
    assert check_status(console) == (1, "late")
    assert "The last turn of `hf-gate run` began 11 mo in the future" in console.run("status", "--check", env=CLOCK).out
    _store_turns(console, tmp_path, [TurnEnd.OK])
    assert check_status(console) == (0, "fine")


def test_a_turn_that_found_no_repo_has_failed(console: Console, tmp_path: Path) -> None:
    desk = tmp_path / "hf-gate.yaml"
    desk.write_text(re.sub(r"repos:\n(  - .*\n)+", "repos:\n  - someone/*\n", desk.read_text("utf-8")), "utf-8")
    ended = console.run("run", "--once", env=CLOCK)
    assert ended.code == 5
    assert "No repo was found." in ended.err
    assert check_status(console) == (1, "failed")
    assert "failed: no repo was found." in console.run("status", "--check", env=CLOCK).out


def test_a_loop_is_late_after_twice_its_own_pause(console: Console) -> None:
    with console.start("run", "--every", "2h") as loop:
        assert loop.stdout is not None
        assert loop.stdout.readline().startswith(b"Synced")
        loop.send_signal(signal.SIGINT)
    console.hub.clock.advance("3h")
    assert check_status(console) == (0, "fine")
    console.hub.clock.advance("2h")
    assert check_status(console) == (1, "late")


def test_a_loop_survives_a_refused_token_and_goes_on_with_the_next_one_in_the_file(
    console: Console, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("hf_local_revoked")
    with console.start("run", "--every", "1s", "--token-file", str(file)) as loop:
        assert loop.stdout is not None
        assert loop.stderr is not None
        while f"The next turn reads the token from --token-file {file} and tries again.".encode() not in (
            line := loop.stderr.readline()
        ):
            assert line
        assert check_status(console) == (1, "failed")
        file.write_text(console.hub.tokens["owner"])
        assert loop.stdout.readline().startswith(b"Synced")
        loop.send_signal(signal.SIGINT)
        loop.communicate()
    assert status_of(console.hub, "ada-l") == "accepted"


def _write_policy(folder: Path, text: str) -> None:
    (folder / "policies" / "starter.yaml").write_text(text, "utf-8")


def test_an_old_request_is_not_stuck_at_the_moment_a_policy_is_enforced(console: Console, tmp_path: Path) -> None:
    desk = tmp_path / "hf-gate.yaml"
    desk.write_text(desk.read_text("utf-8").replace("accept: 20000/h", "accept: 1/h"), "utf-8")
    request_access(console.hub, ["bob"], DATASET)
    _write_policy(tmp_path, POLICY.replace("mode: enforce", "mode: shadow"))
    assert console.run("run", "--once", env=CLOCK).code == 0
    console.hub.clock.advance("9d")
    _write_policy(tmp_path, POLICY)
    assert console.run("run", "--once", env=CLOCK).code == 0
    assert check_status(console) == (0, "fine")
    console.hub.clock.advance("25h")
    assert console.run("stop", env=CLOCK).code == 0
    assert console.run("run", "--once", env=CLOCK).code == 0
    assert console.run("start", env=CLOCK).code == 0
    assert "has been waiting for 25 h although rule all" in console.run("status", "--check", env=CLOCK).out


def test_a_request_whose_profile_is_never_read_is_stuck_and_the_fact_is_named(console: Console, tmp_path: Path) -> None:
    rule = "when: person.followers > 3, then: accept}\n  - {id: rest, then: human"
    (tmp_path / "policies" / "starter.yaml").write_text(POLICY.replace("then: accept", rule), "utf-8")
    assert console.run("run", "--once", "--profiles", "0", env=CLOCK).code == 0
    assert check_status(console) == (0, "fine")
    console.hub.clock.advance("25h")
    assert console.run("run", "--once", "--profiles", "0", env=CLOCK).code == 0
    assert check_status(console) == (1, "stuck")
    out = console.run("status", "--check", env=CLOCK).out
    assert "because a profile was not read" in out
    assert "(unknown: person.followers)" in out


def _hold_a_first_turn(console: Console, folder: Path) -> None:  # noqa: ARG001 - the signature of the others
    request_access(console.hub, [f"user-{number}" for number in range(51)], DATASET)


def _empty_a_table(console: Console, folder: Path) -> None:
    table = folder / "partners.csv"
    table.write_text("username\nada-l\n", "utf-8")
    text = POLICY.replace("mode:", "tables: {partners: {file: partners.csv, key: username}}\nmode:")
    text = text.replace("then: accept", "when: tables.partners, then: human")
    (folder / "policies" / "starter.yaml").write_text(text, "utf-8")
    assert console.run("run", "--once", env=CLOCK).code == 0
    assert check_status(console) == (0, "fine")
    table.write_text("username\n", "utf-8")


def _spoil_the_lists(console: Console, folder: Path) -> None:
    (folder / "policies" / "starter.yaml").write_text(POLICY.replace("then: accept", "then: human"), "utf-8")
    assert console.run("run", "--once", env=CLOCK).code == 0
    assert check_status(console) == (0, "fine")
    console.hub.clock.advance("26h")
    console.hub.set_faults(["bad_record:on=list:p=1"])


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (_hold_a_first_turn, "52 changes of policy voices held: this version would change more than 50 requests"),
        (_empty_a_table, "is unknown"),
        (_spoil_the_lists, f"The lists of {DATASET} have not been proved complete for a day: "),
    ],
)
def test_what_no_turn_solves_is_stuck_and_named(
    console: Console, tmp_path: Path, prepare: Callable[[Console, Path], None], sentence: str
) -> None:
    prepare(console, tmp_path)
    assert console.run("run", "--once", env=CLOCK).code == 0
    assert check_status(console) == (1, "stuck")
    assert sentence in console.run("status", "--check", env=CLOCK).out
    assert console.run("status", env=CLOCK).out.startswith("STUCK: ")
