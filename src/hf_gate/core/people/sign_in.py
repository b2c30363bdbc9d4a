"""Who a Hub account is, as a sign-in provider states it, and the role that its organisations give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from .members import ROLES, MemberRole

ORG_ROLES: Final = ("admin", "write", "contributor", "read")
"""The roles of an organisation's members on the Hub."""
NO_ACCESS: Final = "no_access"
"""The role on the Hub of a member who may see nothing of the organisation. It gives no role in the desk."""
ANY_ROLE: Final = "any"
"""Stands for every role of the Hub in a role map."""

RoleMap = Mapping[str, Mapping[str, MemberRole]]
"""The role in the desk by organisation (in lower case) and the role there."""


class SignInFailed(Exception):
    """Nobody was signed in. `hint` is the next step; `status` is the HTTP status of the page."""

    def __init__(self, message: str, *, hint: str = "", status: int = 502) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status


class HubIdentity(Struct, frozen=True):
    """A Hub account that signed in. `org_roles`: its role in each of its organisations, by name in lower case.

    `org_ids`: their ids, by the same names. `restricted`: organisations that do not let it in now, for example until it
    passes their own sign-in.
    """

    user_id: str
    username: str
    org_roles: Mapping[str, str] = field(default_factory=dict)
    restricted: frozenset[str] = frozenset()
    org_ids: Mapping[str, str] = field(default_factory=dict)


def find_role(identity: HubIdentity, roles: RoleMap) -> MemberRole | None:
    """Return the highest role that the account's organisations give; None if they give none."""
    found = []
    for org, by_role in roles.items():
        theirs = identity.org_roles.get(org)
        role = None if theirs is None or theirs == NO_ACCESS else by_role.get(theirs, by_role.get(ANY_ROLE))
        if role is not None:
            found.append(role)
    return max(found, key=ROLES.index, default=None)
