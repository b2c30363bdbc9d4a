"""A store that follows one repo of a local Hub through the application's sync."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_gate import AccessRequest, Hub
from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.events.events import AnyEvent, decode_event
from hf_gate.core.ports import HubPort
from hf_gate.core.stored_rows import RequestRow
from hf_gate.hub.drivers.clock import HubClock
from hf_gate.requests.service.sync import SyncResult, sync_repo
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.store.store import Store
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store


@dataclass
class SyncedStore:
    """One repo of a local Hub, and the store that follows it."""

    local: LocalHub
    hub: Hub
    store: Store
    repo: Repo
    file: Path

    def read(self, kind: SyncKind, hub: HubPort | None = None, **more: Any) -> SyncResult:
        return sync_repo(
            hub or self.hub,
            self.store,
            HubClock(self.hub.endpoint, lambda: self.hub),
            self.repo,
            kind,
            actor="lena",
            **more,
        )

    def full(self, **more: Any) -> SyncResult:
        return self.read(SyncKind.FULL, **more)

    def quick(self, **more: Any) -> SyncResult:
        return self.read(SyncKind.QUICK, **more)

    def ask(self, *names: str, **answers: str) -> None:
        """These people ask; who is not there yet is made."""
        new = [name for name in names if name not in self.local.tokens]
        self.local.add_people([{"username": name} for name in new])
        kind = self.repo.type.value
        lines = [{"repo": self.repo.id, "repo_type": kind, "user": name, "answers": answers} for name in names]
        self.local.add_requests(lines)

    def withdraw(self, name: str) -> None:
        """This person takes the request back."""
        with Hub(self.local.tokens[name], self.local.url) as hub:
            hub.withdraw(self.repo)

    def calls(self) -> int:
        """How many pages were asked for so far."""
        return int(self.local.stats()["calls"].get("GET list", 0))

    def row(self, name: str) -> RequestRow:
        """Somebody's latest request."""
        found = [
            row for status in ("pending", "accepted", "rejected", "reset", "withdrawn") for row in self.rows(status)
        ]
        return next(row for row in found if row.person.identity.username == name)

    def rows(self, status: str) -> list[RequestRow]:
        return list(self.store.iterate_requests(self.repo, status))

    def status(self, name: str) -> str:
        return self.row(name).state.status

    def events(self) -> list[AnyEvent]:
        """The chain of the repo, oldest first."""
        return [decode_event(link.body) for link in self.store.links(f"{self.repo.type.value}s/{self.repo.id}")]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events()]


@contextmanager
def open_synced_store(
    folder: Path, country_of: Callable[[AccessRequest], str | None] = lambda _: None, **made: Any
) -> Iterator[SyncedStore]:
    """A desk at the first repo of a local Hub made so."""
    with LocalHub(**{"requests": 0, "repos": 1} | made) as local, Hub(local.tokens["owner"], local.url) as hub:
        line = local.repos[0]
        store = open_store(folder / "desk.db", endpoint=local.url, country_of=country_of)
        try:
            yield SyncedStore(local, hub, store, parse_repo(line["repo"], line["repo_type"]), folder / "desk.db")
        finally:
            store.close()
