"""Stores the sessions of members. Browser secrets are stored as digests only, and times are in ms."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from hf_gate.core.people.members import SESSION_LIFETIME
from hf_gate.errors import StoreUnavailable
from hf_gate.members.sessions import NewSession, Session, digest_secret
from hf_gate.store.sql import Reader, decode_row
from hf_gate.store.store import Store

IDLE_MS: Final = 30 * 60_000
MAX_SESSIONS: Final = 20  # sessions of one member; beyond this number, the least recently used one ends
_LEEWAY_MS: Final = 5 * 60_000
"""A clock may be set back by this. What was made at a later time has ended: the clock was wrong when it was made."""
_IS_OPEN: Final = "seen_at BETWEEN ? AND ? AND made_at BETWEEN ? AND ?"
_COLUMNS: Final = "id, member, method, browser, made_at, seen_at"


def open_session(store: Store, secret: str, new: NewSession, at: int) -> None:
    """Store a session. Expired ones, and the oldest beyond the limit, are deleted."""
    with store.writing(is_short=True) as write:
        write.db.run(f"DELETE FROM sessions WHERE NOT ({_IS_OPEN})", _open_times(at))
        newest = "SELECT id FROM sessions WHERE member = ? ORDER BY seen_at DESC, id LIMIT ?"
        oldest = f"DELETE FROM sessions WHERE member = ? AND id NOT IN ({newest})"
        write.db.run(oldest, (new.member, new.member, MAX_SESSIONS - 1))
        values = (digest_secret(secret), new.member, new.method.value, new.browser, at, at)
        write.db.run(f"INSERT INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", values)


def find_session_member(store: Store, secret: str, at: int, *, renew: bool = True) -> str | None:
    """Return the member of a session that has not ended. `renew` extends the session, because it is being used."""
    row = store.reads.row(
        f"SELECT member, seen_at FROM sessions WHERE id = ? AND {_IS_OPEN}",
        (digest_secret(secret), *_open_times(at)),
    )
    if row is None:
        return None
    if renew and at - row[1] > 60_000:  # an update once a minute is precise enough
        with suppress(StoreUnavailable), store.writing(is_short=True, wait=0.0) as write:
            write.db.run("UPDATE sessions SET seen_at = ? WHERE id = ?", (at, digest_secret(secret)))
    return str(row[0])


def delete_session_by_secret(store: Store, secret: str) -> None:
    """End the session of a browser's secret."""
    delete_session(store, digest_secret(secret))


def delete_session(store: Store, ident: str, member: str | None = None) -> bool:
    """End the session with this id; with `member`, only if it is theirs. Return whether there was one."""
    sql = "SELECT member FROM sessions WHERE id = ?"
    if store.reads.row(sql, (ident,)) is None:
        return False  # strangers must not take the write lock
    with store.writing(is_short=True) as write:
        row = write.db.row(sql, (ident,))
        if row is None or member not in {None, row[0]}:
            return False
        write.db.run("DELETE FROM sessions WHERE id = ?", (ident,))
    return True


def list_open_sessions(reader: Reader, at: int, member: str | None = None) -> list[Session]:
    """Return the open sessions of a member, or of all, the most recently used first."""
    rows = reader.reads.rows(
        f"SELECT {_COLUMNS} FROM sessions WHERE {_IS_OPEN} ORDER BY seen_at DESC, id", _open_times(at)
    )
    found = [decode_row(row, Session) for row in rows]
    return [one for one in found if member in {None, one.member}]


def _open_times(at: int) -> tuple[int, int, int, int]:
    """Return the first and last time of use, and of the start, of a session that is open now: the
    values of `_IS_OPEN`.
    """
    return at - IDLE_MS, at + _LEEWAY_MS, at - SESSION_LIFETIME, at + _LEEWAY_MS
