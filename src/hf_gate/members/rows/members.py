"""Stores members and their saved views. Personal links are stored only as digests."""

from __future__ import annotations

import secrets

from msgspec.structs import replace

from hf_gate.core.events import events as e
from hf_gate.core.events.events import LedgerEntry
from hf_gate.core.people.members import (
    MAX_SAVED_VIEWS,
    TEAM_GRACE,
    TEAM_UNTIL_SETTING,
    Member,
    MemberOrigin,
    MemberRole,
)
from hf_gate.members.sessions import LINK_LIFETIME, digest_secret
from hf_gate.store.rows import member_rows
from hf_gate.store.sql import Reader
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer


def create_member_id() -> str:
    """Return a new random member id."""
    return f"m_{secrets.token_hex(8)}"


# ---- members ---------------------------------------------------------------------------------------------------------


def find_member(reader: Reader, name: str) -> Member | None:
    """Return the member with this name, revoked or not. As on the Hub, upper and lower case are the same."""
    return next((one for one in member_rows.read_members(reader.reads) if one.name.lower() == name.lower()), None)


def find_member_by_id(reader: Reader, ident: str) -> Member | None:
    """Return the member with this id, revoked or not; None if the name now belongs to another member."""
    return next((one for one in member_rows.read_members(reader.reads) if one.id == ident), None)


def invite_member(store: Store, member: Member, secret: str, by: str, at: int) -> Member:
    """Give a member a new link, which must be used within 7 days, and end their sessions.

    Their account becomes unproven, because the inviter saw the link. A current member of that name keeps their id,
    unless the invitation names another Hub account.
    """
    link = digest_secret(secret)
    with store.writing(is_short=True) as write:
        known = next(
            (one for one in member_rows.read_members(write.db) if one.name == member.name and one.has_link), None
        )
        made = replace(
            member,
            id=create_member_id(),
            has_link=True,
            proven_at=None,
            link_until=at + LINK_LIFETIME,
            origin=MemberOrigin.INVITATION,
        )
        if known is not None and member.user_id in {None, known.user_id}:
            made = replace(made, id=known.id, account=member.account or known.account, user_id=known.user_id)
        elif known is not None:
            _delete_approvals(write, known)
            write.append(None, [LedgerEntry(event=e.MemberRevoked(member=known.id), at=at, actor=by)])
        event = e.MemberInvited(
            member=made.id,
            role=made.role.value,
            repos=made.repos,
            account=made.user_id,
            seal=member_rows.seal_of(made, link),
        )
        _write_member(write, made, link, LedgerEntry(event=event, at=at, actor=by))
    return made


def admit_member(store: Store, member: Member, secret: str, by: str, at: int) -> Member | None:
    """Store a member whom a sign-in with the Hub proves, with the role that the sign-in gives.

    Their earlier sessions end. `secret` is a link that nobody gets; without an id, the member is new. Return the
    member; None if they were revoked, or somebody else took the name, meanwhile.
    """
    link = digest_secret(secret)
    made = replace(member, id=member.id or create_member_id(), has_link=True, proven_at=at, link_until=None)
    seal = member_rows.seal_of(made, link)
    event = e.MemberInvited(member=made.id, role=made.role.value, repos=made.repos, account=made.user_id, seal=seal)
    proof = e.AccountProven(member=made.id, account=made.user_id or "", seal=seal)
    with store.writing(is_short=True) as write:
        active = [one for one in member_rows.read_members(write.db) if one.has_link]
        theirs = next((one for one in active if one.proven_account == made.user_id), None)
        if theirs is not None and not member.id:
            return theirs  # another sign-in of the same person was faster
        is_gone = bool(member.id) and all(one.id != member.id for one in active)
        if is_gone or any(one.name == made.name and one.id != made.id for one in active):
            return None
        _write_member(write, made, link, LedgerEntry(event=event, at=at, actor=by))
        write.append(None, [LedgerEntry(event=proof, at=at, actor=made.name)])
    return made


