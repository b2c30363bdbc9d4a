"""Members, their sessions and their saved views as they lie in the store; what a browser shows is kept as a digest only."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Final

from ..domain.members import Member, Role
from ..errors import StoreBusy
from .reading import Store

IDLE: Final = 30 * 60_000
LIVES: Final = 12 * 3_600_000


def digest_of(secret: str) -> str:
    """What is kept of 256 random bits: nobody finds the way back."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Members:
    """Who may come in, and who is in."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # ---- members -------------------------------------------------------------------------------------------------------

    def all(self) -> list[Member]:
        """By name."""
        rows = self._store.reads.rows("SELECT name, role, repos, link, made_at FROM members ORDER BY name")
        return [_member(*row) for row in rows]

    def named(self, name: str) -> Member | None:
        return next((one for one in self.all() if one.name == name), None)

    def by_link(self, secret: str) -> Member | None:
        """Whose personal link that is."""
        row = self._store.reads.row(
            "SELECT name, role, repos, link, made_at FROM members WHERE link = ?", (digest_of(secret),)
        )
        return None if row is None else _member(*row)

    def invite(self, member: Member, secret: str | None) -> None:
        """Lets somebody in by a link (None: by none any more); their sessions end."""
        repos = None if member.repos is None else json.dumps(list(member.repos))
        link = None if secret is None else digest_of(secret)
        with self._store.writing() as write:
            write.db.run(
                "INSERT INTO members (name, role, repos, link, made_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET role = excluded.role, repos = excluded.repos, link = excluded.link",
                (member.name, member.role.value, repos, link, member.made_at),
            )
            write.db.run("DELETE FROM sessions WHERE member = ?", (member.name,))

    # ---- sessions ------------------------------------------------------------------------------------------------------

    def open(self, secret: str, member: str, at: int, link: str | None = None) -> bool:
        """A new session; those that are over are forgotten. `link`: by which they came; False when it is not theirs any more."""
        with self._store.writing() as write:
            theirs = "SELECT 1 FROM members WHERE name = ? AND link = ?"
            if link is not None and write.db.row(theirs, (member, digest_of(link))) is None:
                return False
            write.db.run("DELETE FROM sessions WHERE seen_at < ? OR made_at < ?", (at - IDLE, at - LIVES))
            values = (digest_of(secret), member, at, at)
            write.db.run("INSERT INTO sessions (id, member, made_at, seen_at) VALUES (?, ?, ?, ?)", values)
        return True

    def whose(self, secret: str, at: int, *, renew: bool = True) -> str | None:
        """The member of a session that is not over; `renew`: they are there just now."""
        row = self._store.reads.row(
            "SELECT member, seen_at FROM sessions WHERE id = ? AND seen_at >= ? AND made_at >= ?",
            (digest_of(secret), at - IDLE, at - LIVES),
        )
        if row is None:
            return None
        if renew and at - row[1] > 60_000:  # once a minute is exact enough
            with suppress(StoreBusy), self._store.working(wait=0.0), self._store.writing() as write:
                write.db.run("UPDATE sessions SET seen_at = ? WHERE id = ?", (at, digest_of(secret)))
        return str(row[0])

    def close(self, secret: str) -> None:
        """The end of one session."""
        with self._store.writing() as write:
            write.db.run("DELETE FROM sessions WHERE id = ?", (digest_of(secret),))

    def sessions(self, at: int) -> list[tuple[str, int, int]]:
        """Who is in: member, since when and last seen when (ms)."""
        return self._store.reads.rows(
            "SELECT member, made_at, seen_at FROM sessions WHERE seen_at >= ? AND made_at >= ? ORDER BY seen_at DESC",
            (at - IDLE, at - LIVES),
        )

    # ---- saved views ---------------------------------------------------------------------------------------------------

    def views(self, member: str) -> list[tuple[str, str]]:
        """Name and query, in the order in which they were saved."""
        sql = "SELECT name, query FROM views WHERE member = ? ORDER BY made_at, name"
        return [(row[0], row[1]) for row in self._store.reads.rows(sql, (member,))]

    def save_view(self, member: str, name: str, query: str | None, at: int) -> None:
        """Keeps a query under a name; None removes it."""
        with self._store.writing() as write:
            write.db.run("DELETE FROM views WHERE member = ? AND name = ?", (member, name))
            if query is not None:
                values = (member, name, query, at)
                write.db.run("INSERT INTO views (member, name, query, made_at) VALUES (?, ?, ?, ?)", values)


def _member(name: str, role: str, repos: str | None, link: str | None, made_at: int) -> Member:
    globs = None if repos is None else tuple(json.loads(repos))
    return Member(name=name, role=Role(role), repos=globs, has_link=link is not None, made_at=made_at)
