"""The ledger as a timeline: the newest entries first, of given repos, kinds, actors or requests, without reading a chain from its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ..domain.ids import Repo
from ..domain.ledger import Link
from ..domain.rows import LedgerRow
from .ledger import names
from .memory import dictionary
from .packing import Packer, private_of
from .reading import Store
from .sql import Database
from .states import chain_of

LOOK: Final = 200_000  # entries that one page looks back over, at most; it says where it stopped


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries. `repos` None: of every repo; `with_desk`: also of the desk's own chain; `actor` also without `@version`."""

    repos: Collection[Repo] | None = None
    with_desk: bool = True
    kind: str | None = None
    actor: str | None = None
    requests: Collection[int] | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some of the timeline. `next`: from where it goes on (None: that was all); `is_cut`: because enough was looked at."""

    rows: list[LedgerRow]
    next: int | None = None
    is_cut: bool = False


def timeline(store: Store, wanted: Wanted, *, limit: int, before: int | None = None) -> Stretch:
    """The newest entries before one (the store's number of it)."""
    db, called = store.reads, names(store.reads)
    where, values, floor = _conditions(db, wanted, called, before)
    sql = (
        "SELECT l.id, l.repo_id, l.seq, l.at, l.kind, l.actor, l.request_id, l.body, l.commitment, l.hash, x.data,"
        f" x.person_id FROM ledger l LEFT JOIN private x ON x.id = l.id WHERE {' AND '.join(where) or '1 = 1'}"
        " ORDER BY l.id DESC LIMIT ?"
    )
    found = db.rows(sql, (*values, limit + 1))
    packer, rows = Packer(lambda number: dictionary(db, number)), []
    for ident, repo_id, seq, at, kind, actor, about, body, commitment, digest, data, person in found[:limit]:
        link = Link(called[repo_id], seq, at, kind, actor, about, body.encode(), commitment, bytes(digest))
        private = None if data is None else private_of(packer.unpack(data))
        rows.append(LedgerRow(id=ident, link=link, private=private, person=person))
    if len(found) > limit:
        return Stretch(rows, rows[-1].id)
    return Stretch(rows, floor, is_cut=True) if floor > 1 else Stretch(rows)


def _conditions(
    db: Database, wanted: Wanted, called: Mapping[int, str], before: int | None
) -> tuple[list[str], list[object], int]:
    where: list[str] = []
    values: list[object] = []

    def say(sql: str, *some: object) -> None:
        where.append(sql)
        values.extend(some)

    if wanted.repos is not None or not wanted.with_desk:
        chains = None if wanted.repos is None else {chain_of(repo) for repo in wanted.repos}
        own = [n for n, name in called.items() if (wanted.with_desk if n == 0 else chains is None or name in chains)]
        among, value = db.among(own)
        say(f"l.repo_id {among}", value)
    if wanted.kind is not None:
        say("l.kind = ?", wanted.kind)
    if wanted.actor is not None:
        say("(l.actor = ? OR substr(l.actor, 1, ?) = ?)", wanted.actor, len(wanted.actor) + 1, f"{wanted.actor}@")
    if before is not None:
        say("l.id < ?", before)
    if wanted.requests is not None:  # an index leads to them, however far back they lie
        among, value = db.among(list(wanted.requests))
        say(f"l.request_id {among}", value)
        return where, values, 0
    top = before if before is not None else _last(db) + 1
    floor = max(0, top - LOOK)
    say("l.id >= ?", floor)
    return where, values, floor


def _last(db: Database) -> int:
    last = db.row("SELECT max(id) FROM ledger")
    return int((last and last[0]) or 0)
