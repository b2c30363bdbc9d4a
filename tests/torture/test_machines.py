"""Loops on several machines are killed and stopped, and lose their database: each decision is sent once, and none is lost."""

from __future__ import annotations

import os
import random
import signal
from typing import Final

import pytest

from tests.kits.machines import Machines, ask, count_moves, machines, wait_for_moves
from tests.kits.stores import end_connections

__all__ = ["machines"]

ROUNDS: Final = {"dev": 1, "ci": 1, "torture": 40}[os.environ.get("HF_GATE_TEST_PROFILE", "dev")]
PEOPLE: Final = 20
SLOW: Final = ("no_batch", "delay_after:s=0.3:on=handle")


@pytest.mark.torture
def test_whatever_happens_to_loops_each_decision_is_sent_once(machines: Machines) -> None:
    rng = random.Random(27)
    for name in ("one", "two", "three"):
        machines.make(name)
    loops = {name: machines.start(name, "run", "--every", "1m") for name in ("one", "two", "three")}
    names: list[str] = []
    for number in range(ROUNDS):
        fresh = [f"r{number}p{n:02}" for n in range(PEOPLE)]
        machines.hub.set_faults(SLOW)
        ask(machines.hub, fresh)
        wait_for_moves(machines, len(names) + rng.randint(1, PEOPLE - 5))
        victims = rng.sample(sorted(loops), 2)
        what = rng.choice(["kill", "stop", "break"])
        for name in victims:
            if what != "break":
                loops[name].send(signal.SIGKILL if what == "kill" else signal.SIGSTOP)
        if what == "break":
            end_connections(machines.url)
        names += fresh
        machines.hub.set_faults([])
        wait_for_moves(machines, len(names))
        for name in victims:
            if what == "kill":
                loops[name].end()
                loops[name] = machines.start(name, "run", "--every", "1m")
            loops[name].send(signal.SIGCONT)
        assert set(count_moves(machines.hub).values()) == {1}, (number, what)
    assert sorted(count_moves(machines.hub)) == sorted(names)
