"""Functions that a forked process runs to die at a named point of a run, a migration or a checkpoint."""

from __future__ import annotations

import importlib
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hf_gate.approvals.service.approvals import ApprovalCheck
from hf_gate.base.ids import Repo
from hf_gate.config import Flags
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.service.runs.run_executor import RunExecutor
from hf_gate.ledger.service.ledger_files import store_checkpoint
from hf_gate.settings.service.workspace import Workspace, WorkspaceLocation
from hf_gate.settings.workspace_config import WorkspaceConfig
from hf_gate.store.database.schema import create_schema, list_revisions, upgrade_schema
from hf_gate.store.sql import Sqlite
from hf_gate.store.store import Store
from hf_gate.workspace.service.bootstrap import read_process_settings
from tests.kits.faulty_stores import WRONG_EXECUTORS, FailingStore, HalfSettlingStore, WrappedHub

ENDPOINT: Final = "https://huggingface.co"
_HEAVY: Final = (
    "hf_gate.command_line.decisions.plan", "hf_gate.command_line.automation.run", "hf_gate.command_line.decisions.runs", "hf_gate.command_line.decisions.decide", "hf_gate.command_line.requests.sync", "hf_gate.hub.client",
    "hf_gate.verdicts.service.evaluation_pool", "hf_gate.store.database.schema", "hf_gate.requests.service.sync", "hf_gate.decisions.service.decision_sender", "http.client", "zoneinfo",
    "huggingface_hub.errors",
)  # fmt: skip


def preload() -> None:
    """Imports what takes long, once for all children."""
    for name in _HEAVY:
        importlib.import_module(name)


