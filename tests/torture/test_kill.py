"""`kill -9` at random moments and at every named point: whatever the Hub did is in the books, and the rest goes on."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.store.database.schema import MIGRATIONS
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store
from tests.kits.invariants import list_moves
from tests.kits.killed_runs import FAULT_SETS, RATE, KilledRun, execute_with_kills
from tests.kits.process_steps import later_migrations
from tests.kits.processes import ForkServer
from tests.kits.stores import EEG, ENDPOINT, record, store_records

KILLS: Final = {"dev": 12, "ci": 50, "torture": 1000}[os.environ.get("HF_GATE_TEST_PROFILE", "dev")]
POINTS: Final = (
    "before_intent",
    "within_intent",
    "after_intent",
    "after_reply",
    "between_outcome_and_projection",
    "after_outcome",
)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalHub]:
    with LocalHub(requests=0, repos=1, clock=RATE, page_size=10) as made:
        yield made


@pytest.fixture(scope="module")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with closing(ForkServer(tmp_path_factory.mktemp("children"))) as made:
        yield made


@pytest.fixture
def life(local: LocalHub, fork_server: ForkServer, tmp_path: Path) -> KilledRun:
    """A desk whose plan is approved and of which nothing is sent: its first process died before it wrote an intent."""
    local.set_faults([])
    made = KilledRun(local, fork_server, tmp_path / "desk", random.Random(7), decides=False)
    made.begin()
    return made


def approved(life: KilledRun) -> None:
    """By the real command, which is killed when the run is in the store and the Hub has not answered its first look."""
    life.local.set_faults(["delay_before:s=0.3:on=list"])
    child = life.apply()
    while not life.fork_server.wait(child, 0.01) and not _has_run(life):
        pass
    life.fork_server.kill(child)
    life.local.set_faults([])
    assert child.code == -9, child.output


def _has_run(life: KilledRun) -> bool:
    try:
        return bool(life.latest())
    except IndexError:
        return False


def test_killed_at_random_moments_nothing_is_lost_twice_or_untrue(
    local: LocalHub, fork_server: ForkServer, tmp_path: Path
) -> None:
    kills, seed = 0, 0
    while kills < KILLS:
        seed += 1
        kills += execute_with_kills(local, fork_server, tmp_path, seed).kills
    assert seed < KILLS * 3, "most processes ended before they could be killed"


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("weather", [FAULT_SETS[-1], FAULT_SETS[1]], ids=["fair", "foul"])
def test_killed_at_a_named_point(life: KilledRun, point: str, weather: tuple[str, ...]) -> None:
    approved(life)
    life.local.set_faults(weather)
    died = life.run(part=point)
    life.local.set_faults([])
    assert died.code == -9, died.output
    assert life.check() == []
    moved = len(list_moves(life.local.journal()))
    assert (moved == 0) == point.endswith("_intent") or point == "after_outcome"
    assert life.end() == []
    assert life.counts() == {"done": len(life.names)}


def test_killed_when_the_hub_has_it_and_the_answer_is_under_way(life: KilledRun) -> None:
    life.local.set_faults(["delay_after:s=0.3:on=batch"])
    child = life.apply()
    while not life.fork_server.wait(child, 0.005) and not list_moves(life.local.journal()):
        pass
    life.fork_server.kill(child)
    assert child.code == -9, child.output
    assert life.check() == []
    assert life.end() == []
    assert life.counts() == {"done": len(life.names)}


def test_killed_when_the_call_has_left_and_the_hub_has_not_begun(life: KilledRun) -> None:
    """It arrives when its process is dead, and another one reads what became of it."""
    life.local.set_faults(["delay_before:s=0.25:on=batch"])
    before = life.local.stats()["calls"].get("POST batch", 0)
    child = life.apply()
    while not life.fork_server.wait(child, 0.005) and life.local.stats()["calls"].get("POST batch", 0) == before:
        pass
    life.fork_server.kill(child)
    assert child.code == -9, child.output
    assert life.end() == []
    assert life.counts() == {"done": len(life.names)}


def test_killed_in_a_checkpoint_of_the_ledger(life: KilledRun) -> None:
    died = life.run(part="in_ledger_checkpoint")
    assert died.code == -9, died.output
    assert life.check() == []
    assert life.run("audit", "checkpoint").code == 0
    assert life.end() == []


def test_killed_while_the_log_is_copied_into_the_file(life: KilledRun) -> None:
    approved(life)
    for _ in range(4):
        life.kill_at_random(life.start(part="in_wal_checkpoint"), 0.4)
        assert life.check() == []
    assert life.end() == []


@pytest.mark.parametrize("part", ["make_store", "upgrade_store"])
def test_killed_at_any_statement_that_makes_a_store_or_brings_it_up(
    fork_server: ForkServer, tmp_path: Path, part: str
) -> None:
    """Nothing of it is there then, and the next one does it whole."""
    for at in range(1, 500):
        path = tmp_path / f"{at}.db"
        if part == "upgrade_store":
            open_store(path, endpoint=ENDPOINT).close()
        child = fork_server.start(dict(os.environ), tmp_path, part=part, path=str(path), at=at)
        assert fork_server.wait(child, 20.0)
        migrations = later_migrations(path) if part == "upgrade_store" else MIGRATIONS
        with open_store(path, endpoint=ENDPOINT, migrations=migrations) as store:
            assert len(store_records(store, EEG, [record(1)])) == 1
            assert verify_ledger(store, with_tables=True).ok
        if child.code == 0:
            break
        assert child.code == -9, child.output
    assert at > 10


@pytest.mark.parametrize("name", ["believing", "blind"])
def test_a_carrier_without_reconciliation_is_caught(life: KilledRun, name: str) -> None:
    """The control: the same kill, the same others, the same checks, and nobody reads what became of what was started."""
    approved(life)
    assert life.run(part="after_reply").code == -9
    for move in list_moves(life.local.journal()):
        life.decide(move["user"], "rejected" if move["to"] == "accepted" else "accepted")
    assert life.run(part="execute_wrongly", name=name).code == 0, life.output
    found = life.check(is_over=True)
    assert any(sentence.startswith({"believing": "I2", "blind": "I3"}[name]) for sentence in found), found
