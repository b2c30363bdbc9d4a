"""The ledger as a timeline: the newest entries first, of given repos, kinds, actors or requests, without reading a chain from its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..domain.ledger import LedgerLink
from ..domain.rows import LedgerRow, TimelineFilter, TimelinePage
from .ledger import names
from .memory import dictionary
from .packing import Packer, private_of
from .reading import Store
from .sql import Database
from .states import chain_of

LOOK: Final = 200_000  # entries that one page looks back over, at most; it says where it stopped


def timeline(
    store: Store, wanted: TimelineFilter, *, limit: int, before: int | None = None, look: int = LOOK
) -> TimelinePage:
    """The newest entries before one (the store's number of it); `look` back over so many."""
    db, called = store.reads, names(store.reads)
    where = _conditions(db, wanted, called, before, look)
    sql = (
        "SELECT l.id, l.repo_id, l.seq, l.at, l.kind, l.actor, l.request_id, l.body, l.commitment, l.hash, x.data,"
        f" x.person_id FROM ledger l LEFT JOIN private x ON x.id = l.id WHERE {' AND '.join(where.parts) or '1 = 1'}"
        f" ORDER BY {where.order} DESC LIMIT ?"
    )
    found = db.rows(sql, (*where.values, limit + 1))
    packer, rows = Packer(lambda number: dictionary(db, number)), []
    for ident, repo_id, seq, at, kind, actor, about, body, commitment, digest, data, person in found[:limit]:
        link = LedgerLink(called[repo_id], seq, at, kind, actor, about, body.encode(), commitment, bytes(digest))
        private = None if data is None else private_of(packer.unpack(data))
        rows.append(LedgerRow(id=ident, link=link, private=private, person=person))
    if len(found) > limit:
        return TimelinePage(rows, rows[-1].id)
    return TimelinePage(rows, where.floor, is_cut=True) if where.floor is not None else TimelinePage(rows)


def ends_changed(store: Store, since: int) -> list[tuple[str, int]]:
    """How many accesses each actor gave another end from a moment on (ms), by itself and not in a run."""
    top = _number(store.reads, "SELECT max(id) FROM ledger")
    sql = (
        "SELECT actor, count(DISTINCT request_id) FROM ledger"
        " WHERE id > ? AND kind = 'GrantDated' AND run IS NULL AND at >= ? GROUP BY actor"
    )
    return [(str(actor), int(count)) for actor, count in store.reads.rows(sql, (top - LOOK, since))]


@dataclass(slots=True)
class _Where:
    """`floor`: from where the next stretch goes on when this one was looked through without filling a page."""

    parts: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)
    order: str = "l.id"
    floor: int | None = None

    def say(self, sql: str, *some: object) -> None:
        self.parts.append(sql)
        self.values.extend(some)


def _conditions(
    db: Database, wanted: TimelineFilter, called: Mapping[int, str], before: int | None, look: int
) -> _Where:
    where = _Where()
    if wanted.kind is not None:
        where.say("l.kind = ?", wanted.kind)
    if wanted.actor is not None:
        where.say("(l.actor = ? OR substr(l.actor, 1, ?) = ?)", wanted.actor, len(wanted.actor) + 1, f"{wanted.actor}@")
    own = _chains(wanted, called)
    if wanted.requests is not None:  # an index leads to them, however far back they lie
        among, value = db.among(list(wanted.requests))
        where.say(f"l.request_id {among}", value)
        if before is not None:
            where.say("l.id < ?", before)
    elif own is not None and len(own) == 1:
        _along_chain(db, where, own[0], before, look)
        return where
    else:
        top = before if before is not None else _number(db, "SELECT max(id) FROM ledger") + 1
        where.say("l.id >= ? AND l.id < ?", top - look, top)
        where.floor = top - look if top - look > 1 else None
    if own is not None:
        among, value = db.among(own)
        where.say(f"+l.repo_id {among}", value)  # by the order of the entries, not repo by repo
    return where


def _chains(wanted: TimelineFilter, called: Mapping[int, str]) -> list[int] | None:
    """The numbers of the chains that are asked for; None: all."""
    if wanted.repos is None and wanted.with_desk:
        return None
    chains = None if wanted.repos is None else {chain_of(repo) for repo in wanted.repos}
    return [n for n, name in called.items() if (wanted.with_desk if n == 0 else chains is None or name in chains)]


def _along_chain(db: Database, where: _Where, chain: int, before: int | None, look: int) -> None:
    """One chain has an index of its own."""
    last = "SELECT max(seq) FROM ledger WHERE repo_id = ?"
    at = "SELECT seq FROM ledger WHERE repo_id = ? AND id = ?"
    top = _number(db, last, chain) + 1 if before is None else _number(db, at, chain, before)
    where.say("l.repo_id = ? AND l.seq >= ? AND l.seq < ?", chain, top - look, top)
    where.order = "l.seq"
    if top - look > 1:
        where.floor = _number(db, "SELECT id FROM ledger WHERE repo_id = ? AND seq = ?", chain, top - look)


def _number(db: Database, sql: str, *values: object) -> int:
    found = db.row(sql, values)
    return int((found and found[0]) or 0)
