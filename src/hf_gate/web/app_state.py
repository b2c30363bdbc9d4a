"""Holds the state that all pages share: workspace, policies, tray, members and what runs in threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from .. import bootstrap
from ..application import keys
from ..application.evaluation import RepoPolicies, StandingVerdicts
from ..application.evaluation_pool import EvaluationPool
from ..application.members import Membership
from ..application.policy_bundle import PolicyBundle, load_policies
from ..application.tray import TrayService
from ..application.workspace import CONFIG_FILE, Workspace
from ..domain.members import Member
from ..domain.rows import RepoRow
from ..errors import HfGateError, UsageError
from ..hub.local_world import get_world_id
from .draft_pool import Drafts
from .making import PlanMaker
from .one_time import OneTimeCodes
from .presence import Presence
from .run_worker import RunWorker

_LOOK: Final = 2.0  # seconds between two checks of the workspace's files
_WATCHED: Final = 180.0  # seconds


@dataclass(slots=True)
class SyncStatus:
    """The state of the last sync. The keeper writes it, and every page shows it."""

    read_at: datetime | None = None
    next_at: datetime | None = None
    problem: str | None = None
    is_reading: bool = False


@dataclass
class AppState:
    """The state of one desk in this process. `hold`: how many seconds a decision stays in the tray."""

    workspace: Workspace
    owner: str
    hold: float = 10.0
    url: str = ""
    owner_id: str | None = None  # the owner's account id on the Hub; see `membership`
    token_role: str | None = None  # the Hub's word for it: write, read or fineGrained
    sync_status: SyncStatus = field(default_factory=SyncStatus)
    wake: threading.Event = field(default_factory=threading.Event)
    read_now: Callable[[], None] = lambda: None
    presence: Presence = field(default_factory=Presence)
    streams: Counter[str] = field(default_factory=Counter)  # open event streams of run pages, by member
    sending: threading.RLock = field(
        default_factory=threading.RLock
    )  # held from checking a limit to storing what it allows
    drafts: Drafts = field(default_factory=Drafts)
    account_codes: OneTimeCodes = field(default_factory=OneTimeCodes)
    membership: Membership = field(init=False)
    run_worker: RunWorker = field(init=False)
    plan_maker: PlanMaker = field(init=False)
    _pool: tuple[PolicyBundle, EvaluationPool] | None = None
    _looked_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: tuple[float, object] = (0.0, None)
    _policies: PolicyBundle | None = None
    policy_problem: HfGateError | None = None
    _courts: dict[str, tuple[object, RepoPolicies | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.membership = Membership(self.workspace, self.owner, self.owner_id)
        self.run_worker, self.plan_maker = RunWorker(self), PlanMaker(self)

    # ---- fixed things ------------------------------------------------------------------------------------------------

    @cached_property
    def tray_service(self) -> TrayService:
        return TrayService(self.workspace, self.membership, self.sending)

    @property
    def title(self) -> str:
        """The names of the Hub and the workspace, for the footer of each page."""
        desk = "" if self.workspace.location.folder is None else f" · desk {self.workspace.location.folder.name}"
        return f"{bootstrap.hub_name(self.workspace.settings)}{desk}"

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

    @property
    def is_watched(self) -> bool:
        """Whether a page was opened in the last three minutes."""
        return self._looked_at is not None and time.monotonic() - self._looked_at < _WATCHED

    def looked_at(self) -> None:
        """Record that a page was opened. After a pause the Hub is read at once."""
        was, self._looked_at = self.is_watched, time.monotonic()
        if not was:
            self.read_now()

    # ---- policies, as the files have them now ------------------------------------------------------------------------

    @property
    def policies(self) -> PolicyBundle | None:
        """The policies as the files have them now; None without a workspace, or if a file is wrong (see `policy_problem`)."""
        folder = self.workspace.location.folder
        if folder is None:
            return None
        with self._lock:
            if time.monotonic() - self._seen[0] >= _LOOK:
                state = _state_of(folder, self.workspace.location.config.policies)
                if (state, self._accepted_row_counts()) != self._seen[1]:
                    self._load_policies()
                self._seen = (time.monotonic(), (state, self._accepted_row_counts()))
            return self._policies

    def policy_problem_for(self, member: Member) -> HfGateError | None:
        """Return why the policies cannot be read; a member of some repos learns nothing of a file that may be of others."""
        return None if self.policy_problem is None else told_to(member, self.policy_problem)

    @property
    def standing_verdicts(self) -> StandingVerdicts:
        """The recorded verdicts that the current policies still stand behind."""
        bundle = self.policies
        return StandingVerdicts(None if bundle is None else bundle.policies)

    def _accepted_row_counts(self) -> tuple[str | None, ...]:
        """Return the stored row count of each refused table; it changes when a person accepts the table."""
        tables = [] if self._policies is None else sorted(self._policies.tables.items())
        return tuple(self.workspace.store.setting(keys.rows(name)) for name, table in tables if table.refusal)

    def _load_policies(self) -> None:
        self._courts.clear()
        try:
            self._policies, self.policy_problem = load_policies(self.workspace), None
        except HfGateError as problem:
            self._policies, self.policy_problem = None, problem

    def pool(self, bundle: PolicyBundle) -> EvaluationPool:
        """Return the pool that evaluates long lists; its processes are reused."""
        if self._pool is None or self._pool[0] is not bundle:
            self._pool = (bundle, EvaluationPool(self.workspace, bundle))
        return self._pool[1]

    def repo_policies(self, row: RepoRow) -> RepoPolicies | None:
        """Return what evaluates a repo's requests; cached for each version of policies and form."""
        bundle = self.policies
        if bundle is None:
            return None
        key = (id(bundle), row.form_card)
        known = self._courts.get(str(row.repo))
        if known is None or known[0] != key:
            known = (key, bundle.for_repo(row, self.workspace.sources))
            self._courts[str(row.repo)] = known
        return known[1]


def told_to(member: Member, problem: HfGateError) -> HfGateError:
    """Return a problem with a file of the workspace as this member may see it."""
    if member.repos is None:
        return problem
    return UsageError("A file of the workspace has a fault.", hint="Ask somebody who sees all repos.")


def _state_of(folder: Path, globs: Sequence[str]) -> tuple[object, ...]:
    """Return names, times and sizes of the workspace's files, to detect changes."""
    files = [folder / CONFIG_FILE, *(file for glob in globs for file in sorted(folder.glob(glob)))]
    files += sorted(folder.glob("tables/*"))
    found = []
    for file in files:
        try:
            told = file.stat()
        except OSError:
            continue
        found.append((str(file), told.st_mtime_ns, told.st_size))
    return tuple(found)
