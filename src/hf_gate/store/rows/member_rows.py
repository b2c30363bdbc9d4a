"""Reads and writes the rows of members."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from hf_gate.core.events.events import canonical_json
from hf_gate.core.people.members import Member, MemberOrigin
from hf_gate.store.sql import Database, Reader, decode_row

_COLUMNS: Final = "name, role, repos, link, made_at, id, account, user_id, proven_at, link_until, origin"


def read_members(db: Database) -> list[Member]:
    """Return all members, ordered by name."""
    return [_member(row) for row in db.rows(f"SELECT {_COLUMNS} FROM members ORDER BY name")]


def read_member_by_link(db: Database, digest: str) -> Member | None:
    """Return the member whose personal link has this digest."""
    row = db.row(f"SELECT {_COLUMNS} FROM members WHERE link = ?", (digest,))
    return None if row is None else _member(row)


def seal_of(member: Member, link: str | None) -> str:
    """Return the digest of a member's name, Hub account and link.

    Nobody can guess the names from the digest, because the link has 256 random bits.
    """
    return hashlib.sha256(canonical_json([member.name, member.account, member.user_id, link])).hexdigest()


def read_seals(reader: Reader) -> dict[str, str]:
    """Return the seal of each member's row by the member's id."""
    rows = reader.reads.rows(f"SELECT link, {_COLUMNS} FROM members")
    return {(member := _member(row)).id: seal_of(member, link) for link, *row in rows}


def write_member(db: Database, member: Member, link: str | None) -> None:
    """Store a member, replacing the one with the same name. `link` is the digest of the personal link.

    An account that an admin removed stays known under another name, so that it cannot come back by an organisation.
    """
    db.run(
        "UPDATE members SET name = name || '~' || id WHERE name = ? AND link IS NULL AND origin = ?"
        " AND user_id IS NOT NULL AND user_id <> ?",
        (member.name, MemberOrigin.REMOVED.value, member.user_id or ""),
    )
    db.run("DELETE FROM members WHERE name = ?", (member.name,))
    values = (
        member.name,
        member.role.value,
        None if member.repos is None else json.dumps(list(member.repos)),
        link,
        member.made_at,
        member.id,
        member.account,
        member.user_id,
        member.proven_at,
        member.link_until,
        member.origin.value,
    )
    db.run(f"INSERT INTO members ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)


def _member(row: Sequence[Any]) -> Member:
    return decode_row(
        row,
        Member,
        repos=lambda text: None if text is None else json.loads(text),
        has_link=lambda link: link is not None,
    )
