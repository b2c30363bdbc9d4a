"""Who may use the desk in the browser, and what each role may do there."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?\Z")
"""How a member may be called."""

TAKEN: Final = frozenset({"outside", "desk", "policy", "local"})
"""Who else stands in the ledger as an actor: no member is called so."""


class Role(StrEnum):
    """From the one who may least to the one who may most."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ADMIN = "admin"

    def covers(self, other: Role) -> bool:
        """Whether this role may do what the other may."""
        return ROLES.index(self) >= ROLES.index(other)


ROLES: Final = tuple(Role)
MEANING: Final[dict[Role, str]] = {
    Role.VIEWER: "sees requests without names, mail addresses and answers; decides nothing",
    Role.REVIEWER: "sees and decides requests of their own repos",
    Role.ADMIN: "also applies plans, invites and ends sessions",
}


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign in. `repos` None: every repo of the desk."""

    name: str
    role: Role
    repos: tuple[str, ...] | None = None
    has_link: bool = False
    made_at: int = 0  # ms
