"""Reads and writes the rows of members."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from hf_gate.core.events.events import canonical_json
from hf_gate.core.people.members import Member
from hf_gate.store.sql import Database, Reader, decode_row

_COLUMNS: Final = "name, role, repos, salt, made_at, id, account, user_id, origin, begun_at, begun_by, confirmed_by"


def read_members(db: Database) -> list[Member]:
    """Return all members, ordered by name."""
    return [_member(row) for row in db.rows(f"SELECT {_COLUMNS} FROM members ORDER BY name")]


def seal_of(member: Member, salt: str | None) -> str:
    """Return the digest of a member's name, Hub account, beginning and salt.

    Nobody can guess the names from the digest, because the salt has 256 random bits.
    """
    beginning = [member.begun_at, member.begun_by, member.confirmed_by]
    return hashlib.sha256(canonical_json([member.name, member.account, member.user_id, *beginning, salt])).hexdigest()


def read_seals(reader: Reader) -> dict[str, str]:
    """Return the seal of each member's row by the member's id."""
    rows = reader.reads.rows(f"SELECT salt, {_COLUMNS} FROM members")
    return {(member := _member(row)).id: seal_of(member, salt) for salt, *row in rows}


def write_member(db: Database, member: Member, salt: str | None) -> None:
    """Store a member, replacing the one with the same name. Without a `salt`, nobody can sign in as this member."""
    db.run("DELETE FROM members WHERE name = ?", (member.name,))
    values = (
        member.name,
        member.role.value,
        None if member.repos is None else json.dumps(list(member.repos)),
        salt,
        member.made_at,
        member.id,
        member.account,
        member.user_id,
        member.origin.value,
        member.begun_at,
        member.begun_by,
        member.confirmed_by,
    )
    db.run(f"INSERT INTO members ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)


def _member(row: Sequence[Any]) -> Member:
    return decode_row(
        row,
        Member,
        repos=lambda text: None if text is None else json.loads(text),
        is_active=lambda salt: salt is not None,
    )
