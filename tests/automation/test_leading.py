"""One loop of several leads: it does not stand by for itself, and the others store nothing and share no limits."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from hf_gate.core.stored_rows import ProcessRow
from hf_gate.core.turns import TurnEnd
from hf_gate.requests.sync_schedule import MAX_PAUSE, QUOTA_SHARE
from hf_gate.store.leases import LeaseKeeper
from hf_gate.store.write_lock import Holder, Work
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store
from tests.kits.machines import POLICY, Machine, Machines, machines
from tests.kits.message_servers import HOOK_KEY, Hook, open_hook
from tests.kits.notice_workspace import NOTIFY
from tests.kits.stores import add_migration, new_schema

__all__ = ["machines"]

BROKEN = POLICY.replace("then: accept", "then: perhaps")


def _read(machines: Machines, sql: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(machines.url, autocommit=True) as connection:
        return connection.execute(sql.encode(), values).fetchall()


def _wait_until(is_true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def _count_turns(machines: Machines, end: TurnEnd) -> object:
    return _read(machines, "SELECT count(*) FROM turns WHERE ending = %s", end)[0][0]


def _start_leader(machines: Machines, name: str = "one", *args: str) -> Machine:
    machines.make(name)
    leader = machines.start(name, "run", "--every", "1m", *args)
    leader.wait_for("Synced")
    return leader


# ---- the lead --------------------------------------------------------------------------------------------------------


def test_a_single_loop_that_stood_still_past_its_lease_goes_on(machines: Machines) -> None:
    """Its machine slept, for example: the first renewal brings the lead back."""
    leader = _start_leader(machines)
    leader.send(signal.SIGSTOP)
    lapsed = "SELECT 1 FROM leases WHERE name = 'loop' AND expires_at < extract(epoch FROM clock_timestamp()) * 1000"
    _wait_until(lambda: _read(machines, lapsed))
    lines = len(leader.lines)
    leader.send(signal.SIGCONT)
    leader.wait_for("Synced", seconds=20, after=lines)
    assert not any("Standing by" in line for line in leader.lines)


def test_a_loop_with_a_wrong_policy_stores_nothing_while_another_one_leads(machines: Machines) -> None:
    leader = _start_leader(machines)
    machines.make("two", BROKEN)
    standby = machines.start("two", "run", "--every", "1m")
    standby.wait_for("Standing by")
    standby.wait_for("all.yaml")
    turns = len(leader.lines)
    leader.wait_for("Synced", after=turns)
    assert _count_turns(machines, TurnEnd.FAILED) == 0
    leader.send(signal.SIGTERM)
    standby.wait_for("This loop leads now")
    _wait_until(lambda: _count_turns(machines, TurnEnd.FAILED))
    pauses = _read(machines, "SELECT interval_s FROM turns WHERE ending = %s LIMIT 1", TurnEnd.FAILED)
    assert pauses == [(60,)]
    machines.make("two")
    standby.wait_for("Synced")


# ---- the end of a loop -----------------------------------------------------------------------------------------------


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with open_hook() as found:
        monkeypatch.setenv("HOOK", found.url)
        monkeypatch.setenv("HOOK_KEY", HOOK_KEY)
        yield found


def _start_with_token(machines: Machines, name: str = "one") -> tuple[Machine, Path]:
    """A loop that leads and tells a webhook; its token is in a file, which it reads before each turn."""
    file = machines.folder / "token"
    file.write_text(machines.hub.tokens["owner"])
    machines.make(name, more=NOTIFY)
    loop = machines.start(name, "run", "--every", "1m", "--token-file", str(file))
    loop.wait_for("Synced")
    return loop, file


def test_the_end_of_a_loop_is_told_only_if_no_other_one_goes_on(machines: Machines, hook: Hook) -> None:
    leader, file = _start_with_token(machines)
    machines.make("two", more=NOTIFY)
    standby = machines.start("two", "run", "--every", "1m")
    standby.wait_for("Standing by")
    file.write_text(machines.hub.tokens["writer"])
    assert leader.process.wait(60) == 2
    leader.wait_for(f"This loop ends. Unattended work is done by pid {standby.process.pid} on ")
    standby.wait_for("Synced")
    assert (_count_turns(machines, TurnEnd.LOOP_ENDED), hook.texts) == (0, [])


@pytest.mark.parametrize("is_replaced", [True, False])
def test_the_end_of_a_loop_that_is_too_old_is_told_unless_a_newer_one_leads(
    machines: Machines, hook: Hook, tmp_path: Path, is_replaced: bool
) -> None:
    """A newer program upgrades the store first, and asks for the lead then."""
    leader, _ = _start_with_token(machines)
    about = {str(key): str(value) for key, value in _read(machines, "SELECT key, value FROM about")}
    migrations = add_migration(tmp_path / "m")
    open_store(
        machines.url, endpoint=about["endpoint"], world=about["world"], lends=True, migrations=migrations
    ).close()
    with closing(LeaseKeeper(machines.url, Holder(7, "gate-2", "hf-gate run"))) as newer:
        if is_replaced:
            newer.acquire(Work.LOOP, 30.0, "")
        leader.process.wait(60)
    leader.wait_for("made by a newer hf-gate")
    assert len(hook.texts) == (0 if is_replaced else 1), hook.texts


# ---- the calls of a token --------------------------------------------------------------------------------------------


def test_a_loop_that_stands_by_shares_no_limits_of_its_token(machines: Machines) -> None:
    leader = _start_leader(machines)
    machines.make("two")
    standby = machines.start("two", "run", "--every", "1m")
    standby.wait_for("Standing by")
    tokens = "SELECT token <> '' FROM processes ORDER BY token <> ''"
    assert _read(machines, tokens) == [(False,), (True,)]
    leader.send(signal.SIGTERM)
    standby.wait_for("This loop leads now")
    assert _read(machines, tokens) == [(True,)]


def test_a_loop_with_automatic_pauses_takes_its_share_of_the_calls(tmp_path: Path, postgres_uri: str) -> None:
    """Alone, its pause would be at least 4 minutes with these limits; it is one of nine processes."""
    with (
        LocalHub(requests=0, repos=1, clock="x600", quota="100/300") as hub,
        closing(Machines(hub, tmp_path, new_schema(postgres_uri))) as machines,
        ExitStack() as opened,
    ):
        machines.make("one")
        machines.start("one", "run", "--every", "auto").wait_for("Synced")
        ((token,),) = _read(machines, "SELECT token FROM processes")
        for number in range(8):
            keeper = opened.enter_context(closing(LeaseKeeper(machines.url, Holder(number, f"gate-{number}"))))
            keeper.announce(lambda: ProcessRow(role="desk", token=str(token)))
        least = round(9 * 4 * 300 / (QUOTA_SHARE * 100))
        assert least > MAX_PAUSE
        _wait_until(lambda: _read(machines, "SELECT 1 FROM turns WHERE interval_s = %s", least), 60)


# ---- its files -------------------------------------------------------------------------------------------------------


def _start_broken(machines: Machines, url: str) -> Machine:
    """A loop whose hf-gate.yaml is broken when it starts, and mended after its first turn."""
    file = machines.make("one", url=url) / "hf-gate.yaml"
    text = file.read_text("utf-8")
    file.write_text(f"{text}nonsense: [\n", "utf-8")
    loop = machines.start("one", "run", "--every", "1m")
    loop.wait_for("tries again")
    file.write_text(text, "utf-8")
    loop.wait_for("Synced")
    return loop


def test_a_loop_that_started_with_a_broken_file_leads_once_it_is_mended(machines: Machines) -> None:
    _start_broken(machines, machines.url)
    machines.make("two")
    machines.start("two", "run", "--every", "1m").wait_for("Standing by")


def test_a_loop_that_started_with_a_broken_file_keeps_a_second_one_out_of_a_file_too(machines: Machines) -> None:
    _start_broken(machines, "sqlite:///desk.db")
    second = machines.start("one", "run", "--every", "1m")
    second.wait_for("One loop is enough.")
    assert second.process.wait(30) == 75


def test_two_loops_that_started_with_a_broken_file_do_not_run_turns_of_one_file(machines: Machines) -> None:
    file = machines.make("one", url="sqlite:///desk.db") / "hf-gate.yaml"
    text = file.read_text("utf-8")
    file.write_text(f"{text}nonsense: [\n", "utf-8")
    loops = [machines.start("one", "run", "--every", "1m") for _ in range(2)]
    for loop in loops:
        loop.wait_for("tries again")
    file.write_text(text, "utf-8")
    lines = [len(loop.lines) for loop in loops]
    _wait_until(lambda: any("Synced" in line for loop in loops for line in loop.lines))
    working = next(loop for loop in loops if any("Synced" in line for line in loop.lines))
    other = next(loop for loop in loops if loop is not working)
    other.wait_for("another `hf-gate run` is active", after=lines[loops.index(other)])
    working.send(signal.SIGTERM)
    other.wait_for("Synced")
    with closing(sqlite3.connect(file.with_name("desk.db"))) as db:
        ends = {end for (end,) in db.execute("SELECT ending FROM turns WHERE ending IS NOT NULL")}
    assert ends <= {TurnEnd.OK, TurnEnd.INTERRUPTED}


def test_a_loop_follows_its_file_to_another_store_and_leads_there(machines: Machines, postgres_uri: str) -> None:
    loop = _start_leader(machines)
    old = machines.url
    machines.url = new_schema(postgres_uri)
    machines.make("one")
    lines = len(loop.lines)
    _wait_until(lambda: _has_turn(machines))
    assert not any("tries again" in line for line in loop.lines[lines:]), loop.lines
    machines.make("two")
    machines.start("two", "run", "--every", "1m").wait_for("Standing by")
    with psycopg.connect(old, autocommit=True) as connection:
        assert connection.execute("SELECT holder FROM leases WHERE name = 'loop'").fetchall() == [("",)]


def _has_turn(machines: Machines) -> bool:
    try:
        return _count_turns(machines, TurnEnd.OK) != 0
    except psycopg.errors.UndefinedTable:
        return False
