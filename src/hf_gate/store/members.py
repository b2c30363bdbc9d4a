"""Stores members, their sessions and their saved views. Browser secrets are stored only as digests."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from ..domain import events as e
from ..domain.events import LedgerEntry
from ..domain.members import (
    MAX_SAVED_VIEWS,
    SESSION_LIFETIME,
    TEAM_GRACE,
    TEAM_UNTIL_SETTING,
    Member,
    MemberOrigin,
    MemberRole,
)
from ..errors import StoreBusy
from . import member_rows
from .store import Store
from .writer import Writer

IDLE_MS: Final = 30 * 60_000
MAX_SESSIONS: Final = 20  # sessions of one member; beyond this number, the least recently used one ends


def create_member_id() -> str:
    """Return a new random member id."""
    return f"m_{secrets.token_hex(8)}"


def digest_of(secret: str) -> str:
    """Return the digest of 256 random bits. Nobody can recover the bits by guessing."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Members:
    """Members, sessions and saved views of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # ---- members -----------------------------------------------------------------------------------------------------

    def list_all(self) -> list[Member]:
        """Return all members, ordered by name."""
        return list(self._store.members())

    def find_by_name(self, name: str) -> Member | None:
        return next((one for one in self.list_all() if one.name == name), None)

    def find_by_id(self, ident: str) -> Member | None:
        """Return the member with this id, revoked or not; None if the name now belongs to another member."""
        return next((one for one in self.list_all() if one.id == ident), None)

    def find_by_link(self, secret: str) -> Member | None:
        """Return the member who owns this personal link."""
        return member_rows.read_member_by_link(self._store.reads, digest_of(secret))

    def invite(self, member: Member, secret: str, by: str, at: int) -> Member:
        """Give a member a new link and end their sessions.

        Their account becomes unproven, because the inviter saw the link. A current member of that name keeps their id,
        unless the invitation names another Hub account.
        """
        link = digest_of(secret)
        with self._store.writing() as write:
            known = next(
                (one for one in member_rows.read_members(write.db) if one.name == member.name and one.has_link), None
            )
            made = replace(member, id=create_member_id(), has_link=True, proven_at=None, origin=MemberOrigin.INVITATION)
            if known is not None and member.user_id in {None, known.user_id}:
                made = replace(made, id=known.id, account=member.account or known.account, user_id=known.user_id)
            elif known is not None:
                _delete_approvals(write, known)
                write.append(None, [LedgerEntry(event=e.MemberRevoked(member=known.id), at=at, actor=by)])
            event = e.MemberInvited(
                member=made.id, role=made.role.value, repos=made.repos, account=made.user_id,
                seal=member_rows.seal_of(made, link),
            )  # fmt: skip
            self._write_member(write, made, link, LedgerEntry(event=event, at=at, actor=by))
        return made

    def admit(self, member: Member, secret: str, by: str, at: int) -> Member | None:
        """Store a member whom a sign-in with the Hub proves, with the role that the sign-in gives.

        Their earlier sessions end. `secret` is a link that nobody gets; without an id, the member is new. Return the
        member; None if they were revoked, or somebody else took the name, meanwhile.
        """
        link = digest_of(secret)
        made = replace(member, id=member.id or create_member_id(), has_link=True, proven_at=at)
        seal = member_rows.seal_of(made, link)
        event = e.MemberInvited(member=made.id, role=made.role.value, repos=made.repos, account=made.user_id, seal=seal)
        proof = e.AccountProven(member=made.id, account=made.user_id or "", seal=seal)
        with self._store.writing() as write:
            active = [one for one in member_rows.read_members(write.db) if one.has_link]
            theirs = next((one for one in active if one.proven_account == made.user_id), None)
            if theirs is not None and not member.id:
                return theirs  # another sign-in of the same person was faster
            is_gone = bool(member.id) and all(one.id != member.id for one in active)
            if is_gone or any(one.name == made.name and one.id != made.id for one in active):
                return None
            self._write_member(write, made, link, LedgerEntry(event=event, at=at, actor=by))
            write.append(None, [LedgerEntry(event=proof, at=at, actor=made.name)])
        return made

    def revoke(self, member: Member, by: str, at: int, *, origin: MemberOrigin = MemberOrigin.REMOVED) -> None:
        """Remove a member's link, sessions and saved views. `origin` says whether an admin did it."""
        if not member.has_link:
            return
        gone = replace(member, has_link=False, proven_at=None, origin=origin)
        with self._store.writing() as write:
            write.db.run("DELETE FROM views WHERE member = ?", (member.id,))
            _delete_approvals(write, member)
            self._write_member(write, gone, None, LedgerEntry(event=e.MemberRevoked(member=member.id), at=at, actor=by))

    def prove_account(self, member: Member, account: str, user_id: str, secret: str, at: int) -> bool:
        """Bind a member to a proven Hub account.

        The person with the proof gets the new link; all other sessions and links end. Return False and change nothing
        if the member was revoked meanwhile.
        """
        link = digest_of(secret)
        with self._store.writing() as write:
            known = next(
                (one for one in member_rows.read_members(write.db) if one.id == member.id and one.has_link), None
            )
            if known is None:
                return False
            made = replace(known, account=account, user_id=user_id, proven_at=at)
            seal = member_rows.seal_of(made, link)
            event = e.AccountProven(member=member.id, account=user_id, seal=seal)
            self._write_member(write, made, link, LedgerEntry(event=event, at=at, actor=member.name))
        return True

    @staticmethod
    def _write_member(write: Writer, member: Member, link: str | None, entry: LedgerEntry) -> None:
        known = next((one for one in member_rows.read_members(write.db) if one.name == member.name), None)
        if known is not None and _is_admin(known) and not (_is_admin(member) and member.id == known.id):
            write.write_setting(TEAM_UNTIL_SETTING, str(entry.at + TEAM_GRACE))
        member_rows.write_member(write.db, member, link)
        write.db.run("DELETE FROM sessions WHERE member = ?", (member.name,))
        write.append(None, [entry])

    # ---- sessions ----------------------------------------------------------------------------------------------------

    def open_session(self, secret: str, member: str, at: int, link: str | None = None) -> bool:
        """Store a new session and delete expired ones.

        `link` is the link used to sign in. Return False if the link no longer belongs to the member.
        """
        with self._store.writing() as write:
            theirs = "SELECT 1 FROM members WHERE name = ? AND link = ?"
            if link is not None and write.db.row(theirs, (member, digest_of(link))) is None:
                return False
            write.db.run("DELETE FROM sessions WHERE seen_at < ? OR made_at < ?", (at - IDLE_MS, at - SESSION_LIFETIME))
            newest = "SELECT id FROM sessions WHERE member = ? ORDER BY seen_at DESC, id LIMIT ?"
            oldest = f"DELETE FROM sessions WHERE member = ? AND id NOT IN ({newest})"
            write.db.run(oldest, (member, member, MAX_SESSIONS - 1))
            values = (digest_of(secret), member, at, at)
            write.db.run("INSERT INTO sessions (id, member, made_at, seen_at) VALUES (?, ?, ?, ?)", values)
        return True

    def session_member(self, secret: str, at: int, *, renew: bool = True) -> str | None:
        """Return the member of a session that has not ended. `renew` extends the session, because it is being used."""
        row = self._store.reads.row(
            "SELECT member, seen_at FROM sessions WHERE id = ? AND seen_at >= ? AND made_at >= ?",
            (digest_of(secret), at - IDLE_MS, at - SESSION_LIFETIME),
        )
        if row is None:
            return None
        if renew and at - row[1] > 60_000:  # an update once a minute is precise enough
            with suppress(StoreBusy), self._store.hold_write_lock(wait=0.0), self._store.writing() as write:
                write.db.run("UPDATE sessions SET seen_at = ? WHERE id = ?", (at, digest_of(secret)))
        return str(row[0])

    def close_session(self, secret: str) -> None:
        """End one session."""
        with self._store.writing() as write:
            write.db.run("DELETE FROM sessions WHERE id = ?", (digest_of(secret),))

    def list_sessions(self, at: int) -> list[tuple[str, int, int]]:
        """Return the member, start and last use (ms) of each open session."""
        return self._store.reads.rows(
            "SELECT member, made_at, seen_at FROM sessions WHERE seen_at >= ? AND made_at >= ? ORDER BY seen_at DESC",
            (at - IDLE_MS, at - SESSION_LIFETIME),
        )

    # ---- saved views -------------------------------------------------------------------------------------------------

    def list_views(self, member: str) -> list[tuple[str, str]]:
        """Return the name and query of each saved view, in the order in which they were saved."""
        sql = "SELECT name, query FROM views WHERE member = ? ORDER BY made_at, name"
        return [(row[0], row[1]) for row in self._store.reads.rows(sql, (member,))]

    def save_view(self, member: str, name: str, query: str | None, at: int) -> bool:
        """Store a query under a name; None removes the view.

        Return False if the member already has `MAX_SAVED_VIEWS` others.
        """
        with self._store.writing() as write:
            others = write.db.row("SELECT count(*) FROM views WHERE member = ? AND name <> ?", (member, name))
            if query is not None and others is not None and others[0] >= MAX_SAVED_VIEWS:
                return False
            write.db.run("DELETE FROM views WHERE member = ? AND name = ?", (member, name))
            if query is not None:
                values = (member, name, query, at)
                write.db.run("INSERT INTO views (member, name, query, made_at) VALUES (?, ?, ?, ?)", values)
        return True


def _delete_approvals(write: Writer, member: Member) -> None:
    """Delete the approvals of a member who is revoked: they do not count again if the person is invited again."""
    write.db.run("DELETE FROM approvals WHERE member = ? OR account = ?", (member.id, member.proven_account))


def _is_admin(member: Member) -> bool:
    return member.has_link and member.role is MemberRole.ADMIN
