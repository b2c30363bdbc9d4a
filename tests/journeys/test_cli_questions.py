"""Questions at a terminal: a mistyped answer is asked again, and an interrupted command says that nothing was sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, PROGRAM, Console, request_access, status_of
from tests.kits.terminal import Terminal

_NAMES = [f"student-{n:02}" for n in range(60)]


def test_a_mistyped_number_is_asked_again_and_an_empty_one_ends(fresh: LocalHub) -> None:
    request_access(fresh, _NAMES)
    words = [*PROGRAM, "reset", MODEL, *_NAMES, "--no-reason"]
    question = "reset 60 people? Type 60 to continue"
    for typed, code, status in (("\r", 6, "pending"), ("60\r", 0, "reset")):
        with Terminal(words, Console(fresh).environment()) as terminal:
            terminal.until(question)
            terminal.press("06\r")
            terminal.until("That is not 60.")
            terminal.until(question, times=2)
            terminal.press(typed)
            assert terminal.end() == code
        assert status_of(fresh, _NAMES[0]) == status


def test_a_mistyped_name_is_asked_again(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l"], DATASET)
    console = Console(fresh)
    assert console.run("init", DATASET).code == 0
    with Terminal([*PROGRAM, "person", "erase", "ada-l"], console.environment()) as terminal:
        terminal.until("Type ada-l to erase")
        terminal.press("ada_l\r")
        terminal.until("That is not ada-l.")
        terminal.press("ada-l\r")
        assert terminal.end() == 0
        assert "Erased ada-l" in terminal.display


def test_ctrl_c_at_a_question_says_that_nothing_was_sent(fresh: LocalHub) -> None:
    names = _NAMES[:5]
    request_access(fresh, names)
    with Terminal([*PROGRAM, "accept", MODEL, *names], Console(fresh).environment()) as terminal:
        terminal.until("accept 5 people?")
        terminal.press("\x03\r")
        assert terminal.end() == 130
        assert "Interrupted; nothing was sent to the Hub." in terminal.display
    assert status_of(fresh, names[0]) == "pending"


def test_ctrl_c_while_the_program_loads_says_that_nothing_was_sent(fresh: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = Console(fresh).environment({"PYTHONPATH": str(tmp_path)})
    done = subprocess.run(
        [sys.executable, "-m", "hf_gate", "accept", f"ada-l@{MODEL}"], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, b"Interrupted; nothing was sent to the Hub.\n")


def test_three_dots_stand_for_cut_text_where_the_locale_is_ascii(fresh: LocalHub) -> None:
    request_access(fresh, ["ada-l"], answers={"Purpose": "to study sleep at a university for many years and nights"})
    for locale, mark, other in (("C", "...", "\N{HORIZONTAL ELLIPSIS}"), ("C.UTF-8", "\N{HORIZONTAL ELLIPSIS}", "...")):
        ended = Console(fresh).spawn("ls", MODEL, "--format", "human", env={"LC_ALL": locale, "COLUMNS": "80"})
        assert mark in ended.out
        assert other not in ended.out
        assert max(map(len, ended.out.splitlines())) <= 80
