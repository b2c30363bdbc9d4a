"""The open store of a process: what can be read from it. `connections` holds how it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final

from hf_gate.base.batches import split_into_batches
from hf_gate.base.environment import require_writes
from hf_gate.base.ids import Repo, is_id
from hf_gate.core.events.classification import RequestClassifier
from hf_gate.core.events.erasure import ErasedRequest
from hf_gate.core.events.ledger import Checkpoint, LedgerLink, SealedEntry
from hf_gate.core.events.request_state import SUDDEN_MS, KnownRequest
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.parsing.query import Pattern, Query, Term
from hf_gate.core.people.members import Member
from hf_gate.core.requests import AccessRequest
from hf_gate.core.runs import FINISHED
from hf_gate.core.stored_rows import (
    ChangeRow,
    HistoryRow,
    LedgerRow,
    ListPosition,
    ListRange,
    QueryPage,
    RepoRow,
    RequestRow,
    RunRow,
)
from hf_gate.store.rows.query_sql import build_conditions
from hf_gate.store.rows.requests import (
    IS_ENDABLE,
    IS_SUDDEN,
    SELECT_BARE,
    SELECT_WITH_RECORD,
    LatestAttemptReader,
    RowDecoder,
    find_split_points,
    iterate_pages,
    read_past_decisions,
)
from hf_gate.store.rows.search import PageRequest, cursor_of, find_page_keys, key_of
from hf_gate.store.writing.compression import unpack
from hf_gate.store.writing.erased import strip_erased
from hf_gate.store.writing.state_columns import StoredVerdict, VerdictCache

from .connections import StoreConnections
from .rows import ledger, member_rows, repos, runs
from .sql import Database
from .write_lock import Lock, Work

_PAGE_OF_CHANGES: Final = 1000


class Store(StoreConnections):
    """The store, opened by `opening.open_store`.

    `aside` opens a connection for the only write that does not need the write lock: a request to the process that holds
    the lock. `erasures` is the file with the hashes of erased people. `hold_work_lock` keeps other processes from a
    kind of work within a block; it raises StoreBusy if one is doing it.
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
        erasures: Path | None = None,
        work_lock: Callable[[Work], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        super().__init__(connect, writes, lock, country_of, lends=lends, load_classifier=load_classifier)
        self.endpoint = endpoint
        self._aside = aside
        self.erasures = erasures
        self.hold_work_lock = work_lock
        self._verdicts = VerdictCache()

    # ---- repos -------------------------------------------------------------------------------------------------------

    def repos(self) -> Sequence[RepoRow]:
        """Return all repos, ordered by name."""
        return repos.read_repos(self.reads)

    def repo(self, repo: Repo) -> RepoRow | None:
        """Return a repo, or None if the store does not know it."""
        ident = self.repo_id(repo)
        return None if ident is None else repos.read_repo(self.reads, ident)

    def repo_id(self, repo: Repo) -> int | None:
        """Return the number of a repo, or None; no row has None as its repo."""
        where = (repo.type.value, repo.namespace, repo.name)
        found = self.reads.row("SELECT id FROM repos WHERE type = ? AND namespace = ? AND name = ?", where)
        return None if found is None else int(found[0])

    # ---- requests ----------------------------------------------------------------------------------------------------

    def latest_attempts(self, repo: Repo, seen: Sequence[AccessRequest]) -> Sequence[KnownRequest | None]:
        """Return the stored latest attempt for each of these records, in their order; None if unknown."""
        ident = self.repo_id(repo)
        return [None] * len(seen) if ident is None else self._attempt_reader(ident).read_latest(seen)

    def match_records(
        self, repo: Repo, seen: Sequence[AccessRequest]
    ) -> Sequence[tuple[KnownRequest | None, AccessRequest]]:
        """Return each record with its stored latest attempt. Records of erased people lose their personal data."""
        records, rows = strip_erased(self.reads, seen)
        ident = self.repo_id(repo)
        if ident is None:
            return [(None, one) for one in records]
        reader = self._attempt_reader(ident)
        known = list(reader.read_latest(records))
        by_number = reader.read_by_number(rows.values())
        for index, record in enumerate(records):
            if isinstance(record, ErasedRequest):  # never by its ids, which may belong to a new request
                known[index] = by_number.get(rows.get(index, 0))
        return list(zip(known, records, strict=True))

    def attempts_not_in(self, repo: Repo, seen: Collection[int]) -> Iterator[KnownRequest]:
        """Iterate over the current requests whose numbers are not in `seen`, except withdrawn ones."""
        ident = self.repo_id(repo)
        return iter(()) if ident is None else self._attempt_reader(ident).iterate_missing(seen)

    def _attempt_reader(self, repo_id: int) -> LatestAttemptReader:
        return LatestAttemptReader(self.reads, repo_id, self._verdicts.lookup(self.reads))

    def _reader(self) -> RowDecoder:
        return RowDecoder(self._verdicts.lookup(self.reads))

    def verdict_lookup(self) -> Callable[[int | None], StoredVerdict]:
        """Return a function that finds a verdict with its shadow verdicts by number."""
        return self._verdicts.lookup(self.reads)

    def iterate_requests(
        self, repo: Repo, status: str, *, with_record: bool = True, part: ListRange = (None, None)
    ) -> Iterator[RequestRow]:
        """Iterate over a repo's current requests in one status, oldest first.

        `part` is the range between two split points.
        """
        ident = self.repo_id(repo)
        if ident is None:
            return
        where = "r.repo_id = ? AND r.status = ? AND r.is_current"
        select = SELECT_WITH_RECORD if with_record else SELECT_BARE
        reader = self._reader()
        for page in iterate_pages(self.reads.rows, select, where, (ident, status), ("r.asked_at", "r.id"), part):
            yield from reader.decode(page)

    def requests_after(self, ident: int, size: int) -> list[RequestRow]:
        """Return the next requests by number, past attempts included, with their records."""
        rows = self.reads.rows(f"{SELECT_WITH_RECORD} WHERE r.id > ? ORDER BY r.id LIMIT ?", (ident, size))
        return self._reader().decode(rows)

    def split_points(self, repo: Repo, status: str, size: int) -> Sequence[ListPosition]:
        """Return the positions that split this list into parts of about `size` requests."""
        ident = self.repo_id(repo)
        return [] if ident is None else find_split_points(self.reads, ident, status, size)

    def request(self, ident: int) -> RequestRow | None:
        """Return a request with its record, or None."""
        return self.requests([ident]).get(ident)

    def requests(self, idents: Sequence[int]) -> Mapping[int, RequestRow]:
        """Return requests with their records by number, in the given order; unknown numbers are left out."""
        pages = (self._by_id(batch, SELECT_WITH_RECORD) for batch in split_into_batches(idents, 1000))
        return {row.id: row for page in pages for row in page}

    def find_by_identity(self, repo: Repo | None, text: str) -> Sequence[RequestRow]:
        """Return the current requests with exactly this username, account id, request id, e-mail address
        or pseudonym.
        """
        key = fold_for_search(text.strip())
        if not key:
            return []
        found = set(self._requests_of_identity(key))
        if is_id(key):
            found |= {row[0] for row in self.reads.rows("SELECT id FROM requests WHERE hub_request = ?", (key,))}
        among, value = self.reads.in_clause(found)
        return self._read_requests(f"r.id {among} AND r.is_current", [value], repo)

    def find_by_hub_id(self, request: str) -> RequestRow | None:
        """Return the current request with this request id of the Hub."""
        rows = self._read_requests("r.hub_request = ? AND r.is_current", [request.lower()], None)
        return rows[0] if rows else None

    def _requests_of_identity(self, key: str) -> list[int]:
        """Return the requests of people with this username, account id, pseudonym or e-mail address."""
        found = []
        for name in ("user", "email"):
            ready = build_conditions(Query((Term(name, (Pattern((key,)),)),)), self.reads, now=0)
            found += [ident for _, ident in find_page_keys(self.reads, ready, PageRequest(1000))]
        return found

    def attempts(self, repo: Repo | None, person: int) -> Sequence[RequestRow]:
        """Return every attempt of a person, oldest first."""
        return self._read_requests("r.person_id = ?", [person], repo)

    def _read_requests(self, where: str, values: list[object], repo: Repo | None) -> list[RequestRow]:
        if repo is not None:
            ident = self.repo_id(repo)
            if ident is None:
                return []
            where = f"{where} AND r.repo_id = ?"
            values = [*values, ident]
        rows = self.reads.rows(f"{SELECT_WITH_RECORD} WHERE {where} ORDER BY r.asked_at, r.id", values)
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
        most: int = 0,
    ) -> QueryPage:
        """Return one page of the current requests that match a query, ordered by the time of asking.

        The matches are counted up to `limit` + 1, or up to `most` + 1 if that is more.

        `now` (ms) is the time from which ages are measured. `zone` defines days. `cursor` is `next` of the previous
        page.
        """
        after = None if cursor is None else key_of(query, cursor, newest_first=newest_first)
        ready = build_conditions(query, self.reads, now=now, zone=zone)
        keys = find_page_keys(self.reads, ready, PageRequest(max(limit, most) + 1, newest_first, after))
        rows = self._by_id([ident for _, ident in keys[:limit]], SELECT_WITH_RECORD if with_record else SELECT_BARE)
        following = cursor_of(query, keys[limit - 1], newest_first=newest_first) if len(keys) > limit else None
        return QueryPage(rows=rows, next=following, count=len(keys))

    def _by_id(self, idents: Sequence[int], select: str) -> list[RequestRow]:
        among, value = self.reads.in_clause(idents)
        rows = {row.id: row for row in self._reader().decode(self.reads.rows(f"{select} WHERE r.id {among}", (value,)))}
        return [rows[ident] for ident in idents if ident in rows]

    def iterate_due(self, until: int, *, is_sudden: bool | None = None) -> Iterator[RequestRow]:
        """Iterate over the requests whose grants end at or before a time (ms), earliest first.

        With `is_sudden`, only those that hf-gate can end (no change is under way), and either only those that count
        towards the guard of ends, or only the others.
        """
        reader = self._reader()
        where = "r.ends_at <= ? AND r.is_current"
        values: tuple[int, ...] = (until,)
        if is_sudden is not None:
            where = f"{where} AND {IS_ENDABLE} AND {'' if is_sudden else 'NOT '}{IS_SUDDEN}"
            values = (until, until, until - SUDDEN_MS)
        for page in iterate_pages(self.reads.rows, SELECT_WITH_RECORD, where, values, ("r.ends_at", "r.id")):
            yield from reader.decode(page)

    def count_due(self, until: int) -> int:
        """Return how many grants end at or before a time (ms)."""
        return self.reads.count("SELECT count(*) FROM requests WHERE ends_at <= ? AND is_current", (until,))

    def open_changes(self) -> Sequence[RequestRow]:
        """Return the requests with a change that was started but is not settled."""
        return self._reader().decode(
            self.reads.rows(f"{SELECT_WITH_RECORD} WHERE r.open_run IS NOT NULL ORDER BY r.id")
        )

    def history(
        self, repo: Repo, people: Sequence[int], *, within: Collection[int] | None = None
    ) -> Mapping[int, HistoryRow]:
        """Return the past decisions about each person, in this repo and elsewhere (all other repos, or those in
        `within`).
        """
        ident = self.repo_id(repo)
        here, elsewhere = read_past_decisions(self.reads, -1 if ident is None else ident, people, within)
        there: dict[int, int] = dict(elsewhere)
        was = {row[0]: row[1:] for row in here}
        return {
            person: _build_history(*was.get(person, (0, 0, 0, "none", None)), elsewhere=there.get(person, 0))
            for person in people
        }

    # ---- plans and runs ----------------------------------------------------------------------------------------------

    def run(self, ident: str) -> RunRow | None:
        """Return a run by its id."""
        return runs.read_run(self.reads, "id = ?", ident)

    def run_of_plan(self, digest: str) -> RunRow | None:
        """Return the latest run of a plan."""
        return runs.read_run(self.reads, "plan = ?", digest)

    def runs(self, limit: int = 50) -> Sequence[RunRow]:
        """Return runs, the latest first."""
        return runs.select_runs(self.reads, f"{runs.BEGAN} ORDER BY made_at DESC, id DESC LIMIT ?", limit)

    def runs_of(self, member: str) -> Sequence[RunRow]:
        """Return the unfinished runs of a member, given the member's id."""
        among, over = self.reads.in_clause(FINISHED)
        return runs.select_runs(self.reads, f"member = ? AND {runs.BEGAN} AND NOT (state {among})", member, over)

    def members(self) -> Sequence[Member]:
        """Return all members, revoked ones included, ordered by name."""
        return member_rows.read_members(self.reads)

    def changes(
        self,
        run: str,
        states: Collection[str] | None = None,
        limit: int | None = None,
        repos: Sequence[Repo] | None = None,
        after: int = 0,
    ) -> Sequence[ChangeRow]:
        """Return the changes of a run after the one with number `after`, in the order of the plan, at these repos."""
        where, values = runs.build_change_condition(self.reads, run, states, self._repo_ids(repos))
        most = "" if limit is None else f" LIMIT {limit:d}"
        sql = f"{runs.SELECT_CHANGES} {where} AND c.n > ? ORDER BY c.n{most}"
        return runs.build_changes(run, self.reads.rows(sql, (*values, after)))

    def iterate_changes(self, run: str, repos: Sequence[Repo] | None = None) -> Iterator[ChangeRow]:
        """Iterate over all changes of a run, read in pages."""
        after = 0
        while page := self.changes(run, limit=_PAGE_OF_CHANGES, repos=repos, after=after):
            yield from page
            after = page[-1].n

    def count_changes(self, run: str, repos: Sequence[Repo] | None = None) -> Mapping[str, int]:
        """Return how many changes of a run are in each state, at these repos or at all (None)."""
        return runs.count_changes(self.reads, run, self._repo_ids(repos))

    def repos_of_run(self, run: str) -> list[Repo]:
        """Return the repos of the requests that a run changes."""
        return runs.read_run_repos(self.reads, run)

    def _repo_ids(self, repos: Sequence[Repo] | None) -> list[int] | None:
        return None if repos is None else [self.repo_id(repo) or -1 for repo in repos]

    def plan(self, digest: str) -> bytes | None:
        """Return the document of a plan."""
        found = self.reads.row("SELECT document FROM plans WHERE digest = ?", (digest,))
        return None if found is None else unpack(found[0])

    # ---- ledger ------------------------------------------------------------------------------------------------------

    def chains(self) -> Mapping[str, tuple[int, bytes]]:
        """Return the length and last hash of every chain."""
        return ledger.read_chains(self.reads)

    def links(self, chain: str, first: int = 1) -> Iterator[LedgerLink]:
        """Iterate over the stored entries of a chain, starting at number `first`."""
        return (link for link, _ in ledger.iterate_chain_with_runs(self.reads, chain, first))

    def links_with_private_parts(self, chain: str, first: int = 1) -> Iterator[SealedEntry]:
        """Iterate over the entries of a chain, starting at number `first`, each with its private part."""
        return ledger.iterate_chain_with_private_parts(self.reads, chain, first)

    def entries(
        self, *, request: int | None = None, run: str | None = None, limit: int = 100, before: int | None = None
    ) -> Sequence[LedgerRow]:
        """Return entries, the latest first. `before` is the `id` of the last row of the previous page."""
        return ledger.read_latest_entries(self.reads, request=request, run=run, limit=limit, before=before)

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Return all checkpoints in the order in which they were made."""
        return ledger.read_checkpoints(self.reads)

    # ---- profiles, settings, stop requests ---------------------------------------------------------------------------

    def profiles(self, people: Sequence[int]) -> Mapping[int, tuple[bytes | None, int]]:
        """Return the packed profile of each person whose profile was read, and when it was read (ms)."""
        among, value = self.reads.in_clause(people)
        rows = self.reads.rows(f"SELECT person_id, document, at FROM profiles WHERE person_id {among}", (value,))
        return {person: (document and unpack(document), at) for person, document, at in rows}

    def is_plan_made(self, digest: str) -> bool:
        """Return whether this store made a plan that did not expire long ago."""
        return self.reads.row("SELECT 1 FROM made_plans WHERE digest = ?", (digest,)) is not None

    def bindings(self, table: str) -> Mapping[str, str]:
        """Return the account id of each key of an owner's table."""
        return dict(self.reads.rows("SELECT key, user_id FROM bindings WHERE owner_table = ?", (table,)))

    def setting(self, key: str) -> str | None:
        """Return a setting, or None."""
        return self.reads.setting(key)

    def stop_request(self, run: str) -> str | None:
        """Return what the process that executes a run is asked to do: pause or stop."""
        found = self.reads.row("SELECT action FROM stop_requests WHERE run = ?", (run,))
        return None if found is None else str(found[0])

    def request_stop(self, run: str, word: str | None) -> None:
        """Ask the process that executes a run to pause or stop.

        This write needs no lock, because that process holds the lock.
        """
        require_writes("the store")
        db = self._aside()
        try:
            if word is None:
                db.run("DELETE FROM stop_requests WHERE run = ?", (run,))
            else:
                sql = (
                    "INSERT INTO stop_requests (run, action) VALUES (?, ?) ON CONFLICT (run) DO UPDATE"
                    " SET action = excluded.action"
                )
                db.run(sql, (run, word))
        finally:
            db.close()


def _build_history(
    accepted: int, rejected: int, resets: int, last: str, last_at: int | None, *, elsewhere: int
) -> HistoryRow:
    return HistoryRow(
        accepted=accepted, rejected=rejected, resets=resets, elsewhere=elsewhere, last_decision=last, last_at=last_at
    )
