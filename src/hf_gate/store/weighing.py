"""What a decision about a selection would hit, counted where it lies: who can be decided so, and who is left out and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .reading import Store
from .sql import Database
from .states import repo_of

LOOK: Final = (
    "r.status || '.' || r.asked_at || '.' || coalesce(r.moved_at, 0) || '.' || coalesce(r.reviewed_at, 0)"
    " || '.' || coalesce(r.record_id, 0)"
)
"""How a request looks, as a text that is another one as soon as its status, attempt or answers are."""

GONE, MOVED, OWN, PROTECTED, HELD, CARRIED = "gone", "moved", "own", "protected", "held", "carried"
STATUS: Final = "status "
"""Begins the reason of those who stand where the verb cannot be meant; the status follows."""

_PRIME: Final = 10007
_FROM: Final = (
    "picked k LEFT JOIN requests r ON r.id = k.request_id LEFT JOIN people p ON p.id = r.person_id WHERE k.pick = ?"
)


@dataclass(frozen=True, slots=True)
class Aim:
    """A verb about a selection. `able`: the statuses that it can be meant of; `repos`: the numbers of those that count."""

    pick: str
    able: Collection[str]
    repos: Collection[int]
    own: Collection[str]  # names and ids, in lower case, of the account whose requests nobody but others decide
    protected: Collection[str] = ()


class Heap(NamedTuple):
    """So many who are alike. `why` they are left out; empty: they can be decided."""

    why: str
    repo: str
    status: str
    action: str | None
    rule: str | None
    is_again: bool
    was_in: bool
    n: int


def heaps(store: Store, aim: Aim) -> list[Heap]:
    """Everybody of a selection, counted by what matters; looks at each once."""
    why, values = _why(store.reads, aim)
    past = (
        "EXISTS (SELECT 1 FROM history h WHERE h.person_id = r.person_id AND h.repo_id = r.repo_id AND h.accepted > 0)"
    )
    rows = store.reads.rows(
        "SELECT w.why, o.type, o.namespace, o.name, w.status, v.action, v.rule, w.again, w.past, w.n FROM"
        " (SELECT why, repo_id, status, verdict_id, again, past, count(*) AS n FROM"
        f" (SELECT {why} AS why, r.repo_id, r.status, r.verdict_id, r.attempt > 1 AS again, {past} AS past FROM {_FROM}) AS e"
        " GROUP BY 1, 2, 3, 4, 5, 6) AS w"
        " LEFT JOIN repos o ON o.id = w.repo_id LEFT JOIN verdicts v ON v.id = w.verdict_id",
        (*values, aim.pick),
    )
    return [
        Heap(row[0], str(repo_of(*row[1:4])) if row[1] else "", row[4] or "", row[5], row[6], bool(row[7]), bool(row[8]),
             int(row[9]))
        for row in rows
    ]  # fmt: skip


def ready(store: Store, aim: Aim, size: int = 1000) -> Iterator[list[int]]:
    """The numbers of those who can be decided, so many at a time, in their order."""
    why, values = _why(store.reads, aim)
    after = 0
    while True:
        rows = store.reads.rows(
            f"SELECT k.request_id FROM {_FROM} AND k.request_id > ? AND {why} = '' ORDER BY k.request_id LIMIT ?",
            (aim.pick, after, *values, size),
        )
        if rows:
            yield [row[0] for row in rows]
        if len(rows) < size:
            return
        after = rows[-1][0]


def sample(store: Store, aim: Aim, size: int) -> list[int]:
    """Some of them from all over the selection, the same each time."""
    row = store.reads.row("SELECT count(*) FROM picked WHERE pick = ?", (aim.pick,))
    count = int(row[0]) if row else 0
    part = min(_PRIME, _PRIME * size * 20 // max(1, count))  # of very many, a part is looked at first
    found = _sample(store.reads, aim, size, part)
    return sorted(found if len(found) == size or part == _PRIME else _sample(store.reads, aim, size, _PRIME))


def _sample(db: Database, aim: Aim, size: int, part: int) -> list[int]:
    why, values = _why(db, aim)
    order = f"(k.request_id * 7919) % {_PRIME}"
    rows = db.rows(
        f"SELECT k.request_id FROM {_FROM} AND {order} < ? AND {why} = '' ORDER BY {order}, k.request_id LIMIT ?",
        (aim.pick, part, *values, size),
    )
    return [row[0] for row in rows]


def _why(db: Database, aim: Aim) -> tuple[str, Sequence[object]]:
    """Why one is left out, as SQL: the first reason that holds."""
    able, able_value = db.among(aim.able)
    repos, repos_value = db.among(aim.repos)
    own, own_value = db.among(list(aim.own))
    kept, kept_value = db.among([name.lower() for name in aim.protected])
    is_kept = f" WHEN lower(p.username) {kept} OR p.user_id {kept} THEN '{PROTECTED}'" if aim.protected else ""
    sql = (
        f"CASE WHEN r.id IS NULL OR r.record_id IS NULL OR NOT (r.repo_id {repos}) THEN '{GONE}'"
        f" WHEN NOT (r.status {able}) THEN '{STATUS}' || r.status"
        f" WHEN NOT r.is_current OR {LOOK} <> k.ground THEN '{MOVED}'"
        f" WHEN lower(p.username) {own} OR p.user_id {own} THEN '{OWN}'{is_kept}"
        f" WHEN r.id IN (SELECT y.request_id FROM tray y WHERE y.outcome IS NULL) THEN '{HELD}'"
        f" WHEN r.open_run IS NOT NULL THEN '{CARRIED}' ELSE '' END"
    )
    more = (kept_value, kept_value) if aim.protected else ()
    return sql, (repos_value, able_value, own_value, own_value, *more)
