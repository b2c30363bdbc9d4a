"""Desks on several machines with one PostgreSQL: each says whether its policies are those of the loop that leads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from hf_gate.base.ids import parse_repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.config import Flags, read_settings
from hf_gate.core.stored_rows import ProcessRow
from hf_gate.decisions.pages.background_worker import BackgroundWorker
from hf_gate.errors import Guarded
from hf_gate.members.pages.sign_in import Authenticator
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.store.leases import LeaseKeeper
from hf_gate.store.rows.processes import read_processes
from hf_gate.store.write_lock import Holder, Work
from hf_gate.testing import LocalHub
from hf_gate.verdicts.service.policy_watcher import require_common_files
from hf_gate.web.app import build_desk_app
from hf_gate.web.app_state import AppState
from hf_gate.workspace.service import bootstrap
from tests.kits.desk import GOOD, HOST, POLICY, Desk, write_desk
from tests.kits.manual_clock import ManualClock
from tests.kits.stores import new_schema


@dataclass
class Balanced:
    """Desks behind a balancer that ends TLS, each with its own files."""

    hub: LocalHub
    folder: Path
    url: str
    opened: ExitStack

    def open(self, name: str, policy: str = POLICY, more: str = "") -> Desk:
        folder = self.folder / name
        write_desk(folder, self.hub, policy, f"store: {self.url}\n{more}")
        settings = read_settings(
            Flags(endpoint=self.hub.url, token=self.hub.tokens["owner"], workspace=str(folder)), {}, folder
        )
        connection = self.opened.enter_context(bootstrap.Connection(settings))
        location = bootstrap.read_location(settings)
        workspace = bootstrap.connect_workspace(connection, location, lends=True, command="hf-gate ui")
        self.opened.enter_context(workspace)
        workspace.clock = ManualClock(from_ms(to_ms(workspace.clock.now())))
        app_state = AppState(workspace, "lena-brandt", 10.0, f"https://{HOST}", owner_id=workspace.hub.whoami().id)
        door = Authenticator(app_state, "desk", is_https=True)
        self.opened.callback(app_state.close)
        line = self.hub.repos[0]
        app = build_desk_app(app_state, door, frozenset({HOST}))
        return Desk(self.hub, app_state, app, door, parse_repo(line["repo"], line["repo_type"]))

    def lead(self, digest: str, host: str = "gate-1") -> LeaseKeeper:
        """A loop of another machine that leads."""
        keeper = self.opened.enter_context(closing(LeaseKeeper(self.url, Holder(7, host, "hf-gate run"))))
        keeper.announce(lambda: ProcessRow(role="loop", digest=digest, token="t"))
        assert keeper.try_acquire(Work.LOOP)
        return keeper


@pytest.fixture
def balanced(tmp_path: Path, postgres_uri: str) -> Iterator[Balanced]:
    with LocalHub(requests=0, repos=1) as hub, ExitStack() as opened:
        yield Balanced(hub, tmp_path, new_schema(postgres_uri), opened)


def _count_evaluated(desk: Desk) -> int:
    return desk.app_state.workspace.store.reads.count("SELECT count(*) FROM requests WHERE verdict_id IS NOT NULL")


def test_a_desk_with_the_files_of_the_leader_evaluates_and_says_nothing(balanced: Balanced) -> None:
    desk = balanced.open("a")
    bundle = desk.app_state.policies.current
    assert bundle is not None
    balanced.lead(bundle.files_digest)
    assert "uses other files" not in desk.visitor().get("/queue").body
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    BackgroundWorker(desk.app_state, lambda: [desk.repo]).sync_repos()
    assert _count_evaluated(desk) == 1


def test_a_desk_with_other_files_says_so_and_evaluates_and_saves_nothing(balanced: Balanced) -> None:
    desk = balanced.open("a", more="desk: {may_write_policies: true, may_write_tables: true}\n")
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    keeper = balanced.lead("1a2b3c4d" * 8)
    page = desk.visitor().get("/queue").body
    assert "Unattended work uses other files" in page
    assert f"The loop {keeper.id}, which leads, uses other policies or tables (1a2b3c4d) than this desk" in page
    worker = BackgroundWorker(desk.app_state, lambda: [desk.repo])
    worker.sync_repos()
    assert _count_evaluated(desk) == 0
    refused = desk.visitor().post("/plans")
    assert (refused.status, "No plan was made." in refused.body) == (409, True)
    with pytest.raises(Guarded, match=r"Nothing was saved\."):
        require_common_files(desk.app_state.workspace, desk.app_state.policies.current)
    keeper.close()
    assert "uses other files" not in desk.visitor().get("/queue").body
    worker.sync_repos()
    assert _count_evaluated(desk) == 1


def test_where_two_machines_run_a_desk_saves_only_in_a_folder_that_they_share(balanced: Balanced) -> None:
    desk = balanced.open("a", more="desk: {may_write_policies: true}\n")
    bundle = desk.app_state.policies.current
    assert bundle is not None
    desk.app_state.announce()
    require_common_files(desk.app_state.workspace, bundle)
    balanced.lead(bundle.files_digest)
    with pytest.raises(Guarded, match="2 machines use this store"):
        require_common_files(desk.app_state.workspace, bundle)
    shared = balanced.open("b", more="desk: {may_write_policies: true, shared: true}\n")
    require_common_files(shared.app_state.workspace, shared.app_state.policies.current)


def test_processes_are_listed_while_they_live_and_share_the_calls_of_their_token(balanced: Balanced) -> None:
    desk = balanced.open("a")
    desk.app_state.announce()
    store = desk.app_state.workspace.store
    keeper = balanced.lead("d" * 64)
    assert [(one.role, one.host, one.is_leading) for one in read_processes(store)] == [
        ("loop", "gate-1", True),
        ("desk", read_processes(store)[1].host, False),
    ]
    assert store.sharers == 1, "another token"
    other = balanced.open("b")
    other.app_state.announce()
    desk.app_state.announce()
    assert (store.sharers, other.app_state.workspace.store.sharers) == (2, 2)
    keeper.close()
    assert [one.role for one in read_processes(store)] == ["desk", "desk"]
    with store.writing(is_short=True) as write:
        write.db.run("UPDATE processes SET seen_at = seen_at - 20000")
    assert read_processes(store) == []


def test_a_full_sync_is_seen_by_the_other_desk(balanced: Balanced) -> None:
    one, two = balanced.open("a"), balanced.open("b")
    one.ask([{"username": "ada"}], {"Purpose": GOOD})
    two.read(SyncKind.FULL)
    assert one.row("ada").id == two.row("ada").id
