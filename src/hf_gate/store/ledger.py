"""The ledger as it lies in the store: chains as links, entries with their private parts, checkpoints, what was done lately."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from ..domain.ledger import DESK, Checkpoint, LedgerLink
from ..domain.rows import LedgerRow
from ..domain.runs import RunKind
from .packing import Packer, private_of
from .sql import Database, Row
from .states import chain_of, repo_of

PAGE: Final = 5000
_heads = msgspec.json.Decoder(dict[str, tuple[int, str]]).decode
_FIRST: Final = -(2**62)  # before any number that an entry may be given by whoever puts one in
_WHOSE = (  # the repos that entries are of, a look into the index for each
    "WITH RECURSIVE whose (id) AS (SELECT min(repo_id) FROM ledger UNION ALL"
    " SELECT (SELECT min(l.repo_id) FROM ledger l WHERE l.repo_id > whose.id) FROM whose WHERE whose.id IS NOT NULL)"
    " SELECT id FROM whose WHERE id IS NOT NULL"
)
_LINK = "l.seq, l.at, l.kind, l.actor, l.request_id, l.body, l.commitment, l.hash"


def names(db: Database) -> dict[int, str]:
    """Numbers of repos to the names of their chains."""
    rows = db.rows("SELECT id, type, namespace, name FROM repos WHERE id > 0")
    known = {0: DESK} | {ident: chain_of(repo_of(kind, space, name)) for ident, kind, space, name in rows}
    lost = [*db.rows(_WHOSE), *db.rows("SELECT repo_id FROM chains")]
    return {ident: f"lost/{ident}" for (ident,) in lost} | known


def chains(db: Database) -> dict[str, tuple[int, bytes]]:
    """Each chain's length and last hash, as the writer keeps them; (0, nothing) where entries are and no head is."""
    called = names(db)
    heads = {repo_id: (seq, bytes(head)) for repo_id, seq, head in db.rows("SELECT repo_id, seq, head FROM chains")}
    headless = {repo_id: (0, b"") for (repo_id,) in db.rows(_WHOSE)}
    return dict(sorted((called[repo_id], head) for repo_id, head in (headless | heads).items()))


def links(db: Database, chain: str, first: int) -> Iterator[LedgerLink]:
    """A chain from an entry on, as it lies there."""
    for page in _pages(db, f"SELECT {_LINK} FROM ledger l", chain, first):
        for seq, at, kind, actor, request, body, commitment, digest in page:
            yield LedgerLink(chain, seq, at, kind, actor, request, body.encode(), commitment, digest)


def read_links_with_runs(db: Database, chain: str, first: int) -> Iterator[tuple[LedgerLink, str | None]]:
    """The same, each with the run that it is found by, which is in no hash: the body must say so too."""
    for page in _pages(db, f"SELECT {_LINK}, l.run FROM ledger l", chain, first):
        for seq, at, kind, actor, request, body, commitment, digest, run in page:
            yield LedgerLink(chain, seq, at, kind, actor, request, body.encode(), commitment, digest), run


def read_links_with_private_parts(
    db: Database, packer: Packer, chain: str, first: int
) -> Iterator[tuple[LedgerLink, bytes | None, bytes | None]]:
    """The same, each with salt and private part, None where they were erased; from 1 on also what stands before it.

    The salt without the private part: that is gone, though its person was not erased.
    """
    first = _FIRST if first <= 1 else first
    select = (
        f"SELECT {_LINK}, p.salt, x.data FROM ledger l LEFT JOIN private x ON x.id = l.id"
        " LEFT JOIN requests r ON r.id = CASE WHEN x.id IS NULL THEN l.request_id END"
        " LEFT JOIN people p ON p.id = coalesce(x.person_id, r.person_id)"
    )
    for page in _pages(db, select, chain, first):
        for seq, at, kind, actor, request, body, commitment, digest, salt, data in page:
            link = LedgerLink(chain, seq, at, kind, actor, request, body.encode(), commitment, digest)
            yield link, salt, None if data is None else packer.unpack(data)


def _pages(db: Database, select: str, chain: str, first: int) -> Iterator[list[Row]]:
    repo_id = next((ident for ident, name in names(db).items() if name == chain), None)
    sql = f"{select} WHERE l.repo_id = ? AND l.seq >= ? ORDER BY l.seq LIMIT {PAGE}"
    while repo_id is not None and (page := db.rows(sql, (repo_id, first))):
        yield page
        first = page[-1][0] + 1


def entries(
    db: Database, packer: Packer, *, request: int | None, run: str | None, limit: int, before: int | None
) -> list[LedgerRow]:
    """The latest entries first."""
    wanted = [("l.request_id = ?", request), ("l.run = ?", run), ("l.id < ?", before)]
    parts = [(sql, value) for sql, value in wanted if value is not None]
    where = " AND ".join(sql for sql, _ in parts) or "1 = 1"
    sql = (
        f"SELECT l.id, l.repo_id, {_LINK}, x.data, x.person_id FROM ledger l LEFT JOIN private x ON x.id = l.id"
        f" WHERE {where} ORDER BY l.id DESC LIMIT ?"
    )
    called = names(db)
    found = []
    for ident, repo_id, seq, at, kind, actor, about, body, commitment, digest, data, person in db.rows(
        sql, (*(value for _, value in parts), limit)
    ):
        link = LedgerLink(called[repo_id], seq, at, kind, actor, about, body.encode(), commitment, bytes(digest))
        private = None if data is None else private_of(packer.unpack(data))
        found.append(LedgerRow(id=ident, link=link, private=private, person=person))
    return found


def checkpoints(db: Database) -> list[Checkpoint]:
    """In the order in which they were made."""
    return [Checkpoint(at, _heads(heads)) for at, heads in db.rows("SELECT at, heads FROM checkpoints ORDER BY id")]


def done_since(db: Database, verb: str, since: int) -> int:
    """How many changes were done unattended from a moment on (ms): accept, reject, reset, cancel, or remove."""
    found = db.row(
        "SELECT count(*) FROM done d JOIN ledger l ON l.id = d.ledger_id JOIN runs r ON r.id = l.run"
        " WHERE d.verb = ? AND d.at >= ? AND r.kind = ?",
        (verb, since, RunKind.AUTO),
    )
    return int(found[0]) if found else 0
