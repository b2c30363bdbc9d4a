"""Several machines on one PostgreSQL: one loop leads, and whatever happens to it, nothing is sent twice or after its lease."""

from __future__ import annotations

import json
import re
import signal
import time

from hf_gate.store.leases import LEASE_S
from tests.kits.machines import (
    POLICY,
    DeskProgram,
    Machines,
    ask,
    count_changes,
    count_moves,
    machines,
    opened_proxy,
    wait_for_moves,
)

__all__ = ["machines"]

PEOPLE = [f"p{n:02}" for n in range(40)]
SLOW = ("no_batch", "delay_after:s=0.4:on=handle")
"""One call for each decision, and each takes a while: a process can be stopped in the middle of its run."""


BY_HAND = POLICY.replace("then: accept", "then: human")


def _start_two_loops(machines: Machines, url: str | None = None) -> None:
    """The first one leads; `url` is its way to the database."""
    machines.make("one", url=url)
    machines.make("two")
    machines.start("one", "run", "--every", "1m").wait_for("Synced")
    machines.start("two", "run", "--every", "1m").wait_for("Standing by")


def test_a_standby_takes_over_from_a_leader_that_was_killed_and_settles_its_run(machines: Machines) -> None:
    _start_two_loops(machines)
    leader, standby = machines.running
    assert f"pid {leader.process.pid} on " in standby.wait_for("Standing by")
    machines.hub.set_faults(SLOW)
    ask(machines.hub, PEOPLE)
    wait_for_moves(machines, 3)
    leader.send(signal.SIGKILL)
    killed_at = time.monotonic()
    assert "This loop leads now" in standby.wait_for("This loop leads now")
    assert time.monotonic() - killed_at < LEASE_S + 5
    machines.hub.set_faults([])
    wait_for_moves(machines, len(PEOPLE))
    assert set(count_moves(machines.hub).values()) == {1}
    standby.wait_for("interrupted earlier, was settled")


def test_a_leader_that_stood_still_past_its_lease_sends_nothing_when_it_goes_on(machines: Machines) -> None:
    _start_two_loops(machines)
    leader, standby = machines.running
    machines.hub.set_faults(SLOW)
    ask(machines.hub, PEOPLE)
    wait_for_moves(machines, 3)
    leader.send(signal.SIGSTOP)
    standby.wait_for("This loop leads now")
    machines.hub.set_faults([])
    wait_for_moves(machines, len(PEOPLE))
    standby.wait_for("Synced")  # its own calls are over
    before, lines = count_changes(machines.hub), len(leader.lines)
    leader.send(signal.SIGCONT)
    assert "Standing by" in leader.wait_for("Standing by", after=lines)
    assert count_changes(machines.hub) == before, leader.lines
    assert set(count_moves(machines.hub).values()) == {1}


def test_a_leader_that_is_cut_off_from_the_database_starts_no_call_after_its_lease(machines: Machines) -> None:
    with opened_proxy(machines.url) as proxy:
        _start_two_loops(machines, proxy.url)
        leader, standby = machines.running
        machines.hub.set_faults(SLOW)
        ask(machines.hub, PEOPLE)
        wait_for_moves(machines, 3)
        proxy.cut()
        standby.wait_for("This loop leads now")
        machines.hub.set_faults([])
        wait_for_moves(machines, len(PEOPLE))
        standby.wait_for("Synced")
        before, lines = count_changes(machines.hub), len(leader.lines)
        proxy.heal()
        leader.wait_for("Standing by", after=lines)
        assert count_changes(machines.hub) == before, leader.lines
        assert set(count_moves(machines.hub).values()) == {1}
        leader.end()


def test_the_status_names_the_leader_the_standby_and_their_files(machines: Machines) -> None:
    _start_two_loops(machines)
    machines.make("three", POLICY.replace("id: all, then", "id: everybody, then"))
    machines.start("three", "run", "--every", "1m").wait_for("Standing by")
    text = machines.run("one", "status")
    assert len(re.findall(r"(?m)^\S+ leads \(hf-gate \S+, files [0-9a-f]{8}\)\.$", text)) == 1
    assert len(re.findall(r"(?m)^\S+ stands by ", text)) == 1
    assert len(re.findall(r"(?m)^OTHER FILES: \S+ stands by ", text)) == 1
    listed = json.loads(machines.run("two", "status", "--json"))["processes"]
    assert [each["leads"] for each in listed] == [True, False, False]
    assert len({each["files"] for each in listed}) == 2


# ---- desks -----------------------------------------------------------------------------------------------------------


def test_what_a_killed_desk_had_in_its_tray_is_sent_by_another_one_once(machines: Machines) -> None:
    for name in ("one", "two"):
        machines.make(name, BY_HAND)
    ask(machines.hub, PEOPLE[:12])
    machines.run("one", "sync")
    one, two = DeskProgram(machines, "one"), DeskProgram(machines, "two")
    one.sign_in()
    two.cookie = one.cookie  # the balancer leads the browser to either
    shown = two.read_queue()
    assert len(shown) == 12
    taken = one.accept(shown[:6]) + two.accept(shown[4:])
    assert 12 <= taken <= 14, "two are shown at both; what is sent meanwhile may be taken again, and is not sent again"
    one.machine.send(signal.SIGKILL)
    wait_for_moves(machines, 12)
    assert count_moves(machines.hub) == dict.fromkeys(PEOPLE[:12], 1)
    end = time.monotonic() + 20  # the Hub knows an outcome before it is stored
    while left := two.read_queue():
        assert time.monotonic() < end, left
