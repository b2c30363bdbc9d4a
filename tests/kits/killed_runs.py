"""Runs whose processes are killed by `kill -9`, on a Hub that fails, while another reviewer decides too."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from hf_gate.core.stored_rows import RunRow
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store
from tests.kits.invariants import find_final_violations, find_violations
from tests.kits.processes import ForkedProcess, ForkServer
from tests.kits.workspaces import write_workspace

REPO: Final = "lumen-labs/lantern-7b-chat"
PEOPLE: Final = 24
WISHES: Final = ("accept", "while", "reset", "reject")
RATE: Final = "x60"  # the Hub's clock; a pause of a minute takes a second
# Several at once. Delays are real seconds: 0.2 s are 12 s by the Hub's clock, less than the grace for late calls.
FAULT_SETS: Final = (
    ("fail_before:p=0.3:on=batch", "fail_after:status=500:p=0.3:on=batch", "truncate:p=0.1:on=list"),
    ("fail_after:status=504:p=0.5:on=batch", "delay_before:s=0.1:p=0.5:on=batch"),
    ("delay_after:s=0.1:p=0.5", "reset_at:byte=20:p=0.2:on=batch|list"),
    ("hidden_limit:rate=3", "limit_bare:p=0.1", "empty_200:p=0.2:on=batch"),
    ("fail_before:status=503:p=0.2:on=batch|list", "delay_before:s=0.2:p=0.3:on=batch", "dup_rows:p=0.3"),
    ("no_batch", "fail_after:p=0.2:on=handle", "delay_after:s=0.05:p=0.3:on=handle"),
    ("html_200:p=0.2:on=batch|list", "reset_at:byte=0:p=0.3:on=batch"),
    ("delay_after:s=0.15:on=batch",),
    (),
)


@dataclass
class KilledRun:
    """A desk with one plan, from its approval to its end. `decides`: whether somebody else decides meanwhile."""

    local: LocalHub
    fork_server: ForkServer
    folder: Path
    rng: random.Random
    decides: bool = True
    kills: int = 0
    child: ForkedProcess | None = None
    names: list[str] = field(default_factory=list)

    # ---- made ------------------------------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        # The cache of accounts goes along with each process: its first call then hears the Hub's clock.
        cache = self.folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        return {
            **os.environ, "HF_ENDPOINT": self.local.url, "HF_TOKEN": self.local.tokens["owner"], "HF_GATE_CLOCK": "hub",
            "HF_GATE_TIMEOUT": "3", "HF_GATE_WORKSPACE": str(self.folder), "XDG_CACHE_HOME": str(cache),
        }  # fmt: skip

    def begin(self, people: int = PEOPLE) -> None:
        """People ask, are read and judged; their plan lies in a file. All by the real commands."""
        self.folder.mkdir()
        write_workspace(self.folder)
        house = f"version: 1\nrepos: [{REPO}]\npolicies: [policies/*.yaml]\n"
        (self.folder / "hf-gate.yaml").write_text(house)
        self.local.reset()
        self.names = [f"p{n:02}" for n in range(people)]
        self.local.add_people([{"username": name} for name in self.names])
        self.local.add_requests(
            [{"repo": REPO, "user": name, "answers": {"wish": WISHES[n % 4]}} for n, name in enumerate(self.names)]
        )
        assert self.run("sync").code == 0, self.output
        assert self.run("plan", "--out", "plan.json").code == 0, self.output

    # ---- processes -------------------------------------------------------------------------------------------------

    def start(self, *args: str, part: str = "", **values: Any) -> ForkedProcess:
        self.child = self.fork_server.start(self.env, self.folder, *args, part=part, **values)
        return self.child

    def run(self, *args: str, part: str = "", **values: Any) -> ForkedProcess:
        """To its end."""
        child = self.start(*args, part=part, **values)
        assert self.fork_server.wait(child, 60.0), child.output
        return child

    def apply(self) -> ForkedProcess:
        return self.start("apply", "plan.json", "--yes", "--max-changes", "100")

    @property
    def output(self) -> str:
        return "" if self.child is None else self.child.output

    def kill_at_random(self, child: ForkedProcess, longest: float) -> None:
        """Somewhere in its life, with others deciding until then."""
        left = self.rng.uniform(0.02, longest)
        while left > 0 and not self.fork_server.wait(child, step := min(left, self.rng.uniform(0.02, 0.15))):
            left -= step
            if self.decides:
                self.decide_as_other()
        self.fork_server.kill(child)
        self.kills += child.code == -9

    # ---- others ----------------------------------------------------------------------------------------------------

    def decide_as_other(self) -> None:
        """Through the normal API with a token of their own, at a Hub that fails them too; never back to pending.

        Not while a call of ours is under way: given up and sent again, the first one could arrive behind this decision, and
        no reading tells that from another one of ours (docs/internals/reliability.md says so).
        """
        stats = self.local.stats()
        if sum(stats["calls"].values()) > sum(stats["replies"].values()):
            return
        self.decide(self.rng.choice(self.names), self.rng.choice(("accepted", "rejected", "reset")))

    def decide(self, name: str, status: str) -> None:
        """One decision of somebody else's."""
        body = {"user": name, "status": status}
        connection = HTTPConnection(urlsplit(self.local.url).netloc, timeout=5)
        headers = {"authorization": f"Bearer {self.local.tokens['admin']}", "content-type": "application/json"}
        with suppress(OSError, HTTPException):
            path = f"/api/models/{REPO}/user-access-request/handle"
            connection.request("POST", path, msgspec.json.encode(body), headers)
            connection.getresponse().read()
        connection.close()

    # ---- checks ----------------------------------------------------------------------------------------------------

    def check(self, *, is_over: bool = False) -> list[str]:
        """What does not hold; opened as the next process would."""
        world = get_world_id(self.local.url)
        with open_store(self.folder / "desk.db", endpoint=self.local.url, world=world, wait=5.0) as store:
            # First the journal: a call that is still under way may arrive in between, but its intent is older.
            return (find_final_violations if is_over else find_violations)(store, self.local.journal())

    def latest(self) -> RunRow:
        with open_store(
            self.folder / "desk.db", endpoint=self.local.url, world=get_world_id(self.local.url), read_only=True
        ) as store:
            return store.runs()[0]

    def end(self) -> list[str]:
        """The Hub is well; what is left goes on until it has ended. What does not hold then."""
        self.local.set_faults([])
        for _ in range(3):
            self.fork_server.wait(self.apply(), 60.0)
            if self.latest().state == "ended":
                break
        assert self.latest().state == "ended", self.output
        return self.check(is_over=True)

    def counts(self) -> Mapping[str, int]:
        return Counter(self.latest().counts)


def execute_with_kills(
    local: LocalHub, fork_server: ForkServer, folder: Path, seed: int, *, most: int = 8
) -> KilledRun:
    """One life: killed at random until it has ended or was killed so often, and checked after each kill."""
    rng = random.Random(seed)
    life = KilledRun(local, fork_server, folder / f"life-{seed}", rng)
    life.begin()
    while life.kills < most:
        local.set_faults(rng.choice(FAULT_SETS))
        child = life.apply()
        life.kill_at_random(child, rng.choice((0.1, 0.2, 0.4)))
        local.set_faults([])
        assert child.code in {-9, 0, 1, 5, 75}, child.output
        _demand(life, life.check(), seed)
        if child.code == 0:
            break
    _demand(life, life.end(), seed)
    return life


def _demand(life: KilledRun, found: list[str], seed: int) -> None:
    assert not found, f"life {seed} after {life.kills} kills: {found}"
