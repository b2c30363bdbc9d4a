"""The state of a Hub in memory, and every lawful move of its requests; it knows no clock and no wire."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from typing import Final
from zlib import crc32

from ..domain.ids import Repo, RepoType, is_id
from ..domain.lifecycle import MOVES, STATUSES, Status
from .records import Account, Gated, Moved, Org, Page, Row, Token, place
from .wire import PLAIN, View

TARGETS: Final = {call: {(m.before, m.after) for m in MOVES if m.call == call} for call in {m.call for m in MOVES}}
REMEMBERED: Final = 20_000  # how many moves a lagging list can look back


class World:
    """Everything, mutable, in one thread. Times come in as milliseconds; ids are made from them and a counter."""

    def __init__(self, seed: int = 7, world_id: str = "") -> None:
        self.seed, self.world_id = seed, world_id
        self.protocol, self.page_size = "2026-10-23", 1000
        self.accounts: dict[str, Account] = {}
        self.names: dict[str, Account] = {}
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
        return _may(token, {"repo.write"}) and self._is_writer(token.account, gated)

    def may_list(self, token: Token, gated: Gated) -> bool:
        """See who asked: a writer whose token is a write token, or fine-grained with the access permission."""
        return _may(token, {"repo.write", "repo.access.read"}) and self._is_writer(token.account, gated)

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

    def load(self, gated: Gated, rows: list[Row]) -> None:
        """Put requests in as they are, without a line in the journal: for a world that is being made."""
        for row in rows:
            gated.people[row.account.id] = gated.requests[row.id] = row
            gated.lists[row.status].append(row)
        for status in STATUSES:
            gated.lists[status].sort(key=place)

    def enter(self, gated: Gated, row: Row, now_ms: int, route: str, token: str) -> None:
        """A request that was not there."""
        self._remember(gated, row, None, now_ms)
        gated.people[row.account.id] = gated.requests[row.id] = row
        self._shelve(gated, row)
        self._note(gated, row, None, row.status, now_ms, route, token)
        if row.status is Status.PENDING and gated.gated == "manual":
            self._mail("new_request", gated.notify_email, gated, row, now_ms, None)

    def ask_again(self, gated: Gated, old: Row, new: Row, now_ms: int, token: str) -> None:
        """Somebody whose request was reset sends a new one: same id, new time, no review."""
        self._remember(gated, old, old.copy(), now_ms)
        self._unshelve(gated, old)
        gated.people[new.account.id] = gated.requests[new.id] = new
        self._shelve(gated, new)
        self._note(gated, new, old.status, new.status, now_ms, "ask", token)
        if new.status is Status.PENDING:
            self._mail("new_request", gated.notify_email, gated, new, now_ms, None)

    def leave(self, gated: Gated, row: Row, now_ms: int, route: str, token: str) -> None:
        """The requester takes it back; it vanishes from all lists."""
        self._remember(gated, row, row.copy(), now_ms)
        self._unshelve(gated, row)
        del gated.people[row.account.id], gated.requests[row.id]
        self._note(gated, row, row.status, None, now_ms, route, token)

    def review(
        self, gated: Gated, row: Row, after: Status, now_ms: int, route: str, token: Token, reason: str | None = None
    ) -> None:
        """A reviewer's move. The time of asking never changes; back to pending takes the review away."""
        self._remember(gated, row, row.copy(), now_ms)
        before = row.status
        self._unshelve(gated, row)
        row.status = after
        row.reviewed_ms = None if after is Status.PENDING else now_ms
        row.granter = token.account if after is Status.ACCEPTED else None
        self._shelve(gated, row)
        self._note(gated, row, before, after, now_ms, route, token.name)
        if after is Status.RESET:
            self._mail("reset", row.account.email, gated, row, now_ms, reason)

    def _shelve(self, gated: Gated, row: Row) -> None:
        shelf = gated.lists[row.status]
        if not shelf or place(shelf[-1]) < place(row):
            shelf.append(row)
        else:
            shelf.insert(bisect_left(shelf, place(row), key=place), row)

    def _unshelve(self, gated: Gated, row: Row) -> None:
        shelf = gated.lists[row.status]
        del shelf[bisect_left(shelf, place(row), key=place)]

    def _remember(self, gated: Gated, row: Row, before: Row | None, now_ms: int) -> None:
        self.before.append((now_ms, gated, row.id, before))

    def _note(
        self, gated: Gated, row: Row, before: Status | None, after: Status | None, now_ms: int, route: str, token: str
    ) -> None:
        seq = self.journal[-1].seq + 1 if self.journal else 1
        self.journal.append(Moved(seq, now_ms, gated.repo, row.id, row.account, before, after, route, token))

    def _mail(self, kind: str, to: str | None, gated: Gated, row: Row, now_ms: int, reason: str | None) -> None:
        mail = {"kind": kind, "to": to, "repo": str(gated.repo), "user": row.account.username, "reason": reason}
        self.outbox.append(mail | {"at_ms": str(now_ms)})

    # ---- reading -----------------------------------------------------------------------------------------------

    def page(
        self,
        gated: Gated,
        status: Status,
        limit: int,
        *,
        after_row: tuple[int, str] | None = None,
        before_ms: int | None = None,
        after_ms: int | None = None,
        prefix: str = "",
        view: View = PLAIN,
        now_ms: int = 0,
    ) -> Page:
        """Newest first, from behind `after_row`; times are exclusive; `prefix` is of the username."""
        key = mixed_place if view.shuffled else place
        shelf = self._seen(gated, status, view, now_ms)
        low, high = 0, len(shelf)
        if after_row is not None:
            high = bisect_left(shelf, after_row, key=key)
        if view.shuffled:
            before_key = after_key = None
        else:
            before_key = None if before_ms is None else (before_ms, "")
            after_key = None if after_ms is None else (after_ms, "g")
        if before_key is not None:
            high = min(high, bisect_left(shelf, before_key, key=key))
        if after_key is not None:
            low = bisect_right(shelf, after_key, key=key)
        if not prefix and not view.shuffled:
            cut = max(low, high - limit)
            return Page(shelf[cut:high][::-1], cut > low)
        rows: list[Row] = []
        for at in range(high - 1, low - 1, -1):
            if _wanted(shelf[at], prefix, before_ms, after_ms):
                if len(rows) == limit:
                    return Page(rows, has_more=True)
                rows.append(shelf[at])
        return Page(rows, has_more=False)

    def _seen(self, gated: Gated, status: Status, view: View, now_ms: int) -> list[Row]:
        shelf = gated.lists[status]
        if view.lag_ms:
            past = self.past(gated, now_ms - view.lag_ms)
            shelf = [row for row in shelf if row.id not in past]
            shelf += [row for row in past.values() if row is not None and row.status is status]
            shelf.sort(key=place)
        return sorted(shelf, key=mixed_place) if view.shuffled else shelf

    def past(self, gated: Gated, at_ms: int) -> dict[str, Row | None]:
        """Requests that have moved since then, as they were; None for what was not there."""
        was: dict[str, Row | None] = {}
        for moved_ms, repo, request_id, before in reversed(self.before):
            if moved_ms <= at_ms:
                break
            if repo is gated:
                was[request_id] = before
        return was

    def request_of(self, gated: Gated, account: Account, view: View, now_ms: int) -> Row | None:
        """One person's request, as a lagging Hub may still see it."""
        row = gated.people.get(account.id)
        if not view.lag_ms:
            return row
        past = self.past(gated, now_ms - view.lag_ms)
        was = next((old for old in past.values() if old is not None and old.account is account), None)
        return None if was is None and row is not None and row.id in past else was or row

    def rows(self, gated: Gated, view: View = PLAIN, now_ms: int = 0) -> Iterator[Row]:
        """All requests of a repo, newest first."""
        every = [row for status in STATUSES for row in self._seen(gated, status, view, now_ms)]
        every.sort(key=place, reverse=True)
        return iter(every)


def mixed_place(row: Row) -> tuple[int, str]:
    """A place that has nothing to do with time."""
    return crc32(row.id.encode()), row.id


def _wanted(row: Row, prefix: str, before_ms: int | None, after_ms: int | None) -> bool:
    if before_ms is not None and row.asked_ms >= before_ms:
        return False
    if after_ms is not None and row.asked_ms <= after_ms:
        return False
    return row.account.username.lower().startswith(prefix)


def _may(token: Token, enough: set[str]) -> bool:
    return token.role == "write" or (token.role == "fineGrained" and not enough.isdisjoint(token.permissions))


def who(world: World, body: dict[str, str]) -> Account | None:
    """The account that `user` or `userId` means."""
    if "user" in body:
        return world.named(body["user"])
    return world.by_id(body["userId"]) if is_id(body.get("userId", "")) else None
