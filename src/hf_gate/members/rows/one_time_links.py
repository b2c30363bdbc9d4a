"""Stores one-time links on PostgreSQL, and the key that all desks of a store share. Secrets are stored as digests."""

from __future__ import annotations

import secrets
from typing import Final

from hf_gate.members.sessions import OneTimeLink, SignInMethod, digest_secret
from hf_gate.store.rows.processes import DATABASE_NOW
from hf_gate.store.sql import Reader, Row
from hf_gate.store.store import Store

_DESK_KEY: Final = "desk_key"
_IS_LINK: Final = f"digest = ? AND until > {DATABASE_NOW}"


def write_link(store: Store, secret: str, link: OneTimeLink, *, lifetime: int, most: int) -> None:
    """Store a link for `lifetime` ms. Only the latest `most` links of a member of one kind are kept."""
    with store.writing(is_short=True) as write:
        write.db.run(f"DELETE FROM one_time_links WHERE until <= {DATABASE_NOW}")
        write.db.run(
            f"INSERT INTO one_time_links (digest, member, method, until) VALUES (?, ?, ?, {DATABASE_NOW} + ?)"
            " ON CONFLICT (digest) DO UPDATE SET until = excluded.until",
            (digest_secret(secret), link.member, link.method.value, lifetime),
        )
        latest = "SELECT digest FROM one_time_links WHERE member = ? AND method = ? ORDER BY until DESC, digest LIMIT ?"
        write.db.run(
            f"DELETE FROM one_time_links WHERE member = ? AND method = ? AND digest NOT IN ({latest})",
            (link.member, link.method.value, link.member, link.method.value, most),
        )


def read_link(reader: Reader, secret: str) -> OneTimeLink | None:
    """Return a link; None if there is none, or it has lapsed."""
    sql = f"SELECT member, method FROM one_time_links WHERE {_IS_LINK}"
    return _link(reader.reads.row(sql, (digest_secret(secret),)))


def take_link(store: Store, secret: str) -> OneTimeLink | None:
    """Delete a link and return it; None if another desk was first."""
    with store.writing(is_short=True) as write:
        sql = f"DELETE FROM one_time_links WHERE {_IS_LINK} RETURNING member, method"
        return _link(write.db.row(sql, (digest_secret(secret),)))


def _link(row: Row | None) -> OneTimeLink | None:
    return None if row is None else OneTimeLink(row[0], SignInMethod(row[1]))


def read_desk_key(store: Store) -> bytes | None:
    """Return the key that all desks of a store have, made when it is first read; None on SQLite, which has one desk."""
    if not store.is_shared:
        return None
    if (found := store.setting(_DESK_KEY)) is None:
        with store.writing(is_short=True) as write:
            found = write.db.setting(_DESK_KEY)
            if found is None:
                found = secrets.token_hex(32)
                write.write_setting(_DESK_KEY, found)
    return bytes.fromhex(found)
