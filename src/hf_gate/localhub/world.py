"""The state of a Hub in memory, and every lawful move of its requests; it knows no clock and no wire."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from typing import Final

from ..domain.ids import Repo, RepoType, is_id
from ..domain.lifecycle import MOVES, STATUSES, Status
from .records import Account, Gated, Moved, Org, Token
from .shelf import Row, ordered

TARGETS: Final = {call: {(m.before, m.after) for m in MOVES if m.call == call} for call in {m.call for m in MOVES}}
REMEMBERED: Final = 20_000  # how many moves a lagging list can look back


class World:
    """Everything, mutable, in one thread. Times come in as milliseconds; ids are made from them and a counter."""

    def __init__(self, seed: int = 7, world_id: str = "") -> None:
        self.seed, self.world_id = seed, world_id
        self.protocol, self.page_size = "2026-10-23", 1000
        self.accounts: dict[str, Account] = {}
        self.names: dict[str, Account] = {}
        self._sorted: list[Account] = []  # by name in lower case
        self._unsorted: list[Account] = []
        self.orgs: dict[str, Org] = {}
        self.tokens: dict[str, Token] = {}
        self.repos: dict[tuple[RepoType, str], Gated] = {}
        self.renamed: dict[tuple[RepoType, str], Repo] = {}
        self.journal: list[Moved] = []
        self.outbox: list[dict[str, str | None]] = []
        self.before: deque[tuple[int, Gated, str, Row | None]] = deque(maxlen=REMEMBERED)
        self.revoked: set[str] = set()
        self.made = 0

    @property
    def is_old(self) -> bool:
        """The protocol of August 2026: no `reset`, no `requestId`, no `q`."""
        return self.protocol == "2026-08"

    @property
    def statuses(self) -> tuple[Status, ...]:
        return STATUSES[:3] if self.is_old else STATUSES

    def new_id(self, now_ms: int) -> str:
        self.made += 1
        return f"{now_ms // 1000 & 0xFFFFFFFF:08x}{self.seed & 0xFFFF:04x}ab{self.made:010x}"

    # ---- who ---------------------------------------------------------------------------------------------------

    def add_account(self, account: Account) -> Account:
        self.accounts[account.id] = account
        self.names[account.username.lower()] = account
        self._unsorted.append(account)
        return account

    def add_org(self, account: Account) -> Org:
        org = Org(self.add_account(account), {})
        self.orgs[account.username.lower()] = org
        return org

    def add_token(self, token: Token) -> Token:
        self.tokens[token.secret] = token
        return token

    def personal_secret(self, account: Account) -> str:
        """The write token that every account has, without being kept for each."""
        return f"hf_local_{self.seed}_{account.id}"

    def token(self, secret: str) -> Token | None:
        if secret in self.revoked:
            return None
        if secret in self.tokens:
            return self.tokens[secret]
        head, _, hub_id = secret.rpartition("_")
        account = self.accounts.get(hub_id)
        if head != f"hf_local_{self.seed}" or account is None or account.kind != "user":
            return None
        return Token(account.username, secret, account, created_ms=account.created_ms)

    def revoke(self, name: str) -> None:
        """A token by its name, or everything that a person of that name carries."""
        self.revoked |= {token.secret for token in self.tokens.values() if token.name == name}
        if (account := self.named(name)) is not None:
            self.revoked.add(self.personal_secret(account))

    def named(self, username: str) -> Account | None:
        """A user by name, without regard to case; an organisation is nobody who can have access."""
        account = self.names.get(username.lower())
        return account if account is not None and account.kind == "user" else None

    def called(self, prefix: str) -> list[Account]:
        """Accounts whose name begins so, in any case of its letters."""
        if len(self._unsorted) > 200:
            self._sorted = sorted(self._sorted + self._unsorted, key=_lower)
        else:
            for account in self._unsorted:
                insort(self._sorted, account, key=_lower)
        self._unsorted.clear()
        low = bisect_left(self._sorted, prefix, key=_lower)
        return self._sorted[low : bisect_left(self._sorted, prefix + chr(0x10FFFF), low, key=_lower)]

    def rename_account(self, account: Account, name: str) -> None:
        """The old name is free from now on. ids, requests and tokens stay as they are."""
        self.called("")
        at = bisect_left(self._sorted, account.username.lower(), key=_lower)
        while self._sorted[at] is not account:
            at += 1
        del self._sorted[at]
        if self.names.get(account.username.lower()) is account:
            del self.names[account.username.lower()]
        account.username = name
        self.add_account(account)

    def by_id(self, hub_id: str) -> Account | None:
        account = self.accounts.get(hub_id.lower())
        return account if account is not None and account.kind == "user" else None

    def role(self, account: Account, namespace: str) -> str | None:
        """Owner in one's own namespace, else the role in that organisation."""
        if account.username.lower() == namespace.lower():
            return "owner"
        org = self.orgs.get(namespace.lower())
        return None if org is None else org.roles.get(account.id)

    def may_write(self, token: Token, gated: Gated) -> bool:
        return _may(token, gated, {"repo.write"}) and self._is_writer(token.account, gated)

    def may_list(self, token: Token, gated: Gated) -> bool:
        """See who asked: a writer whose token is a write token, or fine-grained with the access permission."""
        return _may(token, gated, {"repo.write", "repo.access.read"}) and self._is_writer(token.account, gated)

    def _is_writer(self, account: Account, gated: Gated) -> bool:
        role = self.role(account, gated.repo.namespace)
        return role in {"owner", "admin", "write"} or (role == "contributor" and gated.creator is account)

    def may_see(self, token: Token | None, gated: Gated) -> bool:
        if gated.visibility != "private":
            return True
        return token is not None and self.role(token.account, gated.repo.namespace) is not None

    def passes_gate(self, token: Token, gated: Gated) -> bool:
        """In without a request: the owner and members, or with `orgMembersGated` only admins and the repo's creator."""
        role = self.role(token.account, gated.repo.namespace)
        if role is None:
            return False
        return role in {"owner", "admin"} or gated.creator is token.account or not gated.org_members_gated

    # ---- repos -------------------------------------------------------------------------------------------------

    def find(self, repo: Repo) -> Gated | None:
        return self.repos.get((repo.type, repo.id.lower()))

    def add_repo(self, gated: Gated) -> Gated:
        key = (gated.repo.type, gated.repo.id.lower())
        self.repos[key] = gated
        self.renamed.pop(key, None)
        return gated

    def drop_repo(self, gated: Gated) -> None:
        del self.repos[gated.repo.type, gated.repo.id.lower()]

    def rename(self, gated: Gated, name: str) -> None:
        old = gated.repo
        self.drop_repo(gated)
        gated.repo = Repo(old.type, old.namespace, name)
        self.add_repo(gated)
        self.renamed[old.type, old.id.lower()] = gated.repo

    # ---- requests ----------------------------------------------------------------------------------------------

    def load(self, gated: Gated, rows: Sequence[Row]) -> None:
        """Put requests in as they are, into a repo without any, without a line in the journal: for a world that is being made."""
        for row in rows:
            gated.people[row.account.id] = gated.requests[row.id] = row
        for status in STATUSES:
            gated.lists[status] = ordered(row for row in rows if row.status is status)

    def enter(self, gated: Gated, row: Row, now_ms: int, route: str, token: str) -> None:
        """A request that was not there."""
        self._remember(gated, row, None, now_ms)
        gated.people[row.account.id] = gated.requests[row.id] = row
        gated.lists[row.status].add(row)
        self._note(gated, row, None, row.status, now_ms, route, token)
        if row.status is Status.PENDING and gated.gated == "manual":
            self._mail("new_request", gated.notify_email, gated, row, now_ms, None)

    def ask_again(self, gated: Gated, old: Row, new: Row, now_ms: int, token: str) -> None:
        """Somebody whose request was reset sends a new one: same id, new time, no review."""
        self._remember(gated, old, old.copy(), now_ms)
        gated.lists[old.status].remove(old)
        gated.people[new.account.id] = gated.requests[new.id] = new
        gated.lists[new.status].add(new)
        self._note(gated, new, old.status, new.status, now_ms, "ask", token)
        if new.status is Status.PENDING:
            self._mail("new_request", gated.notify_email, gated, new, now_ms, None)

    def leave(self, gated: Gated, row: Row, now_ms: int, route: str, token: str) -> None:
        """The requester takes it back; it vanishes from all lists."""
        self._remember(gated, row, row.copy(), now_ms)
        gated.lists[row.status].remove(row)
        del gated.people[row.account.id], gated.requests[row.id]
        self._note(gated, row, row.status, None, now_ms, route, token)

    def review(
        self, gated: Gated, row: Row, after: Status, now_ms: int, route: str, token: Token, reason: str | None = None
    ) -> None:
        """A reviewer's move. The time of asking never changes; back to pending takes the review away."""
        self._remember(gated, row, row.copy(), now_ms)
        before = row.status
        gated.lists[row.status].remove(row)
        row.status = after
        row.reviewed_ms = None if after is Status.PENDING else now_ms
        row.granter = token.account if after is Status.ACCEPTED else None
        gated.lists[row.status].add(row)
        self._note(gated, row, before, after, now_ms, route, token.name)
        if after is Status.RESET:
            self._mail("reset", row.account.email, gated, row, now_ms, reason)

    def _remember(self, gated: Gated, row: Row, before: Row | None, now_ms: int) -> None:
        self.before.append((now_ms, gated, row.id, before))

    def _note(
        self, gated: Gated, row: Row, before: Status | None, after: Status | None, now_ms: int, route: str, token: str
    ) -> None:
        seq, who = self.journal[-1].seq + 1 if self.journal else 1, row.account
        self.journal.append(Moved(seq, now_ms, gated.repo, row.id, who, before, after, route, token, who.username))

    def _mail(self, kind: str, to: str | None, gated: Gated, row: Row, now_ms: int, reason: str | None) -> None:
        mail = {"kind": kind, "to": to, "repo": str(gated.repo), "user": row.account.username, "reason": reason}
        self.outbox.append(mail | {"at_ms": str(now_ms)})


def _lower(account: Account) -> str:
    return account.username.lower()


def _may(token: Token, gated: Gated, enough: set[str]) -> bool:
    if token.role != "fineGrained":
        return token.role == "write"
    return (token.repos is None or gated.id in token.repos) and not enough.isdisjoint(token.permissions)


def who(world: World, body: dict[str, str]) -> Account | None:
    """The account that `user` or `userId` means."""
    if "user" in body:
        return world.named(body["user"])
    return world.by_id(body["userId"]) if is_id(body.get("userId", "")) else None
