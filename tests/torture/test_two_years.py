"""Two years of 50 repos, a turn a day: no grant ends early, on unknown, or later than its turn and guard allow."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms
from hf_gate.core.stored_rows import RequestRow
from tests.kits.grant_model import Agreement, GrantModel
from tests.kits.grant_workspaces import GONE, KEPT, SIGNED, GrantWorkspace, policy
from tests.kits.in_process_hub import InProcessHub

SIZES = {"dev": (4, 40, 12), "ci": (4, 40, 12), "torture": (50, 730, 200)}
REPOS, DAYS, PEOPLE = SIZES[os.environ.get("HF_GATE_TEST_PROFILE", "dev")]
RATE = 2


class ManyRepos(GrantWorkspace):
    """A workspace with many repos. Each person asks at one of them."""

    def repo_of(self, name: str) -> Repo:
        """A repo that asks its owners; some of a local Hub accept everybody at once."""
        asks = [one for line, one in zip(self.lines, self.repos, strict=True) if line["gated"] == "manual"]
        return asks[int(name.rpartition("-")[2]) % len(asks)]

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.local_hub.control("GET", "repos")
        return found

    def ask(self, wishes: Mapping[str, str] | Sequence[str], repo: Repo | None = None) -> None:
        for name in wishes:
            super().ask([name], repo or self.repo_of(name))

    def row(self, name: str, repo: Repo | None = None) -> RequestRow:
        return super().row(name, repo or self.repo_of(name))

    def status_on_hub(self, name: str, repo: Repo | None = None) -> str | None:
        return super().status_on_hub(name, repo or self.repo_of(name))


class Life(GrantModel):
    """What happens in these years. Dates in the table are days of the calendar, so that they come nearer."""

    workspace: ManyRepos

    def live(self, rng: random.Random) -> None:
        self.rng, self.days, self.asked, self.ended = rng, dict[str, date | str | None](), 0, 0
        self.workspace.set_policy(
            policy(SIGNED, f"{KEPT}\ngrace: 5d"),
            f"{{end: {RATE}/min}}",
        )
        for _ in range(DAYS):
            if self.asked < PEOPLE and rng.random() < 2 * PEOPLE / DAYS:
                self.admit()
            for _ in range(2):
                self.happen()
            self.workspace.wait(rng.choice([1.0, 1.0, 1.0, 0.6, 1.4]))
            if rng.random() < 0.05:
                self.workspace.wait(rng.randint(2, 9))  # the service is down; nobody looks
            self.workspace.load()
            self.play_turn()

    def admit(self) -> None:
        """Somebody signs and asks."""
        name = f"person-{self.asked}"
        self.asked += 1
        self.days[name] = self.today + timedelta(days=self.rng.randint(5, DAYS // 2))
        self.write()
        self.workspace.ask([name])

    def happen(self) -> None:
        """An agreement is extended, shortened, withdrawn, or loses its date; the table cannot be read, or can again."""
        if not self.days or self.rng.random() < 0.8:
            return
        name = self.rng.choice(list(self.days))
        kind = self.rng.choice(["extend", "extend", "shorten", "withdraw", "no date", "lose", "read"])
        if kind == "lose":
            self.lose("dua")
            return
        dates: dict[str, date | str | None] = {
            "extend": self.today + timedelta(days=self.rng.randint(10, DAYS // 2)),
            "shorten": self.today + timedelta(days=self.rng.randint(-5, 20)),
            "withdraw": GONE,
            "no date": None,
        }
        self.days[name] = dates.get(kind, self.days[name])
        self.write()

    def write(self) -> None:
        self.lost.discard("dua")
        self.rows = {name: (day - self.today).days if isinstance(day, date) else day for name, day in self.days.items()}
        self.workspace.set_rows(self.rows)

    @property
    def today(self) -> date:
        return self.workspace.now.date()

    def play_turn(self) -> None:
        before = len(self.people)
        self.turn(RATE)
        self.ended += before - len(self.people)
        for name in self.days.keys() - self.people.keys():
            if self.workspace.status_on_hub(name) == "accepted":
                end = self.workspace.row(name).state.until
                assert end is not None
                self.people[name] = Agreement(from_ms(end))
                self.dates.setdefault(name, from_ms(end))  # the table was lost after it was read


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.torture)])
def test_two_years_of_many_repos_end_every_grant_in_time(tmp_path: Path, seed: int) -> None:
    scene = ManyRepos(tmp_path, InProcessHub(repos=REPOS))
    try:
        life = Life(scene)
        life.live(random.Random(seed))
        assert life.ended >= PEOPLE // 4, "a year in which hardly anybody lost access shows nothing"
        scene.check()
    finally:
        scene.close()
