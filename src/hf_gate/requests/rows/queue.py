"""Queries for the queue page: counts by repo, status and verdict, the first page of a query, and pages of people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Final
from weakref import WeakKeyDictionary

from hf_gate.base.batches import group_pairs
from hf_gate.base.ids import Repo
from hf_gate.core.letters.letters import ON_HOLD
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.query import Query
from hf_gate.core.stored_rows import (
    ClassCount,
    PeoplePage,
    QueueCount,
    QueueNeighbours,
    RequestRow,
    RowClass,
    VerdictCount,
)
from hf_gate.requests.queue_counters import Counters
from hf_gate.store.rows.query_sql import Conditions, build_conditions
from hf_gate.store.rows.repos import read_repos_by_number
from hf_gate.store.rows.search import Key, PageRequest, cursor_of, filter_keys, find_page_keys, key_of
from hf_gate.store.sql import Database, Reader
from hf_gate.store.store import Store
from hf_gate.store.writing.state_columns import repo_of

MAX_SAME_TEXT: Final = 99
"""Requests with the same text are counted up to this number, and one more for "more"."""

_CHUNK: Final = 100  # requests that are read together
_MAX_CHUNKS: Final = 20  # requests read for one page; late in a list, most people were on an earlier page


_latest_counters: Final = WeakKeyDictionary[Database, tuple[int | None, Counters]]()
"""The counters as each connection read them last, and its version before, which changes when another connection writes.

