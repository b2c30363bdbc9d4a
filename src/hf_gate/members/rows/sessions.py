"""Stores the sessions of members, and the devices on which personal links work.

Browser secrets are stored as digests only. `at` is the time of sessions and `link_at` that of links and devices, in ms.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from hf_gate.core.people.members import SESSION_LIFETIME, Member
from hf_gate.errors import StoreUnavailable
from hf_gate.members.sessions import DEVICE_LIFETIME, LINK_LIFETIME, LinkState, NewSession, Session, digest_secret
from hf_gate.store.rows import member_rows
from hf_gate.store.sql import Database, Reader, decode_row
from hf_gate.store.store import Store

IDLE_MS: Final = 30 * 60_000
MAX_SESSIONS: Final = 20  # sessions of one member; beyond this number, the least recently used one ends
MAX_DEVICES: Final = 20  # devices of one member; beyond this number, the least recently used one is forgotten
_LEEWAY_MS: Final = 5 * 60_000
"""A clock may be set back by this. What was made at a later time has ended: the clock was wrong when it was made."""
_IS_OPEN: Final = "seen_at BETWEEN ? AND ? AND made_at BETWEEN ? AND ?"
_COLUMNS: Final = "id, member, method, browser, made_at, seen_at"


# ---- personal links --------------------------------------------------------------------------------------------------


def check_personal_link(reader: Reader, link: str, device: str, link_at: int) -> tuple[Member | None, LinkState]:
    """Return the member of a personal link, and what the link can do in the browser with this device secret."""
    return _check_link(reader.reads, link, device, link_at)


def open_session_by_link(
    store: Store, secret: str, new: NewSession, link: str, device: str, *, at: int, link_at: int
) -> LinkState:
    """Open a session by a personal link. The first use binds the link to the browser with this device secret.

    Nothing is stored unless the link is valid.
    """
    with store.writing(is_short=True) as write:
        member, state = _check_link(write.db, link, device, link_at)
        if member is None or state is not LinkState.VALID or member.name != new.member:
            return LinkState.INVALID if state is LinkState.VALID else state
        if member.link_until is not None:
            write.db.run("UPDATE members SET link_until = NULL WHERE id = ?", (member.id,))
        _bind_device(write.db, member.id, device, link_at)
        _insert_session(write.db, secret, new, at)
    return LinkState.VALID


def open_session(store: Store, secret: str, new: NewSession, *, at: int, device: str = "", link_at: int = 0) -> bool:
    """Open a session without a personal link. With `device`, the member's personal link works in this browser.

    Return False if the parent session has ended.
    """
    with store.writing(is_short=True) as write:
        sql = f"SELECT 1 FROM sessions WHERE id = ? AND {_IS_OPEN}"
        if new.parent is not None and write.db.row(sql, (new.parent, *_open_times(at))) is None:
            return False
        known = next((member for member in member_rows.read_members(write.db) if member.name == new.member), None)
        if device and known is not None and known.has_link:
            _bind_device(write.db, known.id, device, link_at)
        _insert_session(write.db, secret, new, at)
    return True


# ---- sessions --------------------------------------------------------------------------------------------------------


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


def count_devices(reader: Reader, link_at: int) -> dict[str, int]:
    """Return the number of devices on which the personal link works, by member id."""
    sql = "SELECT member, count(*) FROM devices WHERE seen_at >= ? GROUP BY member"
    return {row[0]: row[1] for row in reader.reads.rows(sql, (link_at - DEVICE_LIFETIME,))}


def _open_times(at: int) -> tuple[int, int, int, int]:
    """Return the first and last time of use, and of the start, of a session that is open now: the
    values of `_IS_OPEN`.
    """
    return at - IDLE_MS, at + _LEEWAY_MS, at - SESSION_LIFETIME, at + _LEEWAY_MS


def _check_link(db: Database, link: str, device: str, link_at: int) -> tuple[Member | None, LinkState]:
    member = member_rows.read_member_by_link(db, digest_secret(link)) if link else None
    if member is None:
        return None, LinkState.INVALID
    if member.link_until is not None:
        is_in_time = link_at <= member.link_until <= link_at + LINK_LIFETIME + _LEEWAY_MS
        return member, LinkState.VALID if is_in_time else LinkState.EXPIRED
    theirs = "SELECT 1 FROM devices WHERE id = ? AND member = ? AND seen_at >= ?"
    is_bound = (
        bool(device) and db.row(theirs, (digest_secret(device), member.id, link_at - DEVICE_LIFETIME)) is not None
    )
    return member, LinkState.VALID if is_bound else LinkState.OTHER_DEVICE


def _bind_device(db: Database, member: str, device: str, link_at: int) -> None:
    """Make the personal link of a member work in a browser for the next 90 days."""
    new = digest_secret(device)
    db.run("DELETE FROM devices WHERE (id = ? AND member = ?) OR seen_at < ?", (new, member, link_at - DEVICE_LIFETIME))
    newest = "SELECT id FROM devices WHERE member = ? ORDER BY seen_at DESC, id LIMIT ?"
    db.run(f"DELETE FROM devices WHERE member = ? AND id NOT IN ({newest})", (member, member, MAX_DEVICES - 1))
    db.run("INSERT INTO devices (id, member, seen_at) VALUES (?, ?, ?)", (new, member, link_at))


def _insert_session(db: Database, secret: str, new: NewSession, at: int) -> None:
    """Store a session. Expired ones, and the oldest beyond the limit, are deleted."""
    db.run(f"DELETE FROM sessions WHERE NOT ({_IS_OPEN})", _open_times(at))
    newest = "SELECT id FROM sessions WHERE member = ? ORDER BY seen_at DESC, id LIMIT ?"
    oldest = f"DELETE FROM sessions WHERE member = ? AND id NOT IN ({newest})"
    db.run(oldest, (new.member, new.member, MAX_SESSIONS - 1))
    values = (digest_secret(secret), new.member, new.method.value, new.browser, new.began_at, at)
    db.run(f"INSERT INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", values)
