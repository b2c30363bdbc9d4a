"""The values that a Hub holds beside requests: accounts, tokens, commits, repos, organisations, lines of the journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sortedcontainers import SortedKeyList

from ..domain.ids import Repo
from ..domain.lifecycle import STATUSES, Status
from .shelf import Row, ordered


class Account:
    """A user or an organisation. The first 8 digits of `id` are the second in which it was made."""

    __slots__ = ("counts", "email", "fullname", "id", "is_pro", "kind", "orgs", "username", "verified_orgs")

    def __init__(
        self,
        hub_id: str,
        username: str,
        fullname: str = "",
        email: str | None = None,
        *,
        kind: str = "user",
        is_pro: bool = False,
        verified_orgs: tuple[str, ...] = (),
        orgs: tuple[tuple[str, str, str], ...] = (),
        counts: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self.id, self.username, self.fullname, self.email, self.kind = hub_id, username, fullname, email, kind
        self.is_pro, self.verified_orgs, self.orgs, self.counts = is_pro, verified_orgs, orgs, counts

    @property
    def created_ms(self) -> int:
        return int(self.id[:8], 16) * 1000

    @property
    def avatar(self) -> str:
        return f"/avatars/{self.id[::-1]}{self.id[:8]}.svg"


@dataclass(frozen=True, slots=True)
class Token:
    """What a caller carries: whose it is, and its role (write, read, fineGrained) with its permissions if fine-grained.

    `repos`: ids of the only repos at which the permissions count; None: all of its account and its organisations.
    """

    name: str
    secret: str
    account: Account
    role: str = "write"
    permissions: frozenset[str] = frozenset()
    created_ms: int = 0
    repos: frozenset[str] | None = None


class Commit(NamedTuple):
    """One commit and every file as it was after it."""

    oid: str
    at_ms: int
    title: str
    files: dict[str, bytes]


@dataclass(slots=True)
class Gated:
    """A repo with its gate settings, its history and its requests."""

    repo: Repo
    id: str
    creator: Account
    created_ms: int
    gated: str | bool = False
    visibility: str = "public"
    org_members_gated: bool = False
    notify_mode: str = "bulk"
    notify_email: str | None = None
    hide_usernames: bool = False
    hide_emails: bool = False
    commits: list[Commit] = field(default_factory=list)
    people: dict[str, Row] = field(default_factory=dict)  # by account id
    requests: dict[str, Row] = field(default_factory=dict)  # by request id
    lists: dict[Status, SortedKeyList[Row, tuple[int, str]]] = field(
        default_factory=lambda: {status: ordered() for status in STATUSES}
    )

    @property
    def head(self) -> Commit:
        return self.commits[-1]


class Org(NamedTuple):
    """An organisation and the roles of its members: admin, write, contributor, read."""

    account: Account
    roles: dict[str, str]  # by account id


class Moved(NamedTuple):
    """One line of the journal; `user` is what the person was called then."""

    seq: int
    at_ms: int
    repo: Repo
    request_id: str
    account: Account
    before: Status | None
    after: Status | None
    route: str
    token: str
    user: str
