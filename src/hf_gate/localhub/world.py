"""The in-memory data of a local Hub, and every allowed change of its requests. Times are arguments."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from hf_gate.base.ids import Repo, RepoType, is_id
from hf_gate.core.lifecycle import MOVES, STATUSES, Status

from .records import HubAccount, HubOrg, HubRepo, HubToken, JournalEntry, SignInCode, StoredRequest, sort_requests

ALLOWED_MOVES: Final = {
    call: {(m.before, m.after) for m in MOVES if m.call == call} for call in {m.call for m in MOVES}
}
MAX_PAST_ROWS: Final = 20_000  # number of past changes that a lagging list can show


class World:
    """Accounts, repos and requests. It is not thread-safe.

    Times are in milliseconds; ids are made from them and a counter.
    """

    def __init__(self, seed: int = 7, world_id: str = "") -> None:
        self.seed = seed
        self.world_id = world_id
        self.protocol = "2026-10-23"
        self.page_size = 1000
        self.accounts: dict[str, HubAccount] = {}
        self.names: dict[str, HubAccount] = {}
        self._sorted: list[HubAccount] = []  # by username in lower case
        self._unsorted: list[HubAccount] = []
        self.orgs: dict[str, HubOrg] = {}
        self.tokens: dict[str, HubToken] = {}
        self.repos: dict[tuple[RepoType, str], HubRepo] = {}
        self.renamed: dict[tuple[RepoType, str], Repo] = {}
        self.journal: list[JournalEntry] = []
        self.outbox: list[dict[str, str | None]] = []
        self.past_rows: deque[tuple[int, HubRepo, str, StoredRequest | None]] = deque(maxlen=MAX_PAST_ROWS)
        self.revoked: set[str] = set()
        self.id_counter = 0
        self.sign_in_codes: dict[str, SignInCode] = {}
        self.sign_in_tokens: dict[str, HubAccount] = {}
        self.is_key_rotated = False  # whether the sign-in provider publishes a second key

    @property
    def is_old(self) -> bool:
        """Whether the protocol is the one of August 2026: without `reset`, `requestId` and `q`."""
        return self.protocol == "2026-08"

    @property
    def statuses(self) -> tuple[Status, ...]:
        return STATUSES[:3] if self.is_old else STATUSES

    def new_id(self, now_ms: int) -> str:
        self.id_counter += 1
        return f"{now_ms // 1000 & 0xFFFFFFFF:08x}{self.seed & 0xFFFF:04x}ab{self.id_counter:010x}"

    # ---- accounts ----------------------------------------------------------------------------------------------------

    def add_account(self, account: HubAccount) -> HubAccount:
        self.accounts[account.id] = account
        self.names[account.username.lower()] = account
        self._unsorted.append(account)
        return account

    def add_org(self, account: HubAccount) -> HubOrg:
        org = HubOrg(self.add_account(account), {})
        self.orgs[account.username.lower()] = org
        return org

    def add_token(self, token: HubToken) -> HubToken:
        self.tokens[token.secret] = token
        return token

    def personal_secret(self, account: HubAccount) -> str:
        """Return the write token of an account. Every user has one; it is derived, not stored."""
        return f"hf_local_{self.seed}_{account.id}"

    def find_token(self, secret: str) -> HubToken | None:
        if secret in self.revoked:
            return None
        if secret in self.tokens:
            return self.tokens[secret]
        head, _, hub_id = secret.rpartition("_")
        account = self.accounts.get(hub_id)
        if head != f"hf_local_{self.seed}" or account is None or account.kind != "user":
            return None
        return HubToken(account.username, secret, account, created_ms=account.created_ms)

    def revoke_tokens(self, name: str) -> None:
        """Revoke a token by its name, or the personal token of the user with that name."""
        self.revoked |= {token.secret for token in self.tokens.values() if token.name == name}
        if (account := self.find_user(name)) is not None:
            self.revoked.add(self.personal_secret(account))

    def find_user(self, username: str) -> HubAccount | None:
        """Return the user with a username, ignoring case; organisations are not users."""
        account = self.names.get(username.lower())
        return account if account is not None and account.kind == "user" else None

    def find_accounts_by_prefix(self, prefix: str) -> list[HubAccount]:
        """Return the accounts whose username starts with a lower-case prefix, ignoring case."""
        if len(self._unsorted) > 200:
            self._sorted = sorted(self._sorted + self._unsorted, key=_get_sort_name)
        else:
            for account in self._unsorted:
                insort(self._sorted, account, key=_get_sort_name)
        self._unsorted.clear()
        low = bisect_left(self._sorted, prefix, key=_get_sort_name)
        return self._sorted[low : bisect_left(self._sorted, prefix + chr(0x10FFFF), low, key=_get_sort_name)]

    def rename_account(self, account: HubAccount, name: str) -> None:
        """Give an account another username; the old one becomes free. Ids, requests and tokens stay."""
        self.find_accounts_by_prefix("")
        at = bisect_left(self._sorted, account.username.lower(), key=_get_sort_name)
        while self._sorted[at] is not account:
            at += 1
        del self._sorted[at]
        if self.names.get(account.username.lower()) is account:
            del self.names[account.username.lower()]
        account.username = name
        self.add_account(account)

    def find_user_by_id(self, hub_id: str) -> HubAccount | None:
        account = self.accounts.get(hub_id.lower())
        return account if account is not None and account.kind == "user" else None

    def get_role(self, account: HubAccount, namespace: str) -> str | None:
        """Return `owner` for the account's own namespace, else the account's role in that organisation."""
        if account.username.lower() == namespace.lower():
            return "owner"
        org = self.orgs.get(namespace.lower())
        return None if org is None else org.roles.get(account.id)

    def can_write(self, token: HubToken, hub_repo: HubRepo) -> bool:
        return _has_permission(token, hub_repo, {"repo.write"}) and self._is_writer(token.account, hub_repo)

    def can_list(self, token: HubToken, hub_repo: HubRepo) -> bool:
        """Return whether the token can list requests: its account can write, and it is a write token or has the
        permission.
        """
        return _has_permission(token, hub_repo, {"repo.write", "repo.access.read"}) and self._is_writer(
            token.account, hub_repo
        )

    def _is_writer(self, account: HubAccount, hub_repo: HubRepo) -> bool:
        role = self.get_role(account, hub_repo.repo.namespace)
        return role in {"owner", "admin", "write"} or (role == "contributor" and hub_repo.creator is account)

    def can_see(self, token: HubToken | None, hub_repo: HubRepo) -> bool:
        if hub_repo.visibility != "private":
            return True
        return token is not None and self.get_role(token.account, hub_repo.repo.namespace) is not None

    def can_pass_gate(self, token: HubToken, hub_repo: HubRepo) -> bool:
        """Return whether the account has access without a request.

        The owner and the organisation's members have it; with `orgMembersGated`, only admins and the repo's creator.
        """
        role = self.get_role(token.account, hub_repo.repo.namespace)
        if role is None:
            return False
        return role in {"owner", "admin"} or hub_repo.creator is token.account or not hub_repo.org_members_gated

    # ---- repos -------------------------------------------------------------------------------------------------------

    def find_repo(self, repo: Repo) -> HubRepo | None:
        return self.repos.get((repo.type, repo.id.lower()))

    def add_repo(self, hub_repo: HubRepo) -> HubRepo:
        key = (hub_repo.repo.type, hub_repo.repo.id.lower())
        self.repos[key] = hub_repo
        self.renamed.pop(key, None)
        return hub_repo

    def remove_repo(self, hub_repo: HubRepo) -> None:
        del self.repos[hub_repo.repo.type, hub_repo.repo.id.lower()]

    def rename_repo(self, hub_repo: HubRepo, name: str) -> None:
        old = hub_repo.repo
        self.remove_repo(hub_repo)
        hub_repo.repo = Repo(old.type, old.namespace, name)
        self.add_repo(hub_repo)
        self.renamed[old.type, old.id.lower()] = hub_repo.repo

    # ---- requests ----------------------------------------------------------------------------------------------------

    def load_requests(self, hub_repo: HubRepo, rows: Sequence[StoredRequest]) -> None:
        """Put requests into an empty repo while a world is built, without journal entries."""
        for row in rows:
            hub_repo.people[row.account.id] = hub_repo.requests[row.id] = row
        for status in STATUSES:
            hub_repo.lists[status] = sort_requests(row for row in rows if row.status is status)

    def add_request(self, hub_repo: HubRepo, row: StoredRequest, now_ms: int, route: str, token: str) -> None:
        """Add a new request."""
        self._remember(hub_repo, row, None, now_ms)
        hub_repo.people[row.account.id] = hub_repo.requests[row.id] = row
        hub_repo.lists[row.status].add(row)
        self._log_move(hub_repo, row, None, row.status, now_ms, route, token)
        if row.status is Status.PENDING and hub_repo.gated == "manual":
            self._send_mail("new_request", hub_repo.notify_email, hub_repo, row, now_ms, None)

    def ask_again(self, hub_repo: HubRepo, old: StoredRequest, new: StoredRequest, now_ms: int, token: str) -> None:
        """Replace a reset request with a new one: same id, new time, no review."""
        self._remember(hub_repo, old, replace(old), now_ms)
        hub_repo.lists[old.status].remove(old)
        hub_repo.people[new.account.id] = hub_repo.requests[new.id] = new
        hub_repo.lists[new.status].add(new)
        self._log_move(hub_repo, new, old.status, new.status, now_ms, "ask", token)
        if new.status is Status.PENDING:
            self._send_mail("new_request", hub_repo.notify_email, hub_repo, new, now_ms, None)

    def withdraw_request(self, hub_repo: HubRepo, row: StoredRequest, now_ms: int, route: str, token: str) -> None:
        """Delete a request that the requester withdraws."""
        self._remember(hub_repo, row, replace(row), now_ms)
        hub_repo.lists[row.status].remove(row)
        del hub_repo.people[row.account.id], hub_repo.requests[row.id]
        self._log_move(hub_repo, row, row.status, None, now_ms, route, token)

    def review_request(
        self,
        hub_repo: HubRepo,
        row: StoredRequest,
        after: Status,
        now_ms: int,
        route: str,
        token: HubToken,
        reason: str | None = None,
    ) -> None:
        """Set the status as a reviewer does. The time of the request stays; returning to pending removes the review."""
        self._remember(hub_repo, row, replace(row), now_ms)
        before = row.status
        hub_repo.lists[row.status].remove(row)
        row.status = after
        row.reviewed_ms = None if after is Status.PENDING else now_ms
        row.granter = token.account if after is Status.ACCEPTED else None
        hub_repo.lists[row.status].add(row)
        self._log_move(hub_repo, row, before, after, now_ms, route, token.name)
        if after is Status.RESET:
            self._send_mail("reset", row.account.email, hub_repo, row, now_ms, reason)

    def _remember(self, hub_repo: HubRepo, row: StoredRequest, before: StoredRequest | None, now_ms: int) -> None:
        self.past_rows.append((now_ms, hub_repo, row.id, before))

    def _log_move(
        self,
        hub_repo: HubRepo,
        row: StoredRequest,
        before: Status | None,
        after: Status | None,
        now_ms: int,
        route: str,
        token: str,
    ) -> None:
        seq = self.journal[-1].seq + 1 if self.journal else 1
        who = row.account
        self.journal.append(
            JournalEntry(seq, now_ms, hub_repo.repo, row.id, who, before, after, route, token, who.username)
        )

    def _send_mail(
        self, kind: str, to: str | None, hub_repo: HubRepo, row: StoredRequest, now_ms: int, reason: str | None
    ) -> None:
        mail = {"kind": kind, "to": to, "repo": str(hub_repo.repo), "user": row.account.username, "reason": reason}
        self.outbox.append(mail | {"at_ms": str(now_ms)})


def _get_sort_name(account: HubAccount) -> str:
    return account.username.lower()


def _has_permission(token: HubToken, hub_repo: HubRepo, enough: set[str]) -> bool:
    if token.role != "fineGrained":
        return token.role == "write"
    return not enough.isdisjoint(token.permissions | get_repo_permissions(token, hub_repo))


def get_repo_permissions(token: HubToken, hub_repo: HubRepo) -> frozenset[str]:
    """Return the permissions that a fine-grained token has in exactly this repo."""
    return token.repo_permissions.get(hub_repo.id, frozenset())


def find_hub_account(world: World, body: dict[str, str]) -> HubAccount | None:
    """Return the account of `user` or `userId`."""
    if "user" in body:
        return world.find_user(body["user"])
    return world.find_user_by_id(body["userId"]) if is_id(body.get("userId", "")) else None
