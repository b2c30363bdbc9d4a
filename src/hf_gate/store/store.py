"""The open store of a process: reads that never wait for the writer, and one write transaction at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, tzinfo
from typing import Self

from ..domain.case_folding import fold_for_search
from ..domain.classification import RequestClassifier
from ..domain.ids import Repo, is_id
from ..domain.ledger import Checkpoint, LedgerLink
from ..domain.members import Member
from ..domain.query import Pattern, Query, Term
from ..domain.request_state import KnownRequest
from ..domain.requests import AccessRequest
from ..domain.rows import (
    ChangeRow,
    DerivedRow,
    HistoryRow,
    LedgerRow,
    ListPosition,
    ListRange,
    QueryPage,
    RepoRow,
    RequestRow,
    RunRow,
)
from ..errors import StoreTooNew, StoreUnavailable
from . import ledger, member_rows, repos, runs
from .compression import Packer
from .query_sql import build_conditions
from .requests import (
    SELECT_BARE,
    SELECT_WITH_RECORD,
    LatestAttemptReader,
    RowDecoder,
    find_split_points,
    iterate_pages,
    read_derived_columns,
    read_history,
)
from .schema_check import find_trigger_faults
from .search import PageRequest, cursor_of, find_keys, key_of
from .sql import Database
from .state_columns import VerdictCache
from .write_lock import Lock
from .writer import Writer
from .writer_cache import WriterCache, read_dictionary

_SHAPE = "SELECT version_num FROM alembic_version"
_CLOSE_WAIT_S = 5.0


def _closed_error() -> StoreUnavailable:
    return StoreUnavailable("the store is closed.", hint="")


class Store:
    """The store, opened by `opening.open_store`.

    `connect` opens another connection for reading. `aside` opens one for the only write that does not need the write
    lock: a request to the process that holds the lock.
    """

    def __init__(
        self,
        endpoint: str,
        connect: Callable[[], Database],
        writes: Database | None,
        lock: Lock | None,
        country_of: Callable[[AccessRequest], str | None],
        aside: Callable[[], Database],
        *,
        lends: bool = False,
        load_classifier: Callable[[], RequestClassifier] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._connect, self._writes, self._lock, self._aside = connect, writes, lock, aside
        self._memory = WriterCache(writes, country_of, load_classifier) if writes is not None else None
        self._transaction_lock = threading.Lock()
        self._holders_lock, self._holders, self._lends_lock = threading.Lock(), 0, lends and lock is not None
        self._revision = writes.row(_SHAPE) if writes is not None and self._lends_lock else None
        if lock is not None and self._lends_lock:
            lock.hand_back()
        self._thread_local = threading.local()
        self._readers: list[Database] = []
        self._is_closed = False
        self._verdicts = VerdictCache()
        self._packer = Packer(lambda number: read_dictionary(self._db, number))

    def close(self) -> None:
        """Close all connections and release the write lock.

        The transaction of another thread may end first, for at most 5 s. Later uses raise StoreUnavailable.
        """
        has_ended = self._transaction_lock.acquire(timeout=_CLOSE_WAIT_S)
        try:
            self._is_closed = True
            for db in (*self._readers, *([self._writes] if self._writes else [])):
                db.close()
            self._readers, self._writes = [], None
            if self._lock is not None:
                self._lock.release()
                self._lock = None
        finally:
            if has_ended:
                self._transaction_lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _db(self) -> Database:
        """This thread's connection for reading."""
        db: Database | None = getattr(self._thread_local, "db", None)
        if db is None:
            db = self._thread_local.db = self._connect()
            self._readers.append(db)
            if self._is_closed:  # perhaps while this connection was made
                db.close()
        return db

    @property
    def reads(self) -> Database:
        """The same connection, for other modules of this package."""
        return self._db

    def classification_version(self, form_card: str | None) -> str | None:
        """Return the version that classifications of requests with this form should have; None without a classifier."""
        return None if self._memory is None else self._memory.classifiers.version(form_card)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Run one transaction. It is durable when the block ends; an error rolls all of it back. Do not nest."""
        if self._memory is None:
            raise StoreUnavailable("the store is open for reading only.", hint="")
        with self.hold_write_lock(), self._transaction_lock:
            db = self._writes
            if db is None:
                raise _closed_error()
            db.begin()
            try:
                yield Writer(db, self._memory)
                db.commit()
            except BaseException:
                self._memory.clear()
                db.rollback()
                raise

    @contextmanager
    def hold_write_lock(self, wait: float | None = None) -> Iterator[None]:
        """Keep other processes from writing within the block, also between transactions.

        A store that lends its lock acquires it again for the block. Raise StoreBusy if another process keeps it longer
        than `wait` seconds.
        """
        self._acquire_lock(wait)
        try:
            yield
        finally:
            with self._holders_lock:
                self._holders -= 1
                if self._lends_lock and not self._holders and self._lock is not None:
                    self._lock.hand_back()

    def _acquire_lock(self, wait: float | None) -> None:
        """Register one more holder.

        Waiting threads share one wait for the lock, so no thread waits longer than it would alone.
        """
        limit = -1.0 if not self._lends_lock or self._lock is None else self._lock.wait if wait is None else wait
        if not self._holders_lock.acquire(timeout=limit):
            raise _closed_error() if self._lock is None else self._lock.busy_error()
        try:
            if self._lends_lock and not self._holders:
                self._reacquire_lock(wait)
            self._holders += 1
        finally:
            self._holders_lock.release()

    def _reacquire_lock(self, wait: float | None) -> None:
        lock, db, memory = self._lock, self._writes, self._memory
        if lock is None or db is None or memory is None:
            raise _closed_error()
        if not lock.acquire(wait):
            return
        memory.clear()  # another process wrote meanwhile
        if db.row(_SHAPE) != self._revision:
            lock.hand_back()
            raise StoreTooNew(f"{db.at} was changed by a newer hf-gate meanwhile.", hint="Restart this process.")

    # ---- repos -------------------------------------------------------------------------------------------------------

    def repos(self) -> Sequence[RepoRow]:
        """Return all repos, ordered by name."""
        return repos.read_repos(self._db)

    def repo(self, repo: Repo) -> RepoRow | None:
        """Return a repo, or None if the store does not know it."""
        ident = self._repo_id(repo)
        return None if ident is None else repos.read_repo(self._db, ident)

    def count_by(self, kind: str) -> Mapping[Repo, Mapping[str, int]]:
        """Return how many current requests each repo has by `status`, by `action` of the verdict, or by `queue`."""
        return repos.count_by(self._db, kind)

    def _repo_id(self, repo: Repo) -> int | None:
        where = (repo.type.value, repo.namespace, repo.name)
        found = self._db.row("SELECT id FROM repos WHERE type = ? AND namespace = ? AND name = ?", where)
        return None if found is None else int(found[0])

    # ---- requests ----------------------------------------------------------------------------------------------------

    def latest_attempts(self, repo: Repo, seen: Sequence[AccessRequest]) -> Sequence[KnownRequest | None]:
        """Return the stored latest attempt for each of these records, in their order; None if unknown."""
        ident = self._repo_id(repo)
        return [None] * len(seen) if ident is None else self._attempt_reader(ident).read_latest(seen)

    def attempts_not_in(self, repo: Repo, seen: Collection[int]) -> Iterator[KnownRequest]:
        """Iterate over the current requests whose numbers are not in `seen`, except withdrawn ones."""
        ident = self._repo_id(repo)
        return iter(()) if ident is None else self._attempt_reader(ident).iterate_missing(seen)

    def _attempt_reader(self, repo_id: int) -> LatestAttemptReader:
        return LatestAttemptReader(self._db, repo_id, self._verdicts.lookup(self._db))

    def _reader(self) -> RowDecoder:
        return RowDecoder(self._packer, self._verdicts.lookup(self._db))

    def iterate_requests(
        self, repo: Repo, status: str, *, with_record: bool = True, part: ListRange = (None, None)
    ) -> Iterator[RequestRow]:
        """Iterate over a repo's current requests in one status, oldest first.

        `part` is the range between two split points.
        """
        ident = self._repo_id(repo)
        if ident is None:
            return
        where, select = (
            "r.repo_id = ? AND r.status = ? AND r.is_current",
            SELECT_WITH_RECORD if with_record else SELECT_BARE,
        )
        reader = self._reader()
        for page in iterate_pages(self._db.rows, select, where, (ident, status), ("r.asked_at", "r.id"), part):
            yield from reader.decode(page)

    def derived_columns(self, idents: Sequence[int]) -> Mapping[int, DerivedRow]:
        """Return the columns of these requests that are derived from other data."""
        return read_derived_columns(self._db, idents)

    def requests_after(self, ident: int, size: int) -> list[RequestRow]:
        """Return the next requests by number, past attempts included, with their records."""
        rows = self._db.rows(f"{SELECT_WITH_RECORD} WHERE r.id > ? ORDER BY r.id LIMIT ?", (ident, size))
        return self._reader().decode(rows)

    def unpack(self, data: bytes) -> bytes:
        """Return a packed document."""
        return self._packer.unpack(data)

    def split_points(self, repo: Repo, status: str, size: int) -> Sequence[ListPosition]:
        """Return the positions that split this list into parts of about `size` requests."""
        ident = self._repo_id(repo)
        return [] if ident is None else find_split_points(self._db, ident, status, size)

    def request(self, ident: int) -> RequestRow | None:
        """Return a request with its record, or None."""
        return self.requests([ident]).get(ident)

    def requests(self, idents: Sequence[int]) -> Mapping[int, RequestRow]:
        """Return requests with their records by number, in the given order; unknown numbers are left out."""
        pages = (self._by_id(idents[start : start + 1000], SELECT_WITH_RECORD) for start in range(0, len(idents), 1000))
        return {row.id: row for page in pages for row in page}

    def find_by_identity(self, repo: Repo | None, text: str) -> Sequence[RequestRow]:
        """Return the current requests with exactly this username, account id, request id, e-mail address or pseudonym."""
        key = fold_for_search(text.strip())
        if not key:
            return []
        found = set(self._requests_of_identity(key))
        if is_id(key):
            found |= {row[0] for row in self._db.rows("SELECT id FROM requests WHERE hub_request = ?", (key,))}
        among, value = self._db.in_clause(found)
        return self._read_requests(f"r.id {among} AND r.is_current", [value], repo)

    def find_by_hub_id(self, request: str) -> RequestRow | None:
        """Return the current request with this request id of the Hub."""
        found = self._read_requests("r.hub_request = ? AND r.is_current", [request.lower()], None)
        return found[0] if found else None

    def _requests_of_identity(self, key: str) -> list[int]:
        """Return the requests of people with this username, account id, pseudonym or e-mail address."""
        found = []
        for name in ("user", "email"):
            ready = build_conditions(Query((Term(name, (Pattern((key,)),)),)), self._db, now=0)
            found += [ident for _, ident in find_keys(self._db, ready, PageRequest(1000))]
        return found

    def attempts(self, repo: Repo | None, person: int) -> Sequence[RequestRow]:
        """Return every attempt of a person, oldest first."""
        return self._read_requests("r.person_id = ?", [person], repo)

    def _read_requests(self, where: str, values: list[object], repo: Repo | None) -> list[RequestRow]:
        if repo is not None:
            ident = self._repo_id(repo)
            if ident is None:
                return []
            where, values = f"{where} AND r.repo_id = ?", [*values, ident]
        rows = self._db.rows(f"{SELECT_WITH_RECORD} WHERE {where} ORDER BY r.asked_at, r.id", values)
        return self._reader().decode(rows)

    def query(
        self,
        query: Query,
        *,
        now: int,
        zone: tzinfo = UTC,
        limit: int = 50,
        newest_first: bool = False,
        cursor: str | None = None,
        with_record: bool = True,
    ) -> QueryPage:
        """Return one page of the current requests that match a query, ordered by the time of asking.

        `now` (ms) is the time from which ages are measured. `zone` defines days. `cursor` is `next` of the previous page.
        """
        after = None if cursor is None else key_of(query, cursor, newest_first=newest_first)
        ready = build_conditions(query, self._db, now=now, zone=zone)
        keys = find_keys(self._db, ready, PageRequest(limit + 1, newest_first, after))
        rows = self._by_id([ident for _, ident in keys[:limit]], SELECT_WITH_RECORD if with_record else SELECT_BARE)
        following = cursor_of(query, keys[limit - 1], newest_first=newest_first) if len(keys) > limit else None
        return QueryPage(rows=rows, next=following)

    def _by_id(self, idents: Sequence[int], select: str) -> list[RequestRow]:
        among, value = self._db.in_clause(idents)
        rows = {row.id: row for row in self._reader().decode(self._db.rows(f"{select} WHERE r.id {among}", (value,)))}
        return [rows[ident] for ident in idents if ident in rows]

    def iterate_due(self, until: int) -> Iterator[RequestRow]:
        """Iterate over the requests whose grants end at or before a time (ms), earliest first."""
        reader = self._reader()
        where = "r.until_at <= ? AND r.is_current"
        for page in iterate_pages(self._db.rows, SELECT_WITH_RECORD, where, (until,), ("r.until_at", "r.id")):
            yield from reader.decode(page)

    def open_changes(self) -> Sequence[RequestRow]:
        """Return the requests with a change that was started but is not settled."""
        return self._reader().decode(self._db.rows(f"{SELECT_WITH_RECORD} WHERE r.open_run IS NOT NULL ORDER BY r.id"))

    def history(
        self, repo: Repo, people: Sequence[int], *, within: Collection[int] | None = None
    ) -> Mapping[int, HistoryRow]:
        """Return the past decisions about each person, in this repo and elsewhere (all other repos, or those in `within`)."""
        ident = self._repo_id(repo)
        here, elsewhere = read_history(self._db, -1 if ident is None else ident, people, within)
        there: dict[int, int] = dict(elsewhere)
        was = {row[0]: row[1:] for row in here}
        return {
            person: _build_history(*was.get(person, (0, 0, 0, "none", None)), elsewhere=there.get(person, 0))
            for person in people
        }

    # ---- plans and runs ----------------------------------------------------------------------------------------------

    def run(self, ident: str) -> RunRow | None:
        """Return a run by its id."""
        return runs.read_run(self._db, "id = ?", ident)

    def run_of_plan(self, digest: str) -> RunRow | None:
        """Return the latest run of a plan."""
        return runs.read_run(self._db, "plan = ?", digest)

    def runs(self, limit: int = 50) -> Sequence[RunRow]:
        """Return runs, the latest first."""
        return runs.read_runs(self._db, limit)

    def runs_since(self, at: int) -> Sequence[RunRow]:
        """Return the runs that were started or resumed since a time (ms)."""
        return runs.read_runs_since(self._db, at)

    def runs_of(self, member: str) -> Sequence[RunRow]:
        """Return the unfinished runs of a member, given the member's id."""
        return runs.read_runs_of(self._db, member)

    def members(self) -> Sequence[Member]:
        """Return all members, revoked ones included, ordered by name."""
        return member_rows.read_members(self._db)

    def changes(
        self, run: str, states: Collection[str] | None = None, limit: int | None = None, repo: Repo | None = None
    ) -> Sequence[ChangeRow]:
        """Return the changes of a run in the order of the plan, for one repo or for all repos."""
        ident = None if repo is None else self._repo_id(repo) or -1
        return runs.read_changes(self._db, run, states, limit, ident)

    def changed_repos(self, run: str, states: Collection[str]) -> Sequence[Repo]:
        """Return the repos of a run that have a change in one of these states, in the order of the plan."""
        return runs.read_repos(self._db, run, states)

    def plan(self, digest: str) -> bytes | None:
        """Return the document of a plan."""
        found = self._db.row("SELECT document FROM plans WHERE digest = ?", (digest,))
        return None if found is None else self._packer.unpack(found[0])

    # ---- ledger ------------------------------------------------------------------------------------------------------

    def chains(self) -> Mapping[str, tuple[int, bytes]]:
        """Return the length and last hash of every chain."""
        return ledger.read_chains(self._db)

    def links(self, chain: str, first: int = 1) -> Iterator[LedgerLink]:
        """Iterate over the stored entries of a chain, starting at number `first`."""
        return ledger.read_links(self._db, chain, first)

    def links_with_runs(self, chain: str, first: int = 1) -> Iterator[tuple[LedgerLink, str | None]]:
        """Iterate over the entries, each with the run in its index column."""
        return ledger.read_links_with_runs(self._db, chain, first)

    def links_with_private_parts(
        self, chain: str, first: int = 1
    ) -> Iterator[tuple[LedgerLink, bytes | None, bytes | None]]:
        """Iterate over the entries, each with the salt and private part for its commitment; None if they were erased."""
        return ledger.read_links_with_private_parts(self._db, self._packer, chain, first)

    def entries(
        self, *, request: int | None = None, run: str | None = None, limit: int = 100, before: int | None = None
    ) -> Sequence[LedgerRow]:
        """Return entries, the latest first. `before` is the `id` of the last row of the previous page."""
        return ledger.read_entries(self._db, self._packer, request=request, run=run, limit=limit, before=before)

    def find_trigger_faults(self) -> list[str]:
        """Return the faults of the triggers that protect the ledger."""
        return find_trigger_faults(self._db)

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Return all checkpoints in the order in which they were made."""
        return ledger.read_checkpoints(self._db)

    def count_done(self, verb: str, since: int) -> int:
        """Return how many changes were made unattended since a time (ms): accept, reject, reset, cancel or remove."""
        return ledger.count_done(self._db, verb, since)

    # ---- profiles, settings, stop requests ---------------------------------------------------------------------------

    def profiles(self, people: Sequence[int]) -> Mapping[int, tuple[bytes | None, int]]:
        """Return the packed profile of each person whose profile was read, and when it was read (ms)."""
        among, value = self._db.in_clause(people)
        rows = self._db.rows(f"SELECT person_id, document, at FROM profiles WHERE person_id {among}", (value,))
        return {person: (document and self._packer.unpack(document), at) for person, document, at in rows}

    def is_plan_made(self, digest: str) -> bool:
        """Return whether this store made a plan that did not expire long ago."""
        return self._db.row("SELECT 1 FROM made_plans WHERE digest = ?", (digest,)) is not None

    def bindings(self, table: str) -> Mapping[str, str]:
        """Return the account id of each key of an owner's table."""
        return dict(self._db.rows("SELECT key, user_id FROM bindings WHERE owner_table = ?", (table,)))

    def setting(self, key: str) -> str | None:
        """Return a setting, or None."""
        found = self._db.row("SELECT value FROM settings WHERE key = ?", (key,))
        return None if found is None else str(found[0])

    def stop_request(self, run: str) -> str | None:
        """Return what the process that executes a run is asked to do: pause or stop."""
        found = self._db.row("SELECT action FROM stop_requests WHERE run = ?", (run,))
        return None if found is None else str(found[0])

    def request_stop(self, run: str, word: str | None) -> None:
        """Ask the process that executes a run to pause or stop.

        This write needs no lock, because that process holds the lock.
        """
        db = self._aside()
        try:
            if word is None:
                db.run("DELETE FROM stop_requests WHERE run = ?", (run,))
            else:
                sql = "INSERT INTO stop_requests (run, action) VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET action = excluded.action"
                db.run(sql, (run, word))
        finally:
            db.close()


def _build_history(
    accepted: int, rejected: int, resets: int, last: str, last_at: int | None, *, elsewhere: int
) -> HistoryRow:
    return HistoryRow(
        accepted=accepted, rejected=rejected, resets=resets, elsewhere=elsewhere, last_decision=last, last_at=last_at
    )
