"""Adds entries to the chains of the ledger, and reads entries as links, with private parts, or newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from hf_gate.base.batches import iterate_cursor_pages
from hf_gate.base.decoding import make_json_decoder
from hf_gate.core.events.events import AnyEvent, GrantDated, commitment_of, encode_event, kind_of
from hf_gate.core.events.ledger import WORKSPACE_CHAIN, Checkpoint, LedgerLink, SealedEntry, chain_of, link_hash
from hf_gate.core.people.members import KEY_ACTOR
from hf_gate.core.runs import RunKind
from hf_gate.core.stored_rows import LedgerRow, TimelineFilter, TimelinePage
from hf_gate.store.sql import Database, Reader, Row
from hf_gate.store.writing.compression import decode_private_part, pack, unpack
from hf_gate.store.writing.writer_cache import WriterCache

from .repos import read_repos_by_number

PAGE: Final = 500  # entries read at a time; more would not stay in the processor's cache
_heads = make_json_decoder(dict[str, tuple[int, str]]).decode
_FIRST: Final = -(2**62)  # below any number that a forged entry could have
_REPOS_WITH_ENTRIES = (  # a recursive query reads one index entry for each repo instead of all ledger entries
    "WITH RECURSIVE whose (id) AS (SELECT min(repo_id) FROM ledger UNION ALL"
    " SELECT (SELECT min(l.repo_id) FROM ledger l WHERE l.repo_id > whose.id) FROM whose WHERE whose.id IS NOT NULL)"
    " SELECT id FROM whose WHERE id IS NOT NULL"
)
_LINK = "l.seq, l.at, l.kind, l.actor, l.request_id, l.body, l.commitment, l.hash"
_PUBLIC = f"SELECT l.id, l.repo_id, {_LINK}, NULL, NULL FROM ledger l"
_ENTRY = f"SELECT l.id, l.repo_id, {_LINK}, x.data, x.person_id FROM ledger l LEFT JOIN private x ON x.id = l.id"
MAX_LOOK_BACK: Final = 200_000  # the most entries that one page searches; the page says where it stopped
_INSERT_ENTRY = (
    "INSERT INTO ledger (id, repo_id, seq, at, kind, actor, request_id, run, body, commitment, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPSERT_HEAD = (
    "INSERT INTO chains (repo_id, seq, head) VALUES (?, ?, ?)"
    " ON CONFLICT (repo_id) DO UPDATE SET seq = excluded.seq, head = excluded.head"
)


# ---- adding entries --------------------------------------------------------------------------------------------------


class ChainWriter:
    """Adds the entries of one call to a chain."""

    def __init__(self, db: Database, memory: WriterCache, repo_id: int, chain: str) -> None:
        self._db = db
        self._memory = memory
        self._repo_id = repo_id
        self._chain = chain
        self._seq, self._head = memory.chain_head(repo_id)
        self._rows: list[Row] = []
        self._private: list[Row] = []

    def add(
        self,
        event: AnyEvent,
        at: int,
        actor: str,
        request: int | None = None,
        person: int | None = None,
        salt: bytes | None = None,
        private: bytes | None = None,
    ) -> int:
        """Add an entry and return its number.

        A private part (canonical JSON) is stored only if its person has a salt.
        """
        ident = self._memory.take_number("ledger")
        self._seq += 1
        commitment = None
        if private is not None and salt is not None:
            commitment = commitment_of(salt, private)
            self._private.append((ident, person, pack(private)))
        kind = kind_of(type(event))
        body = encode_event(event)
        link = LedgerLink(self._chain, self._seq, at, kind, actor, request, body, commitment)
        self._head = link_hash(self._head, link)
        run = getattr(event, "run", None)
        self._rows.append(
            (ident, self._repo_id, self._seq, at, kind, actor, request, run, body.decode(), commitment, self._head)
        )
        return ident

    def write_rows(self) -> None:
        """Write the entries so far."""
        self._db.insert_many(_INSERT_ENTRY, self._rows)
        self._db.insert_many("INSERT INTO private (id, person_id, data) VALUES (?, ?, ?)", self._private)
        self._rows = []
        self._private = []

    def flush(self) -> None:
        """Write the remaining entries and the new head of the chain."""
        self.write_rows()
        if self._seq != self._memory.chain_head(self._repo_id)[0]:
            self._db.run(_UPSERT_HEAD, (self._repo_id, self._seq, self._head))
            self._memory.heads[self._repo_id] = (self._seq, self._head)


# ---- chains and entries ----------------------------------------------------------------------------------------------


def read_chain_names(reader: Reader) -> dict[int, str]:
    """Return the name of each repo's chain by the repo's number."""
    known = {0: WORKSPACE_CHAIN} | {ident: chain_of(repo) for ident, repo in read_repos_by_number(reader).items()}
    lost = [*reader.reads.rows(_REPOS_WITH_ENTRIES), *reader.reads.rows("SELECT repo_id FROM chains")]
    return {ident: f"lost/{ident}" for (ident,) in lost} | known


def read_chains(reader: Reader) -> dict[str, tuple[int, bytes]]:
    """Return the stored length and last hash of each chain; (0, b"") for entries whose chain has no stored head."""
    chain_names = read_chain_names(reader)
    heads = {
        repo_id: (seq, bytes(head)) for repo_id, seq, head in reader.reads.rows("SELECT repo_id, seq, head FROM chains")
    }
    headless = {repo_id: (0, b"") for (repo_id,) in reader.reads.rows(_REPOS_WITH_ENTRIES)}
    return dict(sorted((chain_names[repo_id], head) for repo_id, head in (headless | heads).items()))


def iterate_chain_with_runs(reader: Reader, chain: str, first: int) -> Iterator[tuple[LedgerLink, str | None]]:
    """Iterate over the stored entries of a chain, starting at number `first`, each with its stored run.

    The run column is not hashed, so the body must name the same run.
    """
    for page in _iterate_chain_pages(reader, f"SELECT {_LINK}, l.run FROM ledger l", chain, first):
        for seq, at, kind, actor, request, body, commitment, digest, run in page:
            yield LedgerLink(chain, seq, at, kind, actor, request, body.encode(), commitment, digest), run


def iterate_chain_with_private_parts(reader: Reader, chain: str, first: int) -> Iterator[SealedEntry]:
    """Iterate over entries, each with its private part.

    With `first` 1 or less, entries with forged numbers below 1 are included.
    """
    first = _FIRST if first <= 1 else first
    select = (
        f"SELECT {_LINK}, p.salt, x.data FROM ledger l LEFT JOIN private x ON x.id = l.id"
        " LEFT JOIN requests r ON r.id = CASE WHEN x.id IS NULL THEN l.request_id END"
        " LEFT JOIN people p ON p.id = coalesce(x.person_id, r.person_id)"
    )
    for page in _iterate_chain_pages(reader, select, chain, first):
        for seq, at, kind, actor, request, body, commitment, digest, salt, data in page:
            link = LedgerLink(chain, seq, at, kind, actor, request, body.encode(), commitment, digest)
            yield SealedEntry(link, salt, None if data is None else unpack(data))


def _iterate_chain_pages(reader: Reader, select: str, chain: str, first: int) -> Iterator[list[Row]]:
    repo_id = next((ident for ident, name in read_chain_names(reader).items() if name == chain), None)
    sql = f"{select} WHERE l.repo_id = ? AND l.seq >= ? ORDER BY l.seq LIMIT {PAGE}"
    while repo_id is not None and (page := reader.reads.rows(sql, (repo_id, first))):
        yield page
        first = page[-1][0] + 1


def read_latest_entries(
    reader: Reader, *, request: int | None, run: str | None, limit: int, before: int | None
) -> list[LedgerRow]:
    """Return the entries about a request or of a run, the latest first, however old they are."""
    wanted = [("l.request_id = ?", request), ("l.run = ?", run), ("l.id < ?", before)]
    parts = [(sql, value) for sql, value in wanted if value is not None]
    where = " AND ".join(sql for sql, _ in parts) or "1 = 1"
    found = reader.reads.rows(
        f"{_ENTRY} WHERE {where} ORDER BY l.id DESC LIMIT ?", (*(value for _, value in parts), limit)
    )
    return _build_rows(found, read_chain_names(reader))


def _build_rows(found: Sequence[Row], chain_names: Mapping[int, str]) -> list[LedgerRow]:
    """Convert rows selected by `_ENTRY`."""
    rows = []
    for ident, repo_id, seq, at, kind, actor, about, body, commitment, digest, data, person in found:
        link = LedgerLink(chain_names[repo_id], seq, at, kind, actor, about, body.encode(), commitment, bytes(digest))
        private = None if data is None else decode_private_part(unpack(data))
        rows.append(LedgerRow(id=ident, link=link, private=private, person=person))
    return rows


def read_checkpoints(reader: Reader) -> list[Checkpoint]:
    """Return all checkpoints in the order in which they were made."""
    return [
        Checkpoint(at, _heads(heads))
        for at, heads in reader.reads.rows("SELECT at, heads FROM checkpoints ORDER BY id")
    ]


def count_unattended_changes(reader: Reader, verb: str, since: int) -> int:
    """Return how many changes turns and keys made since a time (ms): accept, reject, reset, cancel or remove."""
    return reader.reads.count(
        "SELECT count(*) FROM done d JOIN ledger l ON l.id = d.ledger_id JOIN runs r ON r.id = l.run"
        " WHERE d.verb = ? AND d.at >= ? AND (r.kind = ? OR substr(r.member, 1, ?) = ?)",
        (verb, since, RunKind.AUTO, len(KEY_ACTOR), KEY_ACTOR),
    )


# ---- newest entries first --------------------------------------------------------------------------------------------


def search_entries(
    reader: Reader,
    wanted: TimelineFilter,
    *,
    limit: int,
    before: int | None = None,
    max_searched: int = MAX_LOOK_BACK,
    with_private: bool = True,
) -> TimelinePage:
    """Return the newest entries that match a filter, before entry number `before`; at most
    `max_searched` are searched.
    """
    db = reader.reads
    chain_names = read_chain_names(reader.reads)
    where = _build_conditions(db, wanted, chain_names, before, max_searched)
    select = _ENTRY if with_private else _PUBLIC
    sql = f"{select} WHERE {' AND '.join(where.parts) or '1 = 1'} ORDER BY {where.order} DESC LIMIT ?"
    found = db.rows(sql, (*where.values, limit + 1))
    rows = _build_rows(found[:limit], chain_names)
    if len(found) > limit:
        return TimelinePage(rows, rows[-1].id)
    return TimelinePage(rows, where.floor, is_cut=True) if where.floor is not None else TimelinePage(rows)


def iterate_entries(reader: Reader, wanted: TimelineFilter, *, with_private: bool = False) -> Iterator[LedgerRow]:
    """Iterate over all entries that match a filter, newest first, however old they are."""
    for page in iterate_cursor_pages(
        lambda before: search_entries(reader, wanted, limit=PAGE, before=before, with_private=with_private)
    ):
        yield from page.rows


def count_ends_changed_outside_runs(reader: Reader, since: int) -> list[tuple[str, int]]:
    """Return the number of grants whose end each actor changed since a time (ms), not counting changes by runs."""
    top = reader.reads.count("SELECT max(id) FROM ledger")
    sql = (
        "SELECT actor, count(DISTINCT request_id) FROM ledger"
        " WHERE id > ? AND kind = ? AND run IS NULL AND at >= ? GROUP BY actor"
    )
    return [
        (str(actor), int(count))
        for actor, count in reader.reads.rows(sql, (top - MAX_LOOK_BACK, kind_of(GrantDated), since))
    ]


def read_entries_after(
    reader: Reader, after: int, limit: int, wanted: TimelineFilter
) -> tuple[list[LedgerRow], int, bool]:
    """Return the oldest entries after a number, without private parts, at the repos of a filter.

    Also return the number up to which entries were searched, at most `MAX_LOOK_BACK` further, and whether there are
    later ones.
    """
    db = reader.reads
    last = db.count("SELECT max(id) FROM ledger")
    until = min(last, after + MAX_LOOK_BACK)
    chain_names = read_chain_names(reader)
    sql = f"{_PUBLIC} WHERE l.id > ? AND l.id <= ?"
    values: list[object] = [after, until]
    if (own := _select_chains(wanted, chain_names)) is not None:
        among, value = db.in_clause(own)
        sql = f"{sql} AND +l.repo_id {among}"
        values.append(value)
    found = db.rows(f"{sql} ORDER BY l.id LIMIT ?", (*values, limit))
    rows = _build_rows(found, chain_names)
    until = rows[-1].id if len(rows) == limit else max(until, after)
    return rows, until, until < last


class _Where(Struct):
    """Conditions on entries. `floor` is where the next page continues if the matching entries do not fill a page."""

    parts: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)
    order: str = "l.id"
    floor: int | None = None

    def add(self, sql: str, *some: object) -> None:
        self.parts.append(sql)
        self.values.extend(some)


def _build_conditions(
    db: Database, wanted: TimelineFilter, chain_names: Mapping[int, str], before: int | None, max_searched: int
) -> _Where:
    where = _Where()
    if wanted.kind is not None:
        where.add("l.kind = ?", wanted.kind)
    if wanted.actor is not None:
        actor = wanted.actor.lower()
        where.add("(lower(l.actor) = ? OR lower(substr(l.actor, 1, ?)) = ?)", actor, len(actor) + 1, f"{actor}@")
    own = _select_chains(wanted, chain_names)
    if wanted.requests is not None:  # an index finds the entries, however old they are
        among, value = db.in_clause(list(wanted.requests))
        where.add(f"l.request_id {among}", value)
        if before is not None:
            where.add("l.id < ?", before)
    elif own is not None and len(own) == 1:
        _add_chain_range(db, where, own[0], before, max_searched)
        return where
    else:
        top = before if before is not None else db.count("SELECT max(id) FROM ledger") + 1
        where.add("l.id >= ? AND l.id < ?", top - max_searched, top)
        where.floor = top - max_searched if top - max_searched > 1 else None
    if own is not None:
        among, value = db.in_clause(own)
        where.add(f"+l.repo_id {among}", value)  # `+` makes SQLite scan in entry order, not repo by repo
    return where


def _select_chains(wanted: TimelineFilter, chain_names: Mapping[int, str]) -> list[int] | None:
    """Return the numbers of the wanted chains; None means all."""
    if wanted.repos is None and wanted.with_desk:
        return None
    chains = None if wanted.repos is None else {chain_of(repo) for repo in wanted.repos}
    return [n for n, name in chain_names.items() if (wanted.with_desk if n == 0 else chains is None or name in chains)]


def _add_chain_range(db: Database, where: _Where, chain: int, before: int | None, max_searched: int) -> None:
    """Limit the search to one chain, which has its own index."""
    last = "SELECT max(seq) FROM ledger WHERE repo_id = ?"
    at = "SELECT seq FROM ledger WHERE repo_id = ? AND id = ?"
    top = db.count(last, (chain,)) + 1 if before is None else db.count(at, (chain, before))
    where.add("l.repo_id = ? AND l.seq >= ? AND l.seq < ?", chain, top - max_searched, top)
    where.order = "l.seq"
    if top - max_searched > 1:
        where.floor = db.count("SELECT id FROM ledger WHERE repo_id = ? AND seq = ?", (chain, top - max_searched))
