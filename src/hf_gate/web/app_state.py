"""Holds the state that all pages share: workspace, policies, tray, members and what runs in threads."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from .. import bootstrap
from ..application import keys
from ..application.decide import Direct
from ..application.evaluation_pool import EvaluationPool
from ..application.judging import RepoPolicies, StandingVerdicts
from ..application.policy_bundle import PolicyBundle, load_policies
from ..application.second_person import Need, Team, need_of, need_to_resume, owner_member, team_of
from ..application.tray import DecisionRequest, TrayService
from ..application.workspace import CONFIG_FILE, Workspace
from ..domain.ids import Repo
from ..domain.members import Member, MemberRole, RunAuthor
from ..domain.moments import to_ms
from ..domain.rows import RepoRow, RequestRow, RunRow
from ..domain.tray import QueuedDecision
from ..errors import Guarded, HfGateError, UsageError
from ..hub.local_world import get_world_id
from ..policy.literals import glob_matches
from .draft_pool import Drafts
from .making import PlanMaker
from .one_time import OneTimeCodes
from .presence import Presence
from .run_worker import RunWorker

_LOOK: Final = 2.0  # seconds between two checks of the workspace's files
_WATCHED: Final = 180.0  # seconds
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(letter: str = "r") -> str:
    """Return a letter, `_` and 12 random characters, without those that look alike."""
    return f"{letter}_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))


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
    owner_id: str | None = None  # the owner's account id on the Hub
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
        self.run_worker, self.plan_maker = RunWorker(self), PlanMaker(self)

    # ---- fixed things ------------------------------------------------------------------------------------------------

    @cached_property
    def tray_service(self) -> TrayService:
        return TrayService(
            self.workspace.store, self.workspace.tray, self.direct, new_id, self._may_decide, self._limit, self.sending
        )

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

    def direct(self, actor: str, member: str | None = None) -> Direct:
        """Return what sends decisions for an actor. `member`: the id of the member who decides."""
        found = self.member_of_id(member)
        author = RunAuthor(member=member)
        if found is not None:
            is_free = team_of(self.workspace.store, found, self.now()).is_alone
            author = RunAuthor(member=member, account=found.proven_account, is_free=is_free)
        return Direct(
            self.workspace.store, self.workspace.hub, self.workspace.clock, self.workspace.zone, actor, author=author
        )

    @property
    def is_watched(self) -> bool:
        """Whether a page was opened in the last three minutes."""
        return self._looked_at is not None and time.monotonic() - self._looked_at < _WATCHED

    def looked_at(self) -> None:
        """Record that a page was opened. After a pause the Hub is read at once."""
        was, self._looked_at = self.is_watched, time.monotonic()
        if not was:
            self.read_now()

    # ---- people ------------------------------------------------------------------------------------------------------

    @cached_property
    def owner_member(self) -> Member:
        """The account whose token the desk uses. The Hub named it, so it is proven."""
        return owner_member(self.owner, self.owner_id)

    def admit_owner(self) -> None:
        """Store who the owner is. A member invited under the owner's name is another person and is revoked."""
        told = json.dumps({"name": self.owner, "user_id": self.owner_id})
        if self.workspace.store.setting(keys.OWNER) != told:
            with self.workspace.store.writing() as write:
                write.setting(keys.OWNER, told)
        namesake = self.workspace.members.named(self.owner)
        if namesake is not None and namesake.has_link:
            self.put_out(namesake, self.owner)

    def member(self, name: str) -> Member | None:
        """Return a member who may sign in now, by name: the token's owner, or an invited member with a link."""
        if name == self.owner:
            return self.owner_member
        found = self.workspace.members.named(name)
        return found if found is not None and found.has_link else None

    def member_of_id(self, ident: str | None) -> Member | None:
        """Return a member who may sign in now, by id."""
        if ident == self.owner_member.id:
            return self.owner_member
        found = None if ident is None else self.workspace.members.of_id(ident)
        return found if found is not None and found.has_link else None

    def invite(self, member: Member, secret: str, by: str | None = None) -> Member:
        """Invite a member by a link. `by`: the actor in the ledger; the owner if None."""
        return self.workspace.members.invite(member, secret, by or self.owner, to_ms(self.now()))

    def put_out(self, member: Member, by: str | None = None) -> None:
        """Revoke a member: delete link, sessions, views, selection and unsent decisions. Their runs stop."""
        at = to_ms(self.now())
        self.workspace.members.revoke(member, by or self.owner, at)
        self.workspace.tray.take_back(
            [item.id for item in self.workspace.tray.waiting() if item.member == member.id], at
        )
        self.workspace.selections.clear(f"s_{member.id}")

    def repos(self, member: Member) -> list[RepoRow]:
        """Return the repos that a member may see, sorted by name."""
        return [row for row in self.workspace.store.repos() if self.sees(member, row.repo)]

    def sees(self, member: Member, repo: Repo) -> bool:
        """Whether the workspace covers a repo and the member may see it."""
        ours = None if self.workspace.location.folder is None else self.workspace.location.config.repos
        return _names(ours, repo) and _names(member.repos, repo)

    def _may_decide(self, item: QueuedDecision, row: RequestRow) -> bool:
        """Whether a decision may be sent: its member may still decide at the repo, and it is not about their own request."""
        member, who = self.member_of_id(item.member), row.person.identity
        return (
            member is not None
            and member.role.covers(MemberRole.REVIEWER)
            and self.sees(member, row.repo)
            and not member.is_own(who.username, who.user_id)
        )

    def may_go_on(self, run: RunRow) -> bool:
        """Whether a run's member may still decide at all its repos. Runs of commands and of the owner go on."""
        if run.member is None or run.member.startswith("owner:"):
            return True
        member = self.member_of_id(run.member)
        if member is None or not member.role.covers(MemberRole.REVIEWER):
            return False
        return all(self.sees(member, repo) for repo in self.workspace.plans_and_runs.repos(run.id))

    # ---- a second person ---------------------------------------------------------------------------------------------

    def team(self, member: Member) -> Team:
        """Return who else can decide now, seen from this member."""
        return team_of(self.workspace.store, member, self.now())

    def need(self, member: Member, new: Mapping[str, int], *, whole: int = 0, agreed: Collection[str] = ()) -> Need:
        """Return whether a member needs a second person for these changes, counted by verb."""
        now, team = self.now(), self.team(member)
        return need_of(self.workspace.store, team, new, self.workspace.tray.waiting(), now, whole=whole, agreed=agreed)

    def need_to_resume(self, member: Member, run: RunRow) -> Need:
        """Return whether a member needs a second person to resume a run."""
        return need_to_resume(self.workspace.store, self.team(member), run, self.workspace.tray.waiting(), self.now())

    def _limit(self, wish: DecisionRequest, count: int) -> None:
        """Raise Guarded if these decisions exceed what one person may send alone."""
        need = self.need(wish.by, {wish.verb: count})
        if need.is_large:
            raise Guarded(
                f"Nothing was decided. {need.why}",
                hint=f"Select them and press {wish.verb.capitalize()}: that makes a plan. {need.team.next_step()}",
            )

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
                if (state, self._accepted()) != self._seen[1]:
                    self._read()
                self._seen = (time.monotonic(), (state, self._accepted()))
            return self._policies

    def policy_problem_for(self, member: Member) -> HfGateError | None:
        """Return why the policies cannot be read; a member of some repos learns nothing of a file that may be of others."""
        return None if self.policy_problem is None else told_to(member, self.policy_problem)

    @property
    def standing_verdicts(self) -> StandingVerdicts:
        """The recorded verdicts that the current policies still stand behind."""
        bundle = self.policies
        return StandingVerdicts(None if bundle is None else bundle.policies)

    def _accepted(self) -> tuple[str | None, ...]:
        """Return the stored row count of each refused table; it changes when a person accepts the table."""
        tables = [] if self._policies is None else sorted(self._policies.tables.items())
        return tuple(self.workspace.store.setting(keys.rows(name)) for name, table in tables if table.refusal)

    def _read(self) -> None:
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


@lru_cache(8192)
def _names(globs: tuple[str, ...] | None, repo: Repo) -> bool:
    """Whether a glob matches the repo; None matches every repo."""
    return globs is None or any(glob_matches(glob, repo) for glob in globs)


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
