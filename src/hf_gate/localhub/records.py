"""The records of a local Hub: accounts, tokens, sign-in codes, commits, repos, requests, organisations and journal
entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Final, Literal, NamedTuple

from msgspec import Struct, field
from sortedcontainers import SortedKeyList

from hf_gate.base.ids import Repo
from hf_gate.core.lifecycle import STATUSES, Status
from hf_gate.core.records import Count, Record, RepoReference


class ServedRepo(RepoReference, frozen=True, kw_only=True):
    """One gated repo of a local Hub, with its requests by status."""

    gated: Literal[False] | str
    pending: Count
    accepted: Count
    rejected: Count
    reset: Count


class ServedHub(Record, frozen=True, kw_only=True):
    """A local Hub that serves: its address, and the tokens of its holders."""

    url: str
    pid: Count
    tokens: dict[str, str]
    repos: list[ServedRepo]
    control: str


class HubAccount(Struct, array_like=True, eq=False):
    """A user or an organisation. The first 8 digits of `id` are the time of creation in seconds.

    `orgs` have id, name and full name; `counts` are those of models, datasets and followers.
    """

    id: str
    username: str
    fullname: str = ""
    email: str | None = None
    kind: str = "user"
    is_pro: bool = False
    verified_orgs: tuple[str, ...] = ()
    orgs: tuple[tuple[str, str, str], ...] = ()
    counts: tuple[int, int, int] = (0, 0, 0)

    @property
    def created_ms(self) -> int:
        return int(self.id[:8], 16) * 1000

    @property
    def avatar(self) -> str:
        return f"/avatars/{self.id[::-1]}{self.id[:8]}.svg"


class HubToken(Struct, frozen=True):
    """An access token with its account and role (write, read or fineGrained).

    Only a fine-grained token has permissions: `permissions` in all repos of the account and its organisations, and
    `repo_permissions` in other repos, by id. `restrictions` are those of the account's organisations.
    """

    name: str
    secret: str
    account: HubAccount
    role: str = "write"
    permissions: frozenset[str] = frozenset()
    created_ms: int = 0
    repo_permissions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    can_read_gated: bool = False
    is_expired: bool = False
    restrictions: tuple[str, ...] = ()


class Commit(NamedTuple):
    """One commit, with all files as they were after the commit."""

    oid: str
    at_ms: int
    title: str
    files: dict[str, bytes]


class StoredRequest(Struct, eq=False):
    """One access request. `has_email` is False for a request made by a grant; `answers` is JSON as in lists."""

    id: str
    account: HubAccount
    status: Status
    asked_ms: int
    reviewed_ms: int | None = None
    granter: HubAccount | None = None
    has_email: bool = True
    answers: bytes | None = None


# Lists are sorted by the time of the request, then by id, and read from the end: newest first.
sort_key: Final[Callable[[StoredRequest], tuple[int, str]]] = attrgetter("asked_ms", "id")


def sort_requests(rows: Iterable[StoredRequest] = ()) -> SortedKeyList[StoredRequest, tuple[int, str]]:
    """Return a sorted list of requests, oldest first. Adding, removing and reading a page is fast at any position."""
    return SortedKeyList(rows, key=sort_key)


def newest_first(
    rows: SortedKeyList[StoredRequest, tuple[int, str]], below: tuple[int, str] | None = None
) -> Iterator[StoredRequest]:
    """Iterate over the rows below a key. Do not add or remove rows during the iteration."""
    return rows.irange_key(max_key=below, inclusive=(True, False), reverse=True)


class HubRepo(Struct):
    """A repo with its gate settings, commits and requests."""

    repo: Repo
    id: str
    creator: HubAccount
    created_ms: int
    gated: str | bool = False
    visibility: str = "public"
    org_members_gated: bool = False
    notify_mode: str = "bulk"
    notify_email: str | None = None
    hide_usernames: bool = False
    hide_emails: bool = False
    is_disabled: bool = False  # closed by the Hub
    commits: list[Commit] = field(default_factory=list)
    people: dict[str, StoredRequest] = field(default_factory=dict)  # by account id
    requests: dict[str, StoredRequest] = field(default_factory=dict)  # by request id
    lists: dict[Status, SortedKeyList[StoredRequest, tuple[int, str]]] = field(
        default_factory=lambda: {status: sort_requests() for status in STATUSES}
    )

    @property
    def head(self) -> Commit:
        return self.commits[-1]


class SignInCode(NamedTuple):
    """A code of the sign-in provider: the chosen account, and what the client must show again."""

    account: HubAccount
    redirect: str
    challenge: str
    nonce: str
    until_ms: int


class HubOrg(NamedTuple):
    """An organisation and the roles of its members: admin, write, contributor or read."""

    account: HubAccount
    roles: dict[str, str]  # by account id


class JournalEntry(NamedTuple):
    """One change of a request; `user` is the username at that time."""

    seq: int
    at_ms: int
    repo: Repo
    request_id: str
    account: HubAccount
    before: Status | None
    after: Status | None
    route: str
    token: str
    user: str
