"""A small world for the tests of the library: an owner, a few people, a gated model and a gated dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hf_gate import AccessRequest, Hub
from hf_gate.testing import LocalHub

PEOPLE = [
    {"username": name, "fullname": name.title(), "email": f"{name}@example.org"}
    for name in ("ada", "bob", "cem", "dora", "eve")
]


@dataclass
class World:
    """A local Hub with one repo to work on, and clients for it."""

    local: LocalHub
    repo: str
    owner: Hub

    def ask(self, *names: str, **answers: str) -> None:
        """Make requests of these people."""
        self.local.add_requests([{"repo": self.repo, "user": name, "answers": answers} for name in names])

    def request(self, name: str, status: str = "pending") -> AccessRequest:
        """Return one person's request from the lists."""
        return next(r for r in self.owner.list(self.repo, status) if r.username == name)

    def status(self, name: str) -> str | None:
        """Return the current status of a person."""
        for status in ("pending", "accepted", "rejected", "reset"):
            if any(r.username == name for r in self.owner.list(self.repo, status)):
                return status
        return None

    def moves(self) -> list[tuple[Any, Any, Any]]:
        """Return all changes of status, from the local Hub's journal."""
        return [(m["user"], m["from"], m["to"]) for m in self.local.journal() if m["from"] is not None]

    def calls(self, *names: str) -> int:
        """Return the number of calls of these kinds."""
        return sum(self.local.stats()["calls"].get(name, 0) for name in names)


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A Hub with one gated model of an organisation, and mia, whom nobody has accepted yet."""
    with LocalHub(requests=0, repos=1) as local:
        local.add_people([{"username": "mia"}])
        yield local


@pytest.fixture
def world() -> Iterator[World]:
    with LocalHub(requests=0, repos=1, people=PEOPLE) as local:
        repo = local.repos[0]["repo"]
        with Hub(local.tokens["owner"], local.url, timeout=2.0) as owner:
            yield World(local, repo, owner)