def die() -> None:
    """Here and now, as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


class DeathError(BaseException):
    """Never seen: the process is gone before it is raised."""

    def __init__(self) -> None:
        super().__init__()
        die()


@contextmanager
def open_desk() -> Iterator[tuple[Store, Any, Any]]:
    """Store, Hub and clock of the desk in this folder."""
    from hf_gate.workspace.service import bootstrap

    settings = bootstrap.read_process_settings(Flags())
    with (
        bootstrap.Connection(settings) as connection,
        bootstrap.connect_workspace(connection, bootstrap.read_location(settings)) as workspace,
    ):
        yield workspace.store, workspace.hub, workspace.clock


def find_latest_run(store: Store) -> RunRow:
    """The run that is under way."""
    return store.runs()[0]


# ---- named points ------------------------------------------------------------------------------------------------------


def before_intent() -> None:
    """The first transaction is the one of the intents."""
    _execute(store=lambda store: FailingStore(store, 1, "before", DeathError))


def within_intent() -> None:
    _execute(store=lambda store: FailingStore(store, 1, "in", DeathError))


def after_intent() -> None:
    """On the disk, and nothing sent."""
    _execute(store=lambda store: FailingStore(store, 1, "after", DeathError))


def after_reply() -> None:
    """The Hub said so, and nothing of that is written."""
    _execute(hub=_DeadAtReply)


def between_outcome_and_projection() -> None:
    _execute(store=lambda store: HalfSettlingStore(store, die))


def after_outcome() -> None:
    _execute(store=lambda store: FailingStore(store, 2, "after", DeathError))


def in_ledger_checkpoint() -> None:
    """Between the heads and the row that keeps them."""
    with open_desk() as (store, _, clock):
        store_checkpoint(FailingStore(store, 1, "in", DeathError), clock.now())


def in_wal_checkpoint() -> None:
    """Every commit copies the log into the file; whoever is killed meanwhile is killed there."""
    with open_desk() as (store, hub, clock):
        store._writes.raw.execute("PRAGMA wal_autocheckpoint = 1")  # type: ignore[union-attr]
        _make_executor("", store, hub, clock).execute(find_latest_run(store))


class _DeadAtReply(WrappedHub):
    def decide_many(self, repo: Repo, decisions: Any) -> Iterator[Any]:
        for _ in self._hub.decide_many(repo, decisions):
            die()
            yield


def later_migrations(path: Path) -> Path:
    """The migrations of an hf-gate that has one more, of many statements, beside a store."""
    from tests.kits.stores import add_migration

    folder = path.with_name("migrations")
    return folder if folder.exists() else add_migration(folder, _LATER)


_LATER: Final = "".join(f"CREATE TABLE later_{n} (id INTEGER);\n" for n in range(10))


def make_store(path: str, at: int) -> None:
    """A store is made, up to its n-th statement."""
    db = _dying(path, at)
    create_schema(db, {"endpoint": ENDPOINT})
    db.close()


def upgrade_store(path: str, at: int) -> None:
    """A store of today is brought up to a later revision, up to its n-th statement."""
    db = _dying(path, at)
    upgrade_schema(db, Path(path), list_revisions()[-1], later_migrations(Path(path)))
    db.close()


def _dying(path: str, at: int) -> Sqlite:
    db, left = Sqlite(Path(path), writes=True), iter(range(1, at))

    def count(_: str) -> None:
        if next(left, None) is None:
            die()

    db.raw.set_trace_callback(count)
    return db


# ---- carried by one that forgets a duty, or on a small disk ------------------------------------------------------------


def execute_wrongly(name: str) -> None:
    with open_desk() as (store, hub, clock):
        _make_executor(name, store, hub, clock).execute(find_latest_run(store))


def execute_on_small_disk(most: int) -> int:
    """No byte can be written behind the `most`th of any file: what the system says of that is real."""
    with open_desk() as (store, hub, clock):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        try:
            _make_executor("", store, hub, clock).execute(find_latest_run(store))
        except Exception as problem:  # noqa: BLE001 - told as the program tells it
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(f"{type(problem).__name__}: {problem}", flush=True)  # noqa: T201 - read by the test
            return getattr(problem, "exit_code", 70)
    return 0


def _execute(store: Callable[[Store], Any] = lambda s: s, hub: Callable[[Any], Any] = lambda h: h) -> None:
    with open_desk() as (real, client, clock):
        _make_executor("", store(real), hub(client), clock).execute(find_latest_run(real))


def _make_executor(name: str, store: Any, hub: Any, clock: Any) -> RunExecutor:
    from zoneinfo import ZoneInfo

    made: type[RunExecutor] = WRONG_EXECUTORS.get(name, RunExecutor)
    workspace = Workspace(
        read_process_settings(Flags()),
        WorkspaceLocation(None, WorkspaceConfig()),
        store,
        clock=clock,
        open_hub=lambda: hub,
    )
    return made(store, hub, clock, ZoneInfo("UTC"), ApprovalCheck(workspace))


def drain_notices(path: str, url: str, key: str, at: int, count: int) -> int:
    """Queue some notices, each with its entry in the ledger, and send what is due; the time is given."""
    from hf_gate.base.timestamps import from_ms
    from hf_gate.core.events import events as e
    from hf_gate.core.letters.notices import DEFAULT_MODES, ChannelKind, Destination
    from hf_gate.messages.channels.webhook import Webhook
    from hf_gate.messages.service.message_sending import NoticeLane, drain
    from hf_gate.workspace.rows.opening import open_store

    class StandingClock:
        def now(self) -> datetime:
            return from_ms(at)

        def sleep(self, seconds: float) -> None:
            raise AssertionError(seconds)

    team = Destination(name="team", kind=ChannelKind.WEBHOOK, modes=DEFAULT_MODES)
    with open_store(path, endpoint=ENDPOINT) as store:
        for _ in range(count):
            with store.writing() as write:
                write.append(None, [e.LedgerEntry(event=e.UnattendedStopped(), at=at, actor="lena")])
        clock = StandingClock()
        drain(store, [NoticeLane(store, team, lambda _: Webhook("team", url, key), clock, UTC)], clock)
    return 0
