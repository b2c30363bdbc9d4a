"""`why` in the terminal: waiting for a decision, and what points to it."""

from __future__ import annotations

import signal

from hf_gate import Hub
from hf_gate.testing import LocalHub

from .console import MODEL, Console, fill


def start_waiting(hub: LocalHub) -> None:
    hub.add_people([{"username": "mia"}])
    fill(hub, ["mia"])


def test_ctrl_c_ends_a_wait_with_130_and_the_state_was_said(fresh: LocalHub) -> None:
    start_waiting(fresh)
    program = Console(fresh, "mia").start("why", MODEL, "--wait")
    assert program.stderr is not None
    line = program.stderr.readline().decode()
    assert f"{MODEL}: not yours yet. The state is pending." in line
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (130, b""), err


def test_a_wait_that_is_over_ends_with_1_and_names_the_state(fresh: LocalHub) -> None:
    start_waiting(fresh)
    ended = Console(fresh, "mia").run("why", MODEL, "--wait", "100ms")
    assert ended.code == 1
    assert "the time is over, and the state is still pending" in ended.out
    assert fresh.stats()["calls"]["GET auth-check"] == 2


def test_a_state_that_time_does_not_change_is_told_at_once(fresh: LocalHub) -> None:
    start_waiting(fresh)
    with Hub(fresh.tokens["owner"], fresh.url) as owner:
        owner.reject(MODEL, "mia", reason=None)
    ended = Console(fresh, "mia").run("why", MODEL, "--wait")
    assert (ended.code, "time alone changes nothing here" in ended.out) == (1, True)
    with Hub(fresh.tokens["owner"], fresh.url) as owner:
        owner.accept(MODEL, "mia")
    assert Console(fresh, "mia").run("why", MODEL, "--wait").code == 0
