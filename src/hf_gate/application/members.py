"""The people who may use the desk: who they are, what they see, and what one of them may decide alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cached_property, lru_cache

from ..domain.ids import Repo
from ..domain.members import Member, MemberRole, RunAuthor
from ..domain.moments import to_ms
from ..domain.rows import RepoRow, RequestRow, RunRow
from ..domain.tray import QueuedDecision
from ..errors import Guarded
from ..policy.literals import glob_matches
from . import keys
from .decide import DecisionSender
from .second_person import Need, Team, need_of, need_to_resume, owner_member, team_of
from .workspace import Workspace


class Membership:
    """The owner of the token and the members of a workspace. `owner_id`: the owner's account id on the Hub."""

    def __init__(self, workspace: Workspace, owner: str, owner_id: str | None = None) -> None:
        self.workspace, self.owner, self.owner_id = workspace, owner, owner_id

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
        namesake = self.workspace.members.find_by_name(self.owner)
        if namesake is not None and namesake.has_link:
            self.revoke(namesake, self.owner)

    def find(self, name: str) -> Member | None:
        """Return a member who may sign in now, by name: the token's owner, or an invited member with a link."""
        if name == self.owner:
            return self.owner_member
        found = self.workspace.members.find_by_name(name)
        return found if found is not None and found.has_link else None

    def find_by_id(self, ident: str | None) -> Member | None:
        """Return a member who may sign in now, by id."""
        if ident == self.owner_member.id:
            return self.owner_member
        found = None if ident is None else self.workspace.members.of_id(ident)
        return found if found is not None and found.has_link else None

    def invite(self, member: Member, secret: str, by: str | None = None) -> Member:
        """Invite a member by a link. `by`: the actor in the ledger; the owner if None."""
        return self.workspace.members.invite(member, secret, by or self.owner, to_ms(self.workspace.now()))

    def revoke(self, member: Member, by: str | None = None) -> None:
        """Revoke a member: delete link, sessions, views, selection and unsent decisions. Their runs stop."""
        at = to_ms(self.workspace.now())
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

    def may_decide(self, item: QueuedDecision, row: RequestRow) -> bool:
        """Whether a decision may be sent: its member may still decide at the repo, and it is not about their own request."""
        member, who = self.find_by_id(item.member), row.person.identity
        return (
            member is not None
            and member.role.covers(MemberRole.REVIEWER)
            and self.sees(member, row.repo)
            and not member.is_own(who.username, who.user_id)
        )

    def may_continue(self, run: RunRow) -> bool:
        """Whether a run's member may still decide at all its repos. Runs of commands and of the owner go on."""
        if run.member is None or run.member.startswith("owner:"):
            return True
        member = self.find_by_id(run.member)
        if member is None or not member.role.covers(MemberRole.REVIEWER):
            return False
        return all(self.sees(member, repo) for repo in self.workspace.plans_and_runs.repos(run.id))

    # ---- a second person ---------------------------------------------------------------------------------------------

    def team(self, member: Member) -> Team:
        """Return who else can decide now, seen from this member."""
        return team_of(self.workspace.store, member, self.workspace.now())

    def need(self, member: Member, new: Mapping[str, int], *, whole: int = 0, agreed: Collection[str] = ()) -> Need:
        """Return whether a member needs a second person for these changes, counted by verb."""
        now, team = self.workspace.now(), self.team(member)
        return need_of(self.workspace.store, team, new, self.workspace.tray.waiting(), now, whole=whole, agreed=agreed)

    def need_to_resume(self, member: Member, run: RunRow) -> Need:
        """Return whether a member needs a second person to resume a run."""
        return need_to_resume(
            self.workspace.store, self.team(member), run, self.workspace.tray.waiting(), self.workspace.now()
        )

    def check_limit(self, member: Member, verb: str, count: int) -> None:
        """Raise Guarded if these decisions exceed what one person may send alone."""
        need = self.need(member, {verb: count})
        if need.is_large:
            raise Guarded(
                f"Nothing was decided. {need.why}",
                hint=f"Select them and press {verb.capitalize()}: that makes a plan. {need.team.next_step()}",
            )

    def decision_sender(self, actor: str, member: str | None = None) -> DecisionSender:
        """Return what sends decisions for an actor. `member`: the id of the member who decides."""
        found = self.find_by_id(member)
        author = RunAuthor(member=member)
        if found is not None:
            is_free = team_of(self.workspace.store, found, self.workspace.now()).is_alone
            author = RunAuthor(member=member, account=found.proven_account, is_free=is_free)
        return DecisionSender(
            self.workspace.store, self.workspace.hub, self.workspace.clock, self.workspace.zone, actor, author=author
        )


@lru_cache(8192)
def _names(globs: tuple[str, ...] | None, repo: Repo) -> bool:
    """Whether a glob matches the repo; None matches every repo."""
    return globs is None or any(glob_matches(glob, repo) for glob in globs)
