"""Two processes at once, and a disk that is really full: by the real commands at a real local Hub."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.invariants import list_moves
from tests.kits.killed_runs import RATE, REPO, KilledRun
from tests.kits.processes import ForkServer

STEP = {"dev": 32_768, "ci": 16_384, "torture": 4096}[os.environ.get("HF_GATE_TEST_PROFILE", "dev")]


@pytest.fixture
def life(tmp_path: Path) -> Iterator[KilledRun]:
    """A desk with a plan of 20, not yet applied."""
    with (
        closing(ForkServer(tmp_path)) as fork_server,
        LocalHub(requests=0, repos=1, clock=RATE, page_size=10) as local,
    ):
        made = KilledRun(local, fork_server, tmp_path / "desk", random.Random(7), decides=False)
        made.begin(20)
        yield made


def begun(life: KilledRun) -> None:
    """The plan is approved, and its process killed before it sent anything."""
    life.local.set_faults(["delay_before:s=0.3:on=list"])
    child = life.apply()
    while not life.fork_server.wait(child, 0.01) and not _has_run(life):
        pass
    life.fork_server.kill(child)
    life.local.set_faults([])


def start(life: KilledRun, *args: str) -> subprocess.Popen[bytes]:
    """A real process beside the one of the nursery."""
    return subprocess.Popen(
        [sys.executable, "-m", "hf_gate", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=life.env,
        cwd=life.folder,
    )


# ---- two at once -------------------------------------------------------------------------------------------------------


def test_while_one_applies_every_other_that_would_write_ends_with_75_and_its_pid(life: KilledRun) -> None:
    """The first stands still with the store in its hand; the others wait as long as they may, say who has it, and change nothing."""
    life.local.set_faults(["delay_after:s=0.3:on=batch"])
    first = life.apply()
    while not life.fork_server.wait(first, 0.005) and not list_moves(life.local.journal()):
        pass
    assert not life.fork_server.wait(first, 0.0), first.output
    os.kill(first.pid, signal.SIGSTOP)
    moved = len(list_moves(life.local.journal()))
    commands = (
        ("apply", "plan.json", "--yes", "--max-changes", "100"),
        ("run", "--once"),
        ("accept", REPO, life.names[1], "--yes"),
    )
    others = [start(life, *args, "--max-wait", "5s") for args in commands]
    for other in others:
        said = other.communicate(timeout=60)[1].decode()
        assert other.returncode == 75, said
        assert f"pid {first.pid} " in said
    assert len(list_moves(life.local.journal())) == moved
    os.kill(first.pid, signal.SIGCONT)
    assert life.fork_server.wait(first, 60.0)
    assert first.code == 0, first.output
    assert len(list_moves(life.local.journal())) == 20
    assert life.end() == []


def test_two_that_apply_one_plan_move_everybody_once(life: KilledRun) -> None:
    args = ("apply", "plan.json", "--yes", "--max-changes", "100")
    both = [start(life, *args) for _ in range(2)]
    for each in both:
        said = each.communicate(timeout=60)[1].decode()
        assert each.returncode in {0, 75}, said
    assert {each.returncode for each in both} >= {0}
    assert len(list_moves(life.local.journal())) == 20
    assert life.end() == []


def test_who_accepts_beside_a_plan_and_the_loop_decide_nobody_twice(life: KilledRun) -> None:
    commands = (
        ("accept", REPO, life.names[1], "--yes"),
        ("apply", "plan.json", "--yes", "--max-changes", "100"),
        ("run", "--once"),
    )
    three = [start(life, *args) for args in commands]
    for each in three:
        said = each.communicate(timeout=60)[1].decode()
        assert each.returncode in {0, 75}, said
    assert life.end() == []
    assert len(list_moves(life.local.journal())) == 20


@pytest.mark.parametrize(("more", "state"), [([], "ended"), (["--for-good"], "stopped")])
def test_a_plan_that_was_paused_goes_on_when_it_is_applied_again_and_a_stopped_one_does_not(
    life: KilledRun, more: list[str], state: str
) -> None:
    begun(life)
    assert life.run("runs", "stop", life.latest().id, *more).code == 0, life.output
    life.fork_server.wait(life.apply(), 60.0)
    assert life.latest().state == state
    assert len(list_moves(life.local.journal())) == (0 if more else 20)


# ---- a disk that is full -----------------------------------------------------------------------------------------------


def test_when_the_system_takes_no_more_bytes_nothing_is_sent_that_is_not_written(life: KilledRun) -> None:
    """The size of files is limited ever less, until the whole run fits; the same run goes on each time."""
    begun(life)
    codes = []
    for most in range(0, 4_000_000, STEP):
        child = life.run(part="execute_on_small_disk", most=most)
        codes.append(child.code)
        assert life.check() == []
        if child.code == 0:
            break
        assert child.code == 75, child.output
        if most == 0:
            assert list_moves(life.local.journal()) == []
            assert "StoreUnavailable" in child.output
    assert len(codes) > 1
    assert life.end() == []
    assert life.counts() == {"done": 20}


def _has_run(life: KilledRun) -> bool:
    try:
        return bool(life.latest())
    except IndexError:
        return False


# ---- how an end early is told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("revoke_token:token=owner:call=1:on=batch", 4),
        ("revoke_token:token=owner:call=3:on=batch", 5),
        ("ungate:call=1:on=batch", 1),
        ("rename_repo:call=1:on=batch", 1),
        ("down:s=999999:call=1:on=list", 75),
        ("down:s=999999:call=1:on=batch", 5),  # it was sent, and nobody can tell
        ("down:s=999999:call=3:on=batch", 5),
    ],
)
def test_the_code_is_that_of_the_reason_unless_something_was_done(life: KilledRun, fault: str, code: int) -> None:
    life.local.set_faults([fault])
    ended = life.run("apply", "plan.json", "--yes", "--max-changes", "100", "--max-wait", "10s")
    assert ended.code == code, ended.output
    assert "runs continue r_" in ended.output
    assert ("Nothing was changed" in ended.output) == (code == 75)
