"""Stores what the desks of a store on PostgreSQL share for a while. Some keys are secrets, so digests are stored."""

from __future__ import annotations

import secrets
from typing import Final

from hf_gate.members.sessions import digest_secret
from hf_gate.store.rows.processes import DATABASE_NOW
from hf_gate.store.sql import Reader
from hf_gate.store.store import Store

_DESK_KEY: Final = "desk_key"
_IS_KEY: Final = f"kind = ? AND key = ? AND until > {DATABASE_NOW}"


def write_shared_value(
    store: Store, kind: str, key: str, subject: str, value: bytes, *, lifetime: int, of_subject: int
) -> None:
    """Store a value for `lifetime` ms. Only the latest `of_subject` values of a subject are kept."""
    with store.writing(is_short=True) as write:
        write.db.run(f"DELETE FROM shared_values WHERE until <= {DATABASE_NOW}")
        write.db.run(
            f"INSERT INTO shared_values (kind, key, subject, value, until) VALUES (?, ?, ?, ?, {DATABASE_NOW} + ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, until = excluded.until",
            (kind, digest_secret(key), subject, value, lifetime),
        )
        latest = "SELECT key FROM shared_values WHERE kind = ? AND subject = ? ORDER BY until DESC, key LIMIT ?"
        write.db.run(
            f"DELETE FROM shared_values WHERE kind = ? AND subject = ? AND key NOT IN ({latest})",
            (kind, subject, kind, subject, of_subject),
        )


def read_shared_value(reader: Reader, kind: str, key: str) -> bytes | None:
    """Return a value; None if there is none, or it has lapsed."""
    row = reader.reads.row(f"SELECT value FROM shared_values WHERE {_IS_KEY}", (kind, digest_secret(key)))
    return None if row is None else bytes(row[0])


def take_shared_value(store: Store, kind: str, key: str) -> bytes | None:
    """Delete a value and return it; None if another desk was first."""
    with store.writing(is_short=True) as write:
        sql = f"DELETE FROM shared_values WHERE {_IS_KEY} RETURNING value"
        row = write.db.row(sql, (kind, digest_secret(key)))
        return None if row is None else bytes(row[0])


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