def revoke_member(
    store: Store, member: Member, by: str, at: int, *, origin: MemberOrigin = MemberOrigin.REMOVED
) -> None:
    """Remove a member's link, sessions and saved views. `origin` says whether an admin did it."""
    if not member.has_link:
        return
    gone = replace(member, has_link=False, proven_at=None, link_until=None, origin=origin)
    with store.writing(is_short=True) as write:
        write.db.run("DELETE FROM views WHERE member = ?", (member.id,))
        _delete_approvals(write, member)
        _write_member(write, gone, None, LedgerEntry(event=e.MemberRevoked(member=member.id), at=at, actor=by))


def prove_account(
    store: Store, member: Member, account: str, user_id: str, secret: str, at: int, *, is_given: bool = True
) -> bool:
    """Bind a member to a proven Hub account.

    The person with the proof gets the new link if `is_given`; all other sessions and links end. Return False and
    change nothing if the member was revoked meanwhile.
    """
    link = digest_secret(secret)
    with store.writing(is_short=True) as write:
        known = next((one for one in member_rows.read_members(write.db) if one.id == member.id and one.has_link), None)
        if known is None:
            return False
        until = at + LINK_LIFETIME if is_given else None
        made = replace(known, account=account, user_id=user_id, proven_at=at, link_until=until)
        seal = member_rows.seal_of(made, link)
        event = e.AccountProven(member=member.id, account=user_id, seal=seal)
        _write_member(write, made, link, LedgerEntry(event=event, at=at, actor=member.name))
    return True


def _write_member(write: Writer, member: Member, link: str | None, entry: LedgerEntry) -> None:
    known = next((one for one in member_rows.read_members(write.db) if one.name == member.name), None)
    if known is not None and _is_admin(known) and not (_is_admin(member) and member.id == known.id):
        write.write_setting(TEAM_UNTIL_SETTING, str(entry.at + TEAM_GRACE))
    member_rows.write_member(write.db, member, link)
    write.db.run("DELETE FROM sessions WHERE member = ?", (member.name,))
    write.db.run("DELETE FROM devices WHERE member = ?", (member.id,))
    write.db.run("DELETE FROM devices WHERE member NOT IN (SELECT id FROM members)")
    write.append(None, [entry])


# ---- saved views -----------------------------------------------------------------------------------------------------


def list_saved_views(reader: Reader, member: str) -> list[tuple[str, str]]:
    """Return the name and query of each saved view, in the order in which they were saved."""
    sql = "SELECT name, query FROM views WHERE member = ? ORDER BY made_at, name"
    return [(row[0], row[1]) for row in reader.reads.rows(sql, (member,))]


def set_saved_view(store: Store, member: str, name: str, query: str | None, at: int) -> bool:
    """Store a query under a name; None removes the view.

    Return False if the member already has `MAX_SAVED_VIEWS` others.
    """
    with store.writing(is_short=True) as write:
        others = write.db.count("SELECT count(*) FROM views WHERE member = ? AND name <> ?", (member, name))
        if query is not None and others >= MAX_SAVED_VIEWS:
            return False
        write.db.run("DELETE FROM views WHERE member = ? AND name = ?", (member, name))
        if query is not None:
            values = (member, name, query, at)
            write.db.run("INSERT INTO views (member, name, query, made_at) VALUES (?, ?, ?, ?)", values)
    return True


def _delete_approvals(write: Writer, member: Member) -> None:
    """Delete the approvals of a member who is revoked: they do not count again if the person is invited again."""
    write.db.run("DELETE FROM approvals WHERE member = ? OR account = ?", (member.id, member.proven_account))
    write.db.run("DELETE FROM endorsements WHERE account = ?", (member.proven_account,))


def _is_admin(member: Member) -> bool:
    return member.has_link and member.role is MemberRole.ADMIN
