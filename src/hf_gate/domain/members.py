"""Who may use the desk in the browser, and what each role may do there."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

MEMBER_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?\Z")
"""How a member may be called."""

RESERVED_NAMES: Final = frozenset({"outside", "desk", "policy", "local"})
"""Who else stands in the ledger as an actor: no member is called so."""


SESSION_LIFETIME: Final = 12 * 3_600_000
"""How many ms after its start a session ends."""
MAX_SAVED_VIEWS: Final = 50  # saved by one member

TEAM_UNTIL_SETTING: Final = "team until"
"""The setting in which the store says until when (ms) an admin who was put out still counts as being there."""
TEAM_GRACE: Final = 24 * 3_600_000  # ms


class MemberRole(StrEnum):
    """From the one who may least to the one who may most."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ADMIN = "admin"

    def covers(self, other: MemberRole) -> bool:
        """Whether this role may do what the other may."""
        return ROLES.index(self) >= ROLES.index(other)


ROLES: Final = tuple(MemberRole)
MEANING: Final[dict[MemberRole, str]] = {
    MemberRole.VIEWER: "sees requests without names, mail addresses and answers; decides nothing",
    MemberRole.REVIEWER: "sees and decides requests of their own repos",
    MemberRole.ADMIN: "also applies plans, invites and ends sessions",
}


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign in. `repos` None: every repo of the desk.

    `id` is the member's own and is never given to another, also not with the name. `account` is the name of their Hub
    account where it is not `name`; `user_id` is that account's id. Both are a claim until `proven_at` is set.
    """

    name: str
    role: MemberRole
    repos: tuple[str, ...] | None = None
    has_link: bool = False
    made_at: int = 0  # ms
    id: str = ""
    account: str | None = None
    user_id: str | None = None
    proven_at: int | None = None  # ms

    @property
    def proven_account(self) -> str | None:
        """The id of the Hub account that is surely theirs."""
        return self.user_id if self.proven_at is not None else None

    @property
    def own_keys(self) -> frozenset[str]:
        """Lower-case names and ids by which a request is this member's own."""
        return frozenset(key.lower() for key in (self.name, self.account, self.user_id) if key)

    def is_own(self, username: str | None, user_id: str | None) -> bool:
        """Whether a request with this name and account id is the member's own: one match is enough."""
        return any(key.lower() in self.own_keys for key in (username, user_id) if key)


class RunAuthor(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a run is, beside the name in the ledger. `is_free`: it does not count towards the limit of one person."""

    member: str | None = None
    account: str | None = None
    is_free: bool = False


NO_AUTHOR: Final = RunAuthor()
"""Of a run that counts for nobody in particular."""
