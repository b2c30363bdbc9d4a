"""Decides what members of the desk may see and do, and which changes need a second person."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import format_minute, from_ms, to_ms
from hf_gate.core.events.events import POLICY_ACTOR
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.people.accounts import Account
from hf_gate.core.people.members import (
    KEY_ACTOR,
    MEMBER_NAME,
    OWNER_ID,
    RESERVED_NAMES,
    KeyMember,
    Member,
    MemberOrigin,
    MemberRole,
    RunAuthor,
    make_owner_member,
    owner_of_setting,
)
from hf_gate.core.people.standing import MemberStanding
from hf_gate.core.runs import UNSETTLED, ChangeState, RunKind, RunState
from hf_gate.core.stored_rows import RepoRow, RunRow
from hf_gate.errors import Guarded, NotAllowed, PersonNotFound, Stale, UsageError
from hf_gate.members.rows.api_keys import find_key_by_id, find_key_by_secret, revoke_key
from hf_gate.members.rows.members import (
    admit_member,
    confirm_member,
    find_member,
    find_member_by_id,
    remove_member,
    replace_owner,
)
from hf_gate.requests.rows.selections import delete_selection
from hf_gate.settings import setting_keys
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.rows.ledger import count_ends_changed_outside_runs
from hf_gate.store.rows.runs import read_runs_since
from hf_gate.store.rows.tray import undo_decisions_of
from hf_gate.store.store import Store

SINGLE_PERSON_LIMIT: Final = 500
"""The most changes of one verb that a person may send within `LIMIT_WINDOW` if other admins exist."""
LIMIT_WINDOW: Final = timedelta(hours=24)
_SENT: Final = (ChangeState.DONE, *UNSETTLED)
_MAX_GLOBS: Final = 200  # repos of one member; each page compares them
_MAX_GLOB: Final = 200  # characters
_MAX_USERNAME: Final = 96  # characters
_MAX_STEM: Final = 31  # characters of a username in a member's name


class Team(Struct, frozen=True):
    """The acting member, the other admins and all members.

    `shared_until` is 24 hours after the last removal of an admin.
    """

    me: Member
    others: Sequence[Member]
    all_members: Sequence[Member]
    standing: MemberStanding
    shared_until: datetime | None = None

    @property
    def is_alone(self) -> bool:
        """Whether no other person has been an admin within the last 24 hours."""
        return not self.others and self.shared_until is None

    def approving_accounts(self, accounts: Iterable[str | None]) -> frozenset[str]:
        """Return the accounts (of those given) of members who may decide now and count together."""
        able = {member.account_id for member in self.all_members if member.role.covers(MemberRole.REVIEWER)}
        return frozenset(self.standing.select_people(account for account in accounts if account and account in able))

    def describe_next_step(self, task: str = "open the plan") -> str:
        """Return what to do when a second person is missing. `task` is what that person does before they agree."""
        if self.me.account_id is None:
            return "The Hub names no account for you, so you do not count as one of the two."
        if self.is_alone:
            return f"Ask another member to {task} and agree."
        if self.others:
            return f"Ask {' or '.join(other.name for other in self.others)} to {task} and agree."
        moment = "" if self.shared_until is None else f" or wait until {format_minute(self.shared_until)}"
        return f"You are the only admin, and another admin was removed less than 24 hours ago. Add one{moment}."


class ActQuorum(Struct, frozen=True):
    """Whether changes need two people (`is_large`), whether two have agreed (`is_met`), and `why` two are needed."""

    team: Team
    is_large: bool
    is_met: bool
    why: str

    @property
    def is_open(self) -> bool:
        """Whether a second person is still missing."""
        return self.is_large and not self.is_met

    @property
    def author(self) -> RunAuthor:
        """The author that is stored with a run of these changes."""
        me = self.team.me
        is_free = self.team.is_alone or (self.is_large and self.is_met)
        return RunAuthor(member=me.id or None, account=me.account_id, is_free=is_free)


def read_team(store: Store, me: Member, now: datetime) -> Team:
    """Return the current team of a store."""
    all_members = read_deciders(store)
    others = [member for member in all_members if member.role is MemberRole.ADMIN and not member.is_same_person(me)]
    until = int(store.setting(setting_keys.TEAM_UNTIL) or 0)
    shared_until = from_ms(until) if until > to_ms(now) else None
    return Team(me, others, [*all_members, me], read_standing(store, now), shared_until)


def compute_act_quorum(
    store: Store,
    team: Team,
    counts: Mapping[str, int],
    now: datetime,
    *,
    original_total: int = 0,
    approvers: Collection[str] = (),
    resumed: RunRow | None = None,
) -> ActQuorum:
    """Return the quorum of changes. `counts` is the number of changes by verb (accept, reset, reject, cancel).

    `original_total` is the number of changes before some were excluded,
    `approvers` the accounts that agreed. `resumed` is the run to which the changes belong, with counts of what the run
    has sent.
    """
    if team.is_alone:
        return ActQuorum(team, is_large=False, is_met=False, why="")
    total = max(original_total, sum(counts.values()))
    spent = _count_recent_changes(store, team, now, resumed)
    worst = max(((spent[verb] + n, verb) for verb, n in counts.items() if n and spent[verb]), default=(0, ""))
    is_large = total > SINGLE_PERSON_LIMIT or worst[0] > SINGLE_PERSON_LIMIT
    accounts = team.approving_accounts([*approvers, team.me.account_id])
    why = _explain_quorum(total, sum(counts.values()), worst)
    if team.me.account_id is not None and (not_counted := team.standing.explain(team.me.account_id, approvers)):
        why = f"{why} {not_counted}."
    return ActQuorum(team, is_large=is_large, is_met=len(accounts) > 1, why=why)


def compute_resume_quorum(store: Store, team: Team, run: RunRow, now: datetime) -> ActQuorum:
    """Return the quorum of the rest of a run, because other changes may have been sent while the run waited.

    The person who started the run agreed to the run, so it counts as approved if another person resumes it.
    """
    counts = store.count_changes(run.id)
    left = counts.get(ChangeState.PLANNED, 0)
    if run.kind is RunKind.AUTO or run.is_free or not left:
        return ActQuorum(team, is_large=False, is_met=False, why="")
    new = {verb: min(n, left) for verb, n in run.verbs.items()}
    sent = replace(run, state=RunState.ENDED, counts=counts)
    return compute_act_quorum(store, team, new, now, approvers=[run.account] if run.account else (), resumed=sent)


def _explain_quorum(total: int, count: int, worst: tuple[int, str]) -> str:
    if count > SINGLE_PERSON_LIMIT:
        return f"More than {SINGLE_PERSON_LIMIT} changes need two people."
    if total > SINGLE_PERSON_LIMIT:
        return f"This is a part of {total:,} changes. More than {SINGLE_PERSON_LIMIT} need two people."
    these = f"these are {worst[0]:,} to {worst[1]}"
    return f"Together with the last 24 hours, {these}. More than {SINGLE_PERSON_LIMIT} need two people."


def _count_recent_changes(store: Store, team: Team, now: datetime, resumed: RunRow | None) -> Counter[str]:
    """Count, by verb, the changes in the time window, and those that wait, that the same person may have made."""
    changes = Counter[str]()
    for run in read_runs_since(store, to_ms(now - LIMIT_WINDOW)):
        if run.kind is not RunKind.AUTO and not run.is_free and not _is_another(team.me, run.account):
            changes.update(_count_sent(run if resumed is None or run.id != resumed.id else resumed))
    return changes


def can_administer(store: Store, account: Account | None) -> bool | None:
    """Tell whether an account is the owner or an admin of all repos; None if there is no owner and no member."""
    if not read_deciders(store):
        return None
    me = find_member_of(store, account)
    return me is not None and me.is_admin_of_all


def find_member_of(store: Store, account: Account | None) -> Member | None:
    """Return the owner or the member to whom a Hub account belongs; None if it belongs to nobody who may sign in."""
    ident = None if account is None else account.id
    return next((one for one in read_deciders(store) if ident is not None and one.account_id == ident), None)


def is_removed_account(store: Store, account: Account) -> bool:
    """Tell whether a Hub account belongs to a former member only."""
    is_known = any(member.user_id == account.id for member in store.members())
    return is_known and find_member_of(store, account) is None


def explain_end_limit(store: Store, team: Team, now: datetime) -> str:
    """Return why a person may not set another end of access alone; "" if they may.

    An end removes access, as a reset does.
    """
    left = count_ends_left(store, team, now)
    if left is None or left > 0:
        return ""
    return f"You set {SINGLE_PERSON_LIMIT} end dates within 24 hours. More than that need two people."


def count_ends_left(store: Store, team: Team, now: datetime) -> int | None:
    """Return how many ends of access a person may still set alone; None without a limit."""
    if team.is_alone:
        return None
    accounts = {member.name.lower(): member.account_id for member in team.all_members}
    changed = sum(
        count
        for actor, count in count_ends_changed_outside_runs(store, to_ms(now - LIMIT_WINDOW))
        if not _is_policy_or_program(actor) and not _is_another(team.me, accounts.get(actor.lower()))
    )
    return max(0, SINGLE_PERSON_LIMIT - changed)


def _is_policy_or_program(actor: str) -> bool:
    """Tell whether an actor of the ledger is not a person: an end that a policy sets is not set by the person who
    applies it.
    """
    return actor in RESERVED_NAMES or actor.startswith(POLICY_ACTOR)


def _is_another(me: Member, account: str | None) -> bool:
    return account is not None and me.account_id is not None and account != me.account_id


def _count_sent(run: RunRow) -> dict[str, int]:
    """Count the changes of a run by verb; for a run that is over, count only as many as were sent."""
    if not run.is_over:
        return dict(run.verbs)
    most = sum(run.counts.get(kind, 0) for kind in _SENT)
    return {verb: min(n, most) for verb, n in run.verbs.items()}


# ---- members ---------------------------------------------------------------------------------------------------------


def read_deciders(store: Store) -> list[Member]:
    """Return the owner, if the desk was used, and the members who may sign in."""
    owner = read_owner(store)
    return [*([] if owner is None else [owner]), *(member for member in store.members() if member.is_active)]


def has_single_admin(store: Store) -> bool:
    """Tell whether exactly one person, the owner or a member, can add members."""
    return sum(member.is_admin_of_all for member in read_deciders(store)) == 1


def read_standing(store: Store, now: datetime) -> MemberStanding:
    """Return which accounts count as different people now."""
    return MemberStanding(store.members(), read_owner(store), to_ms(now))


def require_few_globs(repos: Sequence[str], what: str) -> None:
    """Raise UsageError if a member or key has more repos than each page can compare."""
    if len(repos) > _MAX_GLOBS or any(len(glob) > _MAX_GLOB for glob in repos):
        raise UsageError(
            f"{what} takes at most {_MAX_GLOBS} repos of at most {_MAX_GLOB} characters each.", hint="Use acme/*."
        )


def read_owner(store: Store) -> Member | None:
    """Return the owner of the desk; None if no Hub account has used it yet."""
    text = store.setting(setting_keys.OWNER)
    owner = None if text is None else owner_of_setting(text)
    return None if owner is None or owner.user_id is None else owner


class Membership:
    """The owner of the token and the members of a workspace. `owner_id` is the owner's account id on the Hub."""

    def __init__(self, workspace: Workspace, owner: str, owner_id: str | None = None) -> None:
        self.workspace = workspace
        self.owner = owner
        self.owner_id = owner_id

    @cached_property
    def owner_member(self) -> Member:
        """The account whose token the desk uses."""
        return make_owner_member(self.owner, self.owner_id)

    def admit_owner(self) -> None:
        """Store who the owner is: the account that created the workspace, or an admin of all repos. The owner before
        becomes an admin.

        A membership of the owner ends, and one of the owner's name: sessions belong to names. Raises NotAllowed for
        another account.
        """
        store = self.workspace.store
        known = store.setting(setting_keys.OWNER)
        before = read_owner(store)
        me = find_member_of(store, Account(self.owner, self.owner_id))
        creator = store.setting(setting_keys.INIT_ACCOUNT) or self.owner_id
        may_own = me.is_admin_of_all if me is not None else before is None and self.owner_id == creator
        if not may_own:
            raise NotAllowed(
                f"{self.owner} is neither the owner nor an admin of this desk; nothing was changed.",
                hint=f"Use the owner's token, or ask the owner: hf-gate members add {self.owner} --role admin",
            )
        stored = json.dumps({"name": self.owner, "user_id": self.owner_id})
        if stored != known and not replace_owner(store, known, stored):
            raise Stale("Another account became the owner of this desk meanwhile.", hint="Try again.")
        mine = {self.owner.lower(), self.owner_id}
        for each in store.members():
            if each.is_active and not mine.isdisjoint({each.name, each.user_id}):
                self.remove(each, self.owner)
        if before is not None and before.user_id != self.owner_id:
            account = str(before.user_id)
            person = read_standing(store, self.workspace.now()).find_person(account)
            begun_at = 0 if person == account else None
            self._admit(before.name, account, MemberRole.ADMIN, (), self.owner, person, begun_at=begun_at)

    def find(self, name: str) -> Member | None:
        """Return a member who may sign in now, by name: the token's owner, or a member."""
        if name.lower() == self.owner.lower():
            return self.owner_member
        found = find_member(self.workspace.store, name)
        return found if found is not None and found.is_active else None

    def find_by_id(self, ident: str | None) -> Member | None:
        """Return a member who may sign in now, by id."""
        if ident == self.owner_member.id:
            return self.owner_member
        if ident is not None and ident.startswith(KEY_ACTOR):
            return self._name_owner(find_key_by_id(self.workspace.store, ident))
        found = None if ident is None else find_member_by_id(self.workspace.store, ident)
        return found if found is not None and found.is_active else None

    def find_key(self, secret: str) -> KeyMember | None:
        """Return the key of a secret as a member; None if it does not work."""
        return self._name_owner(find_key_by_secret(self.workspace.store, secret))

    def _name_owner(self, key: KeyMember | None) -> KeyMember | None:
        """Add the owner's account: a key must not decide the owner's own request."""
        return None if key is None else replace(key, account=self.owner, user_id=self.owner_id)

    def add(
        self,
        username: str,
        role: MemberRole,
        repos: Sequence[str] = (),
        *,
        by: str,
        by_account: str | None,
    ) -> Member:
        """Make a Hub account a member, or change a member's role and repos. `by` is the actor in the ledger, and
        `by_account` the id of their Hub account.

        Raises UsageError if the Hub does not know the account.
        """
        require_few_globs(repos, "a member")
        username, user_id = self._look_up_account(username.strip())
        if user_id == self.owner_id:
            raise UsageError(f"{username} is the owner of this desk.", hint="Name the account of another person.")
        added = self._admit(username, user_id, role, repos, by, by_account)
        if added is None or (added.role, added.repos) != (role, tuple(repos) or None):
            raise UsageError(f"the member {username} changed meanwhile.", hint="Look at the members, and try again.")
        return added

    def confirm(self, member: Member, confirmer: Member) -> None:
        """Store that an admin confirms that a new member is a person of their own.

        Raises NotAllowed unless the admin counts as a third person.
        """
        standing = read_standing(self.workspace.store, self.workspace.now())
        if not standing.needs_confirmation(member.account_id):
            raise UsageError(f"{member.name} needs no confirmation.", hint="Look at the members: hf-gate members ls")
        if not standing.can_confirm(confirmer.account_id, member):
            raise NotAllowed(
                f"{confirmer.name} cannot confirm {member.name} ({standing.describe(member.account_id)}).",
                hint="Ask an admin who neither added this member nor was added by the same person in the last 7 days.",
            )
        if not confirm_member(self.workspace.store, member, confirmer, to_ms(self.workspace.now())):
            raise UsageError(f"the member {member.name} changed meanwhile.", hint="Look at the members, and try again.")

    def _admit(
        self,
        username: str,
        user_id: str,
        role: MemberRole,
        repos: Sequence[str],
        by: str,
        by_account: str | None,
        *,
        begun_at: int | None = None,
    ) -> Member | None:
        """Store a Hub account as a member; return None if the members changed meanwhile.

        A new membership begins now, unless `begun_at` (ms) says when.
        """
        active = (member for member in self.workspace.store.members() if member.is_active)
        known = next((member for member in active if member.user_id == user_id), None)
        at = to_ms(self.workspace.now())
        member = Member(
            name=self.choose_name(username, user_id) if known is None else known.name,
            role=role,
            repos=tuple(repos) or None,
            made_at=at,
            id="" if known is None else known.id,
            account=username,
            user_id=user_id,
            begun_at=at if begun_at is None else begun_at,
            begun_by=by_account,
        )
        return admit_member(self.workspace.store, member, by, at)

    def _look_up_account(self, username: str) -> tuple[str, str]:
        """Return name and id of a Hub account. Raises UsageError if the Hub does not know it."""
        try:
            person = self.workspace.hub.profile(username).person if 0 < len(username) <= _MAX_USERNAME else None
        except PersonNotFound:
            person = None
        if person is None or person.id is None:
            name = username[:_MAX_USERNAME]
            raise UsageError(f"the Hub has no account {name!r}.", hint="Write the name as the Hub shows it.")
        return person.username or username, person.id

    def choose_name(self, username: str, user_id: str) -> str:
        """Return the username as a member's name; with a part of the id if that name is not free."""
        name = username.lower()
        rows = [member for member in self.workspace.store.members() if member.user_id != user_id]
        taken = {self.owner.lower(), *RESERVED_NAMES, *(row.name for row in rows)}
        if MEMBER_NAME.match(name) and name not in taken:
            return name
        mark = hashlib.sha256(user_id.encode()).hexdigest()[:8]
        stem = "".join(letter for letter in name[:_MAX_STEM] if letter.isascii() and letter.isalnum()) or "member"
        return f"{stem}-{mark}"

    def find_named_member(self, name: str) -> Member:
        """Return a member by name or username. Raises UsageError if there is none."""
        key = name.strip().lower()
        for member in self.workspace.store.members():
            if member.is_active and key in {member.name, (member.account or "").lower()}:
                return member
        raise UsageError(f"there is no member {name[:_MAX_GLOB]!r}.", hint="hf-gate members ls lists them.")

    def remove(self, member: Member, by: str, *, origin: MemberOrigin = MemberOrigin.REMOVED) -> None:
        """Remove a member: delete sessions, selection and unsent decisions. Their runs stop, because
        they can no longer continue.
        """
        at = to_ms(self.workspace.now())
        remove_member(self.workspace.store, member, by, at, origin=origin)
        undo_decisions_of(self.workspace.store, member.id)
        delete_selection(self.workspace.store, f"s_{member.id}")

    def revoke_key(self, name: str, by: str) -> bool:
        """Revoke a key and undo its unsent decisions; return False if there is none."""
        is_done = revoke_key(self.workspace.store, name, by, to_ms(self.workspace.now()))
        undo_decisions_of(self.workspace.store, f"{KEY_ACTOR}{name}")
        return is_done

    def repos(self, member: Member) -> list[RepoRow]:
        """Return the repos that a member may see, sorted by name."""
        return [row for row in self.workspace.store.repos() if self.can_see(member, row.repo)]

    def can_see(self, member: Member, repo: Repo) -> bool:
        """Tell whether the workspace covers a repo and the member may see it."""
        ours = None if self.workspace.location.folder is None else self.workspace.location.config.repos
        return matches_any(ours, repo) and matches_any(member.repos, repo)

    def can_decide(self, member: Member | None, repos: Iterable[Repo]) -> bool:
        """Tell whether a person is still a member who may decide at these repos."""
        if member is None or not member.role.covers(MemberRole.REVIEWER):
            return False
        return all(self.can_see(member, repo) for repo in repos)

    def can_continue(self, run: RunRow) -> bool:
        """Tell whether a run's member may still decide at all repos of the run.

        Runs by commands and by the owner may continue.
        """
        if run.member is None or run.member.startswith(OWNER_ID):
            return True
        return self.can_decide(self.find_by_id(run.member), self.workspace.store.repos_of_run(run.id))

    # ---- second person -----------------------------------------------------------------------------------------------

    def read_team(self, member: Member) -> Team:
        """Return the current team from the point of view of this member. A key acts for the owner, who made it."""
        me = self.owner_member if member.is_key else member
        return read_team(self.workspace.store, me, self.workspace.now())

    def compute_act_quorum(
        self, member: Member, counts: Mapping[str, int], *, original_total: int = 0, approvers: Collection[str] = ()
    ) -> ActQuorum:
        """Return whether a member needs a second person for these changes, counted by verb."""
        return compute_act_quorum(
            self.workspace.store,
            self.read_team(member),
            counts,
            self.workspace.now(),
            original_total=original_total,
            approvers=approvers,
        )

    def compute_resume_quorum(self, member: Member, run: RunRow) -> ActQuorum:
        """Return whether a member needs a second person to resume a run."""
        return compute_resume_quorum(self.workspace.store, self.read_team(member), run, self.workspace.now())

    def check_limit(self, member: Member, verb: str, count: int, *, refused: str, hint: str = "") -> RunAuthor:
        """Return the author of these changes. Raises Guarded if they exceed what one person may send alone."""
        quorum = self.compute_act_quorum(member, {verb: count})
        if quorum.is_large:
            raise Guarded(f"{refused} {quorum.why}", hint=f"{hint}{quorum.team.describe_next_step()}")
        return quorum.author
