"""No test hangs and nothing outlives it: shown by small suites that are run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.kits.paths import ROOT

CTRL_C = "tests/hub/test_hub_interrupts.py::test_ctrl_c_stops_a_waiting_change"
HANGS = """\
import threading

def test_that_waits_for_ever():
    threading.Event().wait()
"""
LEAVES = """\
import subprocess, sys

def test_that_leaves_a_process_behind():
    waits = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    program = f"import subprocess; print(subprocess.Popen({waits!r}, stdout=-3, stderr=-3, start_new_session=True).pid)"
    pid = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    print("pid", pid)
"""
LITTERS = """\
import subprocess, sys, tempfile

def test_that_leaves_files_behind():
    print("\\nmade", tempfile.mkdtemp())
    program = "import tempfile; print('made', tempfile.mkdtemp())"
    print(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
"""


def suite(*args: str | Path, background: bool = False) -> subprocess.CompletedProcess[str]:
    """A run of pytest of its own; in the background of a shell, where SIGINT is ignored, if that is asked for."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *map(str, args)]
    if background:
        command = ["sh", "-c", '"$@" & wait $!', "sh", *command]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_suite_that_a_script_starts_in_the_background_can_press_ctrl_c() -> None:
    ended = suite(CTRL_C, "--timeout", "60", background=True)
    assert ended.returncode == 0, ended.stdout


def test_a_test_that_hangs_fails_by_itself(tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(HANGS)
    ended = suite("-p", "tests.conftest", tmp_path / "test_hangs.py", "--timeout", "1")
    assert ended.returncode == 1
    assert "Timeout (>1.0s)" in ended.stdout


def test_every_test_has_a_bound() -> None:
    assert 0 < int(os.environ["PYTEST_TIMEOUT"]) <= 3600


def test_a_process_that_outlives_the_tests_fails_the_run_and_is_ended(tmp_path: Path) -> None:
    (tmp_path / "test_leaves.py").write_text(LEAVES)
    ended = suite("-p", "tests.conftest", tmp_path / "test_leaves.py")
    assert ended.returncode == 1
    assert "outlive the tests" in ended.stdout
    assert "test_that_leaves_a_process_behind" in ended.stdout
    pid = ended.stdout.partition("pid ")[2].split()[0]
    stat = Path("/proc", pid, "stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"  # only its number is left


def test_no_temporary_file_outlives_the_tests(tmp_path: Path) -> None:
    (tmp_path / "test_litters.py").write_text(LITTERS)
    ended = suite("-p", "tests.conftest", tmp_path / "test_litters.py")
    assert ended.returncode == 0, ended.stdout
    made = [Path(line.partition("made ")[2]) for line in ended.stdout.splitlines() if "made " in line]
    assert len(made) == 2
    assert not any(path.exists() for path in made)
    assert all(path.is_relative_to(os.environ["HF_GATE_TEST_SESSION"]) for path in made), "also if it had been killed"