So these are read through the store, whose threads have a connection each, and not within a transaction.
"""


def read_counters(store: Store) -> Counters:
    """Return the numbers of requests by repo, status, and verdict with rule, quality, or kind of mail."""
    db = store.reads
    version = db.read_version()
    known = _latest_counters.get(db)
    if version is None or known is None or known[0] != version:
        known = (version, _read_counters(db))
        _latest_counters[db] = known
    return known[1]


def _read_counters(db: Database) -> Counters:
    paths = {number: str(repo) for number, repo in read_repos_by_number(db).items()}
    cells = list[QueueCount]()
    classes: dict[str, list[ClassCount]] = {"quality": [], "mail": []}
    split = dict[str, list[str]]()
    for repo, kind, name, n in db.rows(
        "SELECT repo_id, kind, name, n FROM counters WHERE kind IN ('cell', 'quality', 'mail') AND n > 0"
    ):
        parts = split.get(name)  # most names occur in each repo
        if parts is None:
            parts = split[name] = name.rsplit(" ", 2) if kind == "cell" else name.split(" ", 1)
        if kind == "cell":
            action, rule = (None if part == "-" else part for part in parts[1:])
            cells.append(QueueCount(paths[repo], parts[0], action, rule, n))
        else:
            classes[kind].append(ClassCount(paths[repo], parts[0], parts[1], n))
    return Counters(cells, classes)


def read_row_classes(reader: Reader, idents: Sequence[int]) -> dict[int, RowClass]:
    """Return the classification of each request; the same texts are counted to `MAX_SAME_TEXT` + 1 at most."""
    db = reader.reads
    among, value = db.in_clause(idents)
    rows = db.rows(
        "SELECT r.id, r.quality, r.mail, CASE WHEN r.fingerprint IS NULL THEN 0 ELSE (SELECT count(*)"
        " FROM (SELECT 1"
        " FROM requests s WHERE s.repo_id = r.repo_id AND s.fingerprint = r.fingerprint"
        " AND s.fingerprint IS NOT NULL"
        f" AND s.is_current LIMIT {MAX_SAME_TEXT + 1}) AS texts) END FROM requests r WHERE r.id {among}",
        (value,),
    )
    return {row[0]: RowClass(row[1], row[2], int(row[3])) for row in rows}


def read_verdict_counts(reader: Reader, status: str) -> list[VerdictCount]:
    """Return how many current requests of one status have each verdict."""
    rows = reader.reads.rows(
        "SELECT o.type, o.namespace, o.name, v.action, v.policy, v.rule, v.digest, v.shadow, c.n FROM"
        " (SELECT repo_id, verdict_id, count(*) AS n FROM requests WHERE is_current AND status = ?"
        " AND verdict_id IS NOT NULL GROUP BY repo_id, verdict_id) AS c"
        " JOIN repos o ON o.id = c.repo_id JOIN verdicts v ON v.id = c.verdict_id",
        (status,),
    )
    return [
        VerdictCount(
            repo_of(kind, space, name), action, policy, rule, digest, tuple(map(tuple, json.loads(shadow))), int(n)
        )
        for kind, space, name, action, policy, rule, digest, shadow, n in rows
    ]


def count_matches(reader: Reader, query: Query, *, now: int, zone: tzinfo = UTC, most: int = 1000) -> int:
    """Count the requests that match a query; return `most` + 1 if there are more than `most`."""
    ready = build_conditions(query, reader.reads, now=now, zone=zone)
    return len(find_page_keys(reader.reads, ready, PageRequest(most + 1)))


def read_people_page(
    store: Store,
    query: Query,
    *,
    now: int,
    zone: tzinfo = UTC,
    limit: int = 50,
    newest_first: bool = False,
    cursor: str | None = None,
) -> PeoplePage:
    """Return a page of at most `limit` people. Each request of an unknown account counts as a person."""
    db = store.reads
    conditions = build_conditions(query, db, now=now, zone=zone)
    after = None if cursor is None else key_of(query, cursor, newest_first=newest_first)
    people: list[list[Key]] = []
    for _ in range(_MAX_CHUNKS):
        keys = find_page_keys(db, conditions, PageRequest(_CHUNK, newest_first, after))
        firsts = _group_by_person(db, conditions, keys, newest_first=newest_first)
        for key in keys:
            if key in firsts and len(people) == limit:
                return PeoplePage(_read_rows(store, people), cursor_of(query, after or key, newest_first=newest_first))
            people += [firsts[key]] if key in firsts else []
            after = key
        if len(keys) < _CHUNK:
            return PeoplePage(_read_rows(store, people), None)
    assert after is not None
    return PeoplePage(_read_rows(store, people), cursor_of(query, after, newest_first=newest_first))


def find_queue_neighbours(
    store: Store, query: Query, key: Key, *, now: int, zone: tzinfo = UTC, most: int = 1000
) -> QueueNeighbours:
    """Return the requests before and after one request in a query, the oldest first, and its number in it.

    `key` is its time of asking (ms) and its number in the store. Up to `most` requests before it are counted.
    """
    db = store.reads
    ready = build_conditions(query, db, now=now, zone=zone)
    earlier = find_page_keys(db, ready, PageRequest(most, newest_first=True, after=key))
    later = find_page_keys(db, ready, PageRequest(1, after=key))
    is_in_query = len(earlier) < most and bool(filter_keys(db, ready, [key[1]], newest_first=False))
    rows = store.requests([ident for _, ident in (*earlier[:1], *later)])
    return QueueNeighbours(
        number=len(earlier) + 1 if is_in_query else None,
        before=rows.get(earlier[0][1]) if earlier else None,
        after=rows.get(later[0][1]) if later else None,
    )


def _group_by_person(
    db: Database, conditions: Conditions, keys: Sequence[Key], *, newest_first: bool
) -> dict[Key, list[Key]]:
    """Return all matching requests of the people behind these requests, by the first request of each person."""
    among, value = db.in_clause([ident for _, ident in keys])
    people = f"SELECT person_id FROM requests WHERE id {among}"
    rows = db.rows(f"SELECT id, person_id FROM requests WHERE is_current AND person_id IN ({people})", (value,))
    whose: dict[int, int] = dict(rows)
    matching = filter_keys(db, conditions, list(whose), newest_first=newest_first)
    return {keys[0]: keys for keys in group_pairs((whose[key[1]], key) for key in matching).values()}


def _read_rows(store: Store, people: Sequence[Sequence[Key]]) -> list[list[RequestRow]]:
    rows = store.requests([ident for keys in people for _, ident in keys])
    return [[rows[ident] for _, ident in keys if ident in rows] for keys in people]


# ---- requests that wait for too long ---------------------------------------------------------------------------------


MAX_COUNTED: Final = 10_000
"""The most old requests of a repo that are counted."""

_OF_REPO: Final = "WHERE r.repo_id = ? AND r.is_current"
_OLD: Final = (
    "LEFT JOIN verdicts v ON v.id = r.verdict_id WHERE r.repo_id = ? AND r.is_current AND r.status = ?"
    " AND r.asked_at < ?"
    f" AND (v.action IS NULL OR v.action <> '{ON_HOLD}')"
)
"""Old pending requests. Those on hold wait for the applicant."""
_DECIDED: Final = "v.policy IS NOT NULL AND (v.action IN ('accept', 'reset', 'reject') OR old.outcome = 'profile')"


def count_older(store: Store, repo: Repo, before: int) -> int:
    """Return how many requests of a repo that wait for us were asked before a time (ms); at most `MAX_COUNTED`."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM requests r {_OLD} LIMIT {MAX_COUNTED}) AS old"
    return store.reads.count(sql, (store.repo_id(repo), Status.PENDING.value, before))


def find_older(store: Store, repo: Repo, before: int, most: int) -> list[int]:
    """Return at most `most` requests of a repo that wait for us and were asked before a time (ms), the oldest first."""
    sql = f"SELECT r.id FROM requests r {_OLD} ORDER BY r.asked_at, r.id LIMIT ?"
    return [row[0] for row in store.reads.rows(sql, (store.repo_id(repo), Status.PENDING.value, before, most))]


def find_decidable_requests(store: Store, repo: Repo, before: int, most: int, most_searched: int) -> list[int]:
    """Return at most `most` requests that a rule decides, or would decide with a profile that was not read, the oldest
    first.

    They are searched for among the `most_searched` oldest before a time (ms).
    """
    oldest = (
        f"SELECT r.id, r.verdict_id, r.asked_at, r.outcome FROM requests r {_OF_REPO} AND r.status = ?"
        " AND r.asked_at < ?"
        " ORDER BY r.asked_at, r.id LIMIT ?"
    )
    sql = (
        f"SELECT old.id FROM ({oldest}) AS old JOIN verdicts v ON v.id = old.verdict_id WHERE {_DECIDED}"
        " ORDER BY old.asked_at, old.id LIMIT ?"
    )
    values = (store.repo_id(repo), Status.PENDING.value, before, most_searched, most)
    return [row[0] for row in store.reads.rows(sql, values)]
