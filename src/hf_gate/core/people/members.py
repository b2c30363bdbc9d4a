"""The members of the desk, and what each role may do."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Final

import msgspec

from hf_gate.base.timestamps import DAY_MS, HOUR_MS

MEMBER_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?\Z")
"""The pattern of member names."""

RESERVED_NAMES: Final = frozenset({"outside", "desk", "policy", "local", "me", "none", "nobody", "others"})
"""Names of other actors in the ledger and words of queries, which no member can have."""

SESSION_LIFETIME: Final = 12 * HOUR_MS
"""Milliseconds from the start of a session to its end."""

TEAM_UNTIL_SETTING: Final = "team until"
"""The setting with the time (ms) until which a removed admin still counts as present."""
TEAM_GRACE: Final = DAY_MS  # ms

KEY_ACTOR: Final = "key:"
"""The prefix of an actor that is a key of another system, and of its id as a member."""
OWNER_ID: Final = "owner:"
"""The prefix of the id of the member for the desk's token."""

INIT_SETTING: Final = "init account"
"""The setting with the id of the account that created the workspace: it owns the desk, whoever opens the desk first."""

OWNER_SETTING: Final = "desk owner"
"""The setting with the account whose token the desk used last: name and id, as JSON."""


class MemberRole(StrEnum):
    """The roles, from the fewest to the most permissions."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ADMIN = "admin"

    def covers(self, other: MemberRole) -> bool:
        """Tell whether this role has all permissions of the other."""
        return ROLES.index(self) >= ROLES.index(other)


ROLES: Final = tuple(MemberRole)
MEANING: Final[dict[MemberRole, str]] = {
    MemberRole.VIEWER: "sees everything of their own repos; cannot decide",
    MemberRole.REVIEWER: "sees and decides requests of their own repos",
    MemberRole.ADMIN: "also applies plans, adds members and ends sessions",
}


class MemberOrigin(StrEnum):
    """How a member came into the desk; of a former member, whether an admin removed them."""

    ADDED = "added"
    ORGANIZATION = "organization"
    REMOVED = "removed"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A Hub account that can sign in. With `repos` None, the member works on every repo of the desk.

    `id` is never used for another member, not even for the same account. `account` is the username on the Hub,
    `user_id` the id of the account. `begun_by` and `confirmed_by` are ids of accounts; see `standing.py`.
    """

    name: str
    role: MemberRole
    repos: tuple[str, ...] | None = None
    is_active: bool = False
    made_at: int = 0  # ms
    id: str = ""
    account: str | None = None
    user_id: str | None = None
    origin: MemberOrigin = MemberOrigin.ADDED
    begun_at: int = 0  # ms
    begun_by: str | None = None
    confirmed_by: str | None = None

    @property
    def account_id(self) -> str | None:
        """The id of the Hub account, by which a person counts; None for a key."""
        return self.user_id

    @property
    def is_key(self) -> bool:
        """Whether this is a key of another system, which is nobody's account."""
        return self.id.startswith(KEY_ACTOR)

    @property
    def is_owner(self) -> bool:
        """Whether this is the member for the desk's token, who is not in the table of members."""
        return self.id.startswith(OWNER_ID)

    @property
    def is_admin_of_all(self) -> bool:
        """Whether this is the owner or an admin of all repos."""
        return self.role is MemberRole.ADMIN and self.repos is None

    @property
    def own_keys(self) -> frozenset[str]:
        """The lower-case names and ids that mark a request as the member's own."""
        return frozenset(key.lower() for key in (self.name, self.account, self.user_id) if key)

    def is_same_person(self, other: Member) -> bool:
        """Tell whether both are one person: by member id, or by Hub account."""
        account = self.account_id
        return self.id == other.id or (account is not None and account == other.account_id)

    def is_own(self, username: str | None, user_id: str | None) -> bool:
        """Tell whether a request with this username or account id is the member's own.

        Between two known ids, only the ids count: anybody can take a username. Otherwise one match of a name or id is
        enough.
        """
        if user_id and self.account_id is not None:
            return user_id == self.account_id
        return any(key.lower() in self.own_keys for key in (username, user_id) if key)


class KeyMember(Member, frozen=True, kw_only=True):
    """A key of another system as a member, which counts as nobody. `account` and `user_id` are those of the owner.

    It has only these verbs: those of decisions, `EVENTS`, `METRICS` and `TABLE`.
    """

    verbs: tuple[str, ...] = ()

    @property
    def account_id(self) -> None:
        """None: a key is no person."""
        return None


EVENTS: Final = "events"
"""The verb of a key that reads the event feed."""

METRICS: Final = "metrics"
"""The verb of a key that reads the metrics."""

TABLE: Final = "table"
"""The verb of a key that changes rows of tables in the store."""


def make_owner_member(name: str, user_id: str | None) -> Member:
    """Return the member for the desk's token."""
    ident = f"{OWNER_ID}{user_id or name}"
    return Member(name=name, role=MemberRole.ADMIN, is_active=True, id=ident, user_id=user_id)


def owner_of_setting(text: str) -> Member:
    """Return the member for the desk's token from the setting `OWNER_SETTING`."""
    return make_owner_member(**json.loads(text))


class RunAuthor(msgspec.Struct, frozen=True, kw_only=True):
    """The member and Hub account that started a run.

    With `is_free`, the run does not count towards one person's limit.
    """

    member: str | None = None
    account: str | None = None
    is_free: bool = False


NO_AUTHOR: Final = RunAuthor()
"""The author of a run that does not count towards any member's limit."""
