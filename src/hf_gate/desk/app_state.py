"""The state that all pages share: workspace, policies, tray, members and threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

from msgspec import Struct

from hf_gate.base.network_hosts import PUBLIC_HUB
from hf_gate.base.timestamps import to_ms
from hf_gate.core.queued_decisions import QueuedDecision
from hf_gate.core.stored_rows import ProcessRow
from hf_gate.decisions.service.tray import TrayService
from hf_gate.desk.decisions.plan_maker import PlanMaker
from hf_gate.desk.decisions.run_worker import RunWorker
from hf_gate.desk.members.hub_sign_in import HubSignIn
from hf_gate.desk.policies.verdict_cache import ShownVerdicts
from hf_gate.grants.service.ends.terms_reader import TermsReader
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.members.service.members import Membership
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.rows.tray import schedule_decisions
from hf_gate.verdicts.service.policy_watcher import PolicyWatcher
from hf_gate.workspace.service import bootstrap

LOCAL_HOLD: Final = 10.0  # seconds to undo a decision at a desk that only this machine can reach
SHARED_HOLD: Final = 30.0  # and at one that others can reach, where a page takes longer
_IN_USE: Final = 180.0  # seconds


class SyncStatus(Struct):
    """The state of the last sync. The background worker writes it, and every page shows it.

    `programs_wait_until`: before this time, a program that wants a sync waits for the next one.
    """

    synced_at: datetime | None = None
    next_at: datetime | None = None
    problem: str | None = None
    is_syncing: bool = False
    programs_wait_until: datetime | None = None


@dataclass
class AppState:
    """The state of one desk in this process. `hold`: seconds that a decision stays in the tray."""

    workspace: Workspace
    owner: str
    hold: float = LOCAL_HOLD
    url: str = ""
    owner_id: str | None = None  # the owner's account id on the Hub; see `membership`
    token_role: str | None = None  # as the Hub names it: write, read or fineGrained
    sync_status: SyncStatus = field(default_factory=SyncStatus)
    token_problem: str | None = None  # why this desk can send nothing
    wake: threading.Event = field(default_factory=threading.Event)
    request_sync: Callable[[], None] = lambda: None
    verdicts: ShownVerdicts = field(default_factory=ShownVerdicts)
    hub_sign_in: HubSignIn = field(default_factory=HubSignIn)
    membership: Membership = field(init=False)
    terms_reader: TermsReader = field(init=False)
    tray_service: TrayService = field(init=False)
    policies: PolicyWatcher = field(init=False)
    run_worker: RunWorker = field(init=False)
    plan_maker: PlanMaker = field(init=False)
    _visited_at: float | None = None

    def __post_init__(self) -> None:
        """Store the owner. Raises NotAllowed if this account may not become the owner."""
        self.membership = Membership(self.workspace, self.owner, self.owner_id)
        self.membership.admit_owner()
        self.policies = PolicyWatcher(self.workspace)
        self.terms_reader = TermsReader(
            self.workspace, self.policies.require_for_repo, read_bundle=lambda: self.policies.current
        )
        self.tray_service = TrayService(self.workspace, self.membership, self.terms_reader)
        self.run_worker = RunWorker(self.workspace, self.membership)
        self.plan_maker = PlanMaker(self.workspace, self.policies)

    def announce(self) -> None:
        """Let other processes of the store see this desk and the files that it uses."""

        def describe() -> ProcessRow:
            token = bootstrap.fingerprint_token(self.workspace.settings) or ""
            bundle = self.policies.last_bundle
            return ProcessRow(role="desk", digest="" if bundle is None else bundle.files_digest, token=token)

        self.workspace.store.announce(describe)

    def close(self) -> None:
        """Pause the current run after its batch, and start no other."""
        self.run_worker.stop()

    @property
    def title(self) -> str:
        """The names of the Hub and the workspace, for the footer of each page."""
        folder = self.workspace.location.folder
        where = "" if folder is None else f" · workspace {folder.name}"
        return f"{bootstrap.name_of_hub(self.workspace.settings)}{where}"

    @property
    def hub_title(self) -> str:
        """What people call the Hub."""
        is_public = bootstrap.endpoint_of(self.workspace.settings) == PUBLIC_HUB
        return "Hugging Face" if is_public else "the local Hub" if self.is_local else "the Hub"

    @property
    def is_https(self) -> bool:
        """Whether the desk is served over HTTPS."""
        return self.url.startswith("https:")

    @cached_property
    def is_local(self) -> bool:
        """Whether the Hub is a local one, with invented people."""
        return get_world_id(self.workspace.store.endpoint) is not None

    def now(self) -> datetime:
        """Return the current time by the Hub client's clock."""
        return self.workspace.clock.now()

    def send_now(self, items: Iterable[QueuedDecision]) -> int:
        """Let the background worker send unsent decisions at once; return how many leave."""
        count = schedule_decisions(self.workspace.store, [item.run.id for item in items], to_ms(self.now()))
        self.wake.set()
        return count

    @property
    def is_in_use(self) -> bool:
        """Whether a page was opened in the last three minutes."""
        return self._visited_at is not None and time.monotonic() - self._visited_at < _IN_USE

    def record_visit(self) -> None:
        """Record that a page was opened. After a pause, sync at once."""
        was = self.is_in_use
        self._visited_at = time.monotonic()
        if not was:
            self.request_sync()
