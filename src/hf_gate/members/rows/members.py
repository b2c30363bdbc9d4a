"""Stores the owner and the members."""

from __future__ import annotations

import secrets

from msgspec.structs import replace

from hf_gate.core.events import events as e
from hf_gate.core.events.events import LedgerEntry
from hf_gate.core.people.members import (
    OWNER_SETTING,
    TEAM_GRACE,
    TEAM_UNTIL_SETTING,
    Member,
    MemberOrigin,
    MemberRole,
)
from hf_gate.core.people.standing import continue_membership
from hf_gate.store.rows import member_rows
from hf_gate.store.sql import Reader
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer


def create_member_id() -> str:
    """Return a new random member id."""
    return f"m_{secrets.token_hex(8)}"


# ---- members ---------------------------------------------------------------------------------------------------------


def replace_owner(store: Store, known: str | None, owner: str) -> bool:
    """Store the owner of the desk, as JSON; return False if the stored one is not `known` any more."""
    with store.writing(is_short=True) as write:
        if write.db.setting(OWNER_SETTING) != known:
            return False
        write.write_setting(OWNER_SETTING, owner)
    return True


def find_member(reader: Reader, name: str) -> Member | None:
    """Return the member with this name, removed or not. As on the Hub, upper and lower case are the same."""
    return next((one for one in member_rows.read_members(reader.reads) if one.name.lower() == name.lower()), None)


def find_member_by_id(reader: Reader, ident: str) -> Member | None:
    """Return the member with this id, removed or not; None if the name now belongs to another member."""
    return next((one for one in member_rows.read_members(reader.reads) if one.id == ident), None)


def admit_member(store: Store, member: Member, by: str, at: int) -> Member | None:
    """Store a member with the role and repos that an admin or a sign-in gives. Their earlier sessions end.

    Without an id, the member is new. The membership before goes on (`standing.py`). Return the member; None if they
    were removed, or another account took the name, meanwhile.
    """
    salt = secrets.token_hex(32)
    with store.writing(is_short=True) as write:
        known = member_rows.read_members(write.db)
        active = [one for one in known if one.is_active]
        theirs = next((one for one in active if one.user_id == member.user_id), None)
        if theirs is not None and not member.id:
            return theirs  # another sign-in of the same person was faster
        made = continue_membership(replace(member, id=member.id or create_member_id(), is_active=True), theirs)
        is_gone = bool(member.id) and all(one.id != member.id for one in active)
        if is_gone or any(one.name == made.name and one.user_id != made.user_id for one in known):
            return None
        event = e.MemberAdded(
            member=made.id,
            role=made.role.value,
            repos=made.repos,
            account=made.user_id,
            begun_at=made.begun_at,
            begun_by=made.begun_by,
            seal=member_rows.seal_of(made, salt),
        )
        _write_member(write, made, salt, LedgerEntry(event=event, at=at, actor=by))
    return made


def confirm_member(store: Store, member: Member, confirmer: Member, at: int) -> bool:
    """Store that another member confirms a new one; return False if the member changed meanwhile.

    The first to confirm a member of an organisation counts as the one who added them.
    """
    salt = secrets.token_hex(32)
    column = "begun_by" if member.begun_by is None else "confirmed_by"
    confirmed = replace(member, **{column: confirmer.account_id})
    event = e.MemberConfirmed(
        member=member.id, account=str(confirmer.account_id), seal=member_rows.seal_of(confirmed, salt)
    )
    with store.writing(is_short=True) as write:
        if member not in member_rows.read_members(write.db):
            return False
        member_rows.write_member(write.db, confirmed, salt)
        write.append(None, [LedgerEntry(event=event, at=at, actor=confirmer.name)])
    return True


def remove_member(
    store: Store, member: Member, by: str, at: int, *, origin: MemberOrigin = MemberOrigin.REMOVED
) -> None:
    """End a member's sessions, and delete their approvals. `origin` says whether an admin did it."""
    if not member.is_active:
        return
    gone = replace(member, is_active=False, origin=origin)
    with store.writing(is_short=True) as write:
        _delete_approvals(write, member)
        _write_member(write, gone, None, LedgerEntry(event=e.MemberRemoved(member=member.id), at=at, actor=by))


def _write_member(write: Writer, member: Member, salt: str | None, entry: LedgerEntry) -> None:
    known = next((one for one in member_rows.read_members(write.db) if one.name == member.name), None)
    if known is not None and _is_admin(known) and not (_is_admin(member) and member.id == known.id):
        write.write_setting(TEAM_UNTIL_SETTING, str(entry.at + TEAM_GRACE))
    member_rows.write_member(write.db, member, salt)
    write.db.run("DELETE FROM sessions WHERE member = ?", (member.name,))
    write.append(None, [entry])


def _delete_approvals(write: Writer, member: Member) -> None:
    """Delete the approvals of a member who is removed: they do not count again if the account is added again."""
    write.db.run("DELETE FROM approvals WHERE member = ? OR account = ?", (member.id, member.account_id))
    write.db.run("DELETE FROM endorsements WHERE account = ?", (member.account_id,))


def _is_admin(member: Member) -> bool:
    return member.is_active and member.role is MemberRole.ADMIN
