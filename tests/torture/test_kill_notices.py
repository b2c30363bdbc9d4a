"""`kill -9` while the outbox drains: every notice arrives at least once, never out of order, and only with what it tells."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import time
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from hf_gate.core.letters.messages import DEAD, OPEN
from hf_gate.core.letters.notices import DEFAULT_MODES
from hf_gate.messages.rows import notices, outbox
from hf_gate.workspace.rows.opening import open_store
from tests.kits.message_servers import HOOK_KEY, Hook, open_hook
from tests.kits.processes import ForkedProcess, ForkServer
from tests.kits.stores import ENDPOINT

KILLS: Final = {"dev": 12, "ci": 50, "torture": 1000}[os.environ.get("HF_GATE_TEST_PROFILE", "dev")]
T0: Final = 1_790_000_000_000
QUEUED: Final = 6  # by each life


@pytest.fixture(scope="module")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with closing(ForkServer(tmp_path_factory.mktemp("children"))) as made:
        yield made


@pytest.fixture
def hook() -> Iterator[Hook]:
    with open_hook(is_serial=True) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store with one destination."""
    path = tmp_path / "desk.db"
    with open_store(path, endpoint=ENDPOINT) as store:
        notices.write_destinations(store, {"team": DEFAULT_MODES}, {"team": time(8)}, "UTC", T0)
    return path


def bear(fork_server: ForkServer, place: Path, hook: Hook, at: int, count: int) -> ForkedProcess:
    values = {"path": str(place), "url": hook.url, "key": HOOK_KEY, "at": at, "count": count}
    return fork_server.start(dict(os.environ), place.parent, part="drain_notices", **values)


def check(place: Path, hook: Hook) -> None:
    """What arrived is in order, and each id has one number; what is stored is what the ledger tells."""
    numbers = [call.document["sequence"] for call in hook.calls]
    assert all(later - one in {0, 1} for one, later in pairwise([0, *numbers])), "a gap, or out of order"
    assert len({(call.document["sequence"], call.document["id"]) for call in hook.calls}) == len(set(hook.ids))
    with open_store(place, endpoint=ENDPOINT, read_only=True) as store:
        (last,) = store.reads.rows("SELECT sequence FROM notice_destinations")
        assert last[0] == sum(length for length, _ in store.chains().values())


def test_killed_at_random_moments_every_notice_arrives_in_order(
    fork_server: ForkServer, place: Path, hook: Hook
) -> None:
    rng, kills, lives, at = random.Random(13), 0, 0, T0
    child = bear(fork_server, place, hook, at, QUEUED)  # on a busy machine, those that are killed may queue nothing
    assert fork_server.wait(child, 300), child.output
    while kills < KILLS:
        lives += 1
        assert lives < 20 * KILLS, "too few lives were cut short"
        at += 120_000  # the message of the dead one is due again
        hook.answers[:] = rng.choices([200, 500, "die"], [8, 1, 1], k=3)
        child = bear(fork_server, place, hook, at, QUEUED)
        fork_server.wait(child, rng.uniform(0.02, 0.25))
        fork_server.kill(child)
        assert child.code in {0, -9}, child.output
        kills += child.code == -9
        if lives % 50 == 0:
            check(place, hook)
    hook.answers.clear()
    for _ in range(3):
        at += 13 * 3_600_000
        child = bear(fork_server, place, hook, at, 0)
        assert fork_server.wait(child, 300), child.output
        assert child.code == 0, child.output
    check(place, hook)
    with open_store(place, endpoint=ENDPOINT, read_only=True) as store:
        assert outbox.read_messages(store, [*OPEN, *DEAD], 10) == []
        (last,) = store.reads.rows("SELECT sequence FROM notice_destinations")
    assert {call.document["sequence"] for call in hook.calls} == set(range(1, last[0] + 1))
    assert last[0] > 0
