"""A loop of `hf-gate run` that ends for good says so at once: to the receivers of notices, and to `status --check`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hf_gate
from hf_gate.core.letters.notices import NoticeEvent
from tests.kits.command_line import DATASET, Console, request_access
from tests.kits.message_servers import Hook
from tests.kits.notice_workspace import POLICY, console, hook, run_once

__all__ = ["console", "hook"]

ENDED = "`hf-gate run` has ended: "
RESTART = "Nothing is decided until it is started again as before, for example: hf-gate run --every auto"


def loop_texts(hook: Hook) -> list[str]:
    """What was told about the end of a loop."""
    items = [item for call in hook.calls for item in call.document["items"]]
    return [item["text"] for item in items if item["event"] == NoticeEvent.LOOP_ENDED]


def check(console: Console) -> tuple[int, str]:
    ended = console.run("status", "--check")
    return ended.code, ended.out


def test_a_loop_whose_fixed_token_is_revoked_tells_once_however_often_it_is_restarted(
    console: Console, hook: Hook
) -> None:
    with console.start("run", "--every", "2h") as loop:
        assert loop.stdout is not None
        assert loop.stdout.readline().startswith(b"Synced")
        loop.send_signal(signal.SIGINT)
    stranger = Console(console.hub, "hf_local_revoked")
    for _ in range(3):
        assert stranger.spawn("run", "--every", "1s").code == 4
    assert len(loop_texts(hook)) == 1, hook.texts
    assert check(console)[1].startswith("failed: `hf-gate run` ended ")
    with console.start("run", "--every", "1s") as loop:
        assert loop.stdout is not None
        assert loop.stdout.readline().startswith(b"Synced")
        assert loop_texts(hook)[1:] == [], "one good turn may be the last one"
        while len(loop_texts(hook)) < 2:
            assert loop.stdout.readline()
        loop.send_signal(signal.SIGINT)
    assert loop_texts(hook)[1].startswith(f"Solved: {ENDED}")
    assert check(console)[0] == 0


def test_a_turn_by_hand_does_not_hide_that_the_loop_has_ended(console: Console, hook: Hook) -> None:
    stranger = Console(console.hub, "hf_local_revoked")
    assert stranger.run("run", "--every", "1s").code == 4
    run_once(console)
    assert hook.texts[-1].endswith(" 1 other problem remains: hf-gate status --check")
    code, said = check(console)
    assert (code, said.startswith("failed: `hf-gate run` ended ")) == (1, True), said
    assert "Start it again as before, for example: hf-gate run --every auto" in said
    for _ in range(3):
        run_once(console)
    assert (check(console)[0], len(loop_texts(hook))) == (1, 1)
    run_once(console)
    assert loop_texts(hook)[1].startswith(f"Solved: {ENDED}"), "five turns without a loop: somebody chose them"
    assert check(console)[0] == 0


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that a test may damage."""
    folder = tmp_path / "site" / "hf_gate"
    shutil.copytree(Path(hf_gate.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def start_copy(console: Console, package: Path, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hf_gate", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**console.environment(), "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_a_loop_whose_package_was_removed_tells_that_it_ended(
    console: Console, hook: Hook, tmp_path: Path, package: Path
) -> None:
    policy = tmp_path / "policies" / "starter.yaml"
    policy.write_text(POLICY.replace("id: all,", "id: all, when: email.academic,"), "utf-8")
    with start_copy(console, package, "run", "--every", "1s") as loop:
        assert loop.stdout is not None
        assert loop.stdout.readline().startswith(b"Synced")
        shutil.rmtree(package)
        request_access(console.hub, ["bob"], DATASET)
        _, err = loop.communicate(timeout=120)
    assert loop.returncode == 1, err
    (text,) = loop_texts(hook)
    assert text.startswith(ENDED), text
    assert "bob" not in text
    assert check(console)[0] == 1


def test_a_loop_that_misses_a_file_of_the_package_names_it_and_says_what_to_do(
    console: Console, hook: Hook, tmp_path: Path, package: Path
) -> None:
    policy = tmp_path / "policies" / "starter.yaml"
    policy.write_text(POLICY.replace("id: all,", "id: all, when: email.academic,"), "utf-8")
    (package / "verdicts" / "drivers" / "lists" / "academic.txt").unlink()
    with start_copy(console, package, "run", "--every", "1s") as loop:
        _, err = loop.communicate(timeout=120)
    assert loop.returncode == 1, err
    (text,) = loop_texts(hook)
    missing = "academic.txt, a part of the installation, cannot be read. Install hf-gate again."
    assert text == f"{ENDED}{missing} {RESTART}"
    assert missing in check(console)[1]


def test_a_second_loop_in_one_workspace_ends_and_names_the_first(console: Console, hook: Hook) -> None:
    with console.start("run", "--every", "2h") as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith(b"Synced")
        ended = console.spawn("run", "--every", "2h")
        assert ended.code == 75
        assert f"`hf-gate run` was already started in this workspace by pid {first.pid} on " in ended.error
        assert "One loop is enough." in ended.hint
        assert console.run("run", "--once").code == 0
        os.kill(first.pid, signal.SIGKILL)
    assert loop_texts(hook) == []
    with console.start("run", "--every", "2h") as second:
        assert second.stdout is not None
        assert second.stdout.readline().startswith(b"Synced"), "the lock of a killed loop is free"
        second.send_signal(signal.SIGINT)
