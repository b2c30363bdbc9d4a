"""The desk is killed while it applies a plan and while a selection leaves: afterwards its pages tell what the Hub has, nothing is lost and nothing sent twice."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from hf_gate.testing import LocalHub
from tests.kits.desk import GOOD, POLICY, DeskProgram, run_desk_program, write_desk
from tests.kits.desk_actions import ProgramVisitor

MANY: Final = 230
LATER: Final = ("zoe", "zan", "zik")
ALIKE: Final = POLICY.replace(", {user}", "")  # one text for all, so that a hundred go in one call
WEATHER: Final = (
    ("delay_after:s=0.3:on=batch",),
    ("delay_before:s=0.2:on=batch", "fail_after:status=504:p=0.4:on=batch"),
    ("delay_after:s=0.1:p=0.5", "fail_before:status=503:p=0.2:on=batch|list"),
    ("fail_after:status=500:p=0.3:on=batch", "empty_200:p=0.2:on=batch"),
)
pytestmark = pytest.mark.slow


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """Its clock runs fast, so that whatever waits for late calls waits a second."""
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with LocalHub(requests=0, repos=1, clock="x60") as hub:
        repo = hub.repos[0]["repo"]
        names = [*(f"p{n:03}" for n in range(MANY)), *LATER]
        hub.add_people([{"username": name} for name in names])
        text = {name: GOOD if name in LATER else "test" for name in names}
        hub.add_requests([{"repo": repo, "user": name, "answers": {"Purpose": text[name]}} for name in names])
        yield hub


def _moved(local: LocalHub) -> Counter[tuple[str, str]]:
    """What was done to whom, as the Hub has it."""
    return Counter((line["user"], line["to"]) for line in local.journal() if line["route"] in {"handle", "batch"})


def _sent(local: LocalHub) -> int:
    """How many calls changed something, or tried to: a repetition without effect is one, too."""
    return sum(n for name, n in local.stats()["calls"].items() if name in {"POST batch", "POST handle"})


def _until(what: Callable[[], bool], told: Callable[[], object]) -> None:
    end = time.monotonic() + 90
    while not what():
        assert time.monotonic() < end, told()


def _waits_for_all(lena: ProgramVisitor) -> None:
    lena.until("/queue?q=", f"{MANY + len(LATER):,}")


def _hold(lena: ProgramVisitor) -> None:
    """Three decisions that stay until somebody sends them."""
    for name in LATER:
        body = lena.ask("GET", f"/queue?q=user:{name}")[2]
        button = re.search(r'name="accept" value="([^"]+)"', body)
        assert button
        assert lena.ask("POST", "/tray", {"accept": button[1], "when": "later"})[0] == 303


def _begin_plan(lena: ProgramVisitor) -> str:
    place = lena.ask("POST", "/plans")[1]
    if place == "/plans":
        found = re.search(r'href="(/plans/[0-9a-f]{64})"', lena.until("/plans", f"{MANY} to reset"))
        assert found
        place = found[1]
    run = lena.ask("POST", place, {"do": "apply", "count": str(MANY)})[1]
    assert run.startswith("/runs/r_")
    return run


def _begin_selection(lena: ProgramVisitor) -> str:
    assert lena.ask("POST", "/selection", {"do": "all", "q": "user:p*"})[0] == 303
    place = lena.ask("POST", "/bulk", {"verb": "reset"})[1]
    count = re.search(r'name="count" value="(\d+)"', lena.ask("GET", place)[2])
    assert count
    assert count[1] == str(MANY)
    values = {"verb": "reset", "count": count[1], "typed": count[1], "reason": "Please say more."}
    assert lena.ask("POST", place.partition("?")[0], values)[1] == "/queue"
    assert lena.ask("POST", "/tray/send", {"which": "last", "next": "/queue"})[0] == 303
    return ""


BEGIN: Final[Mapping[str, Callable[[ProgramVisitor], str]]] = {"a plan": _begin_plan, "a selection": _begin_selection}


def _go_on(lena: ProgramVisitor, run: str) -> None:
    """A run waits for somebody to say so; what was in the tray goes on by itself."""
    if run:
        body = lena.ask("GET", run)[2]
        if 'value="resume"' in body:
            assert "Interrupted" in body or "Not started" in body or "Paused" in body
            assert lena.ask("POST", run, {"do": "resume"})[0] == 303


def _books(local: LocalHub, lena: ProgramVisitor, run: str) -> None:
    """Everybody once and nobody else; and the pages say the same as the Hub."""
    moved = _moved(local)
    assert moved == Counter({(f"p{n:03}", "reset"): 1 for n in range(MANY)})
    lena.until("/queue?q=status:reset", f"of {MANY}")
    if run:
        lena.until(run, f"{MANY} changes: ended")
        lena.until(run, f"{MANY} of {MANY}")
    body = lena.until("/tray", f"{len(LATER)} decisions wait for you to send them")
    assert all(name in body for name in LATER)
    assert lena.ask("POST", "/tray/send", {"next": "/queue"})[0] == 303
    _until(lambda: len(_moved(local)) == MANY + len(LATER), lambda: _moved(local))
    assert {key: n for key, n in _moved(local).items() if key[1] != "reset"} == {
        (name, "accepted"): 1 for name in LATER
    }


def _within(program: DeskProgram, dice: random.Random, most: float) -> None:
    """Somewhere in its life."""
    with suppress(subprocess.TimeoutExpired):
        program.process.wait(dice.uniform(0.02, most))


@pytest.mark.parametrize("what", BEGIN)
def test_killed_in_the_midst_of_it(tmp_path: Path, local: LocalHub, what: str) -> None:
    write_desk(tmp_path, local, ALIKE)
    with run_desk_program(tmp_path, local, "600s") as program:
        lena = ProgramVisitor(program)
        _waits_for_all(lena)
        _hold(lena)
        local.set_faults(["delay_after:s=1:on=batch"])
        run = BEGIN[what](lena)
        _until(lambda: bool(_moved(local)), local.journal)
        program.kill()
    assert 0 < len(_moved(local)) < MANY
    local.set_faults([])
    with run_desk_program(tmp_path, local, "600s") as program:
        lena = ProgramVisitor(program)
        _go_on(lena, run)
        _until(lambda: len(_moved(local)) >= MANY, lambda: lena.ask("GET", run or "/tray")[2])
        assert _sent(local) == 3
        _books(local, lena, run)
        assert program.end() == 0


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("what", BEGIN)
def test_killed_again_and_again_in_any_weather(tmp_path: Path, local: LocalHub, what: str, seed: int) -> None:
    dice = random.Random(seed)
    write_desk(tmp_path, local, ALIKE)
    with run_desk_program(tmp_path, local, "600s") as program:
        lena = ProgramVisitor(program)
        _waits_for_all(lena)
        _hold(lena)
        local.set_faults(dice.choice(WEATHER))
        run = BEGIN[what](lena)
        _within(program, dice, 0.6)
        program.kill()
    for _ in range(5):
        local.set_faults(dice.choice(WEATHER))
        with run_desk_program(tmp_path, local, "600s") as program:
            _go_on(ProgramVisitor(program), run)
            _within(program, dice, 2.0)
            program.kill()
        assert all(n == 1 for n in _moved(local).values()), _moved(local)
    local.set_faults([])
    with run_desk_program(tmp_path, local, "600s") as program:
        lena = ProgramVisitor(program)
        _go_on(lena, run)
        _until(lambda: len(_moved(local)) >= MANY, lambda: lena.ask("GET", run or "/tray")[2])
        _books(local, lena, run)
        assert program.end() == 0
