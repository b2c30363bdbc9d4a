"""Stores for tests on SQLite and on the PostgreSQL of this run, and records in the Hub's format."""

from __future__ import annotations

import itertools
import json
import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from hf_gate.base.ids import Repo, RepoType
from hf_gate.core.events.erasure import SECRET_BYTES
from hf_gate.core.events.ledger import LedgerLink
from hf_gate.core.events.request_state import RecordUpdate, detect_events, is_same_attempt, raw_digest
from hf_gate.core.request_version import RequestVersion
from hf_gate.core.requests import AccessRequest, content_digest
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.hub.protocol.codec import read_request_page
from hf_gate.store.rows.ledger import iterate_entries
from hf_gate.store.store import Store
from hf_gate.store.writing.erased import ERASURE_KEY
from hf_gate.verdicts.drivers.domain_lists import DomainLists
from hf_gate.verdicts.drivers.rule_versions import read_rules_version
from hf_gate.verdicts.request_classifier import AnswerClassifier
from hf_gate.workspace.rows.opening import open_store

ENDPOINT = "https://huggingface.co"
EEG = Repo(RepoType.DATASET, "acme", "eeg-1")
MED = Repo(RepoType.MODEL, "acme", "med-7b")
_schemas = itertools.count(1)
_databases: deque[str] = deque()
_KEPT = 16
"""More than one test has at a time."""
_LIST_CONNECTIONS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND application_name LIKE 'hf-gate%'"
)


def read_selected(store: Store, pick: str) -> dict[int, RequestVersion]:
    """The requests of a selection by number, with the versions that were selected."""
    sql = "SELECT request_id, status, asked_at, last_moved_at, answers FROM picked WHERE pick = ? ORDER BY request_id"
    rows = store.reads.rows(sql, (pick,))
    return {row[0]: RequestVersion(row[1], row[2], row[3], bytes(row[4])) for row in rows}


def new_schema(uri: str) -> str:
    """The URL of an empty place on a server. If it may contain an empty store, `new_store` costs a third."""
    name = f"store_{next(_schemas)}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return f"{uri}{'&' if '?' in uri else '?'}options=-csearch_path%3D{name}"


def new_store(uri: str, endpoint: str = ENDPOINT) -> str:
    """The URL of a database with an empty store of this Hub: a copy of one that this process makes once.

    Databases that nobody is connected to are dropped after a while: the more tables a server has, the slower it gets.
    """
    name, template = f"store_{next(_schemas)}", _make_template(uri)
    with psycopg.connect(uri, autocommit=True) as connection:
        while len(_databases) > _KEPT:
            old = _databases.popleft()
            try:
                connection.execute(f"DROP DATABASE IF EXISTS {old}".encode())
            except psycopg.errors.ObjectInUse:
                _databases.append(old)
                break
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
    _databases.append(name)
    url = _in_database(uri, name)
    with psycopg.connect(url, autocommit=True) as connection:
        key = os.urandom(SECRET_BYTES).hex()  # each store has its own
        connection.execute("UPDATE settings SET value = %s WHERE key = %s", (key, ERASURE_KEY))
        if endpoint != ENDPOINT:
            connection.execute("UPDATE about SET value = %s WHERE key = 'endpoint'", (endpoint,))
    return url


def count_connections(url: str) -> int:
    """Count the connections of hf-gate to a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        return len(connection.execute(_LIST_CONNECTIONS).fetchall())


def end_connections(url: str) -> int:
    """Let the server end all connections of hf-gate to a database; return how many there were."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(_LIST_CONNECTIONS).fetchall()
        for (pid,) in found:
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    return len(found)


@cache
def _make_template(uri: str) -> str:
    name = "store_template"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    open_store(_in_database(uri, name), endpoint=ENDPOINT).close()
    return name


def _in_database(uri: str, name: str) -> str:
    return urlsplit(uri)._replace(path=f"/{name}").geturl()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where a store can be opened that is empty or does not exist yet: each test runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('store') / 'desk.db'}"
    return new_store(request.getfixturevalue("postgres_uri"))


ON_BOTH = pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
"""Runs one test of a module with `sqlite_place` on both databases, because it alone executes some SQL."""


@pytest.fixture
def sqlite_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where no store exists yet, for tests that do not depend on the database: in SQLite, except with `ON_BOTH`."""
    if getattr(request, "param", "sqlite") == "postgresql":
        return new_store(request.getfixturevalue("postgres_uri"))
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'desk.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where no store exists yet, for tests of how one is made: each test runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('store') / 'desk.db'}"
    return new_schema(request.getfixturevalue("postgres_uri"))


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    """An empty store, open for writing."""
    with open_store(place, endpoint=ENDPOINT, country_of=country_of, load_classifier=load_classifier) as opened:
        yield opened


def add_migration(folder: Path, more: str = "") -> Path:
    """The migrations of an hf-gate that has one: a made-up version 2, in this folder. `more`: its other statements."""
    folder.mkdir()
    change = "ALTER TABLE settings ADD COLUMN note TEXT;\nUPDATE settings SET note = 'moved';\n"
    (folder / "0002_next.sql").write_text(change + more)
    return folder


def mode_of(path: Path) -> int:
    """The rights of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def country_of(request: AccessRequest) -> str | None:
    """Stands for the lists of countries: the answer itself."""
    return request.answers.get("Country") or None


@cache
def load_classifier() -> AnswerClassifier:
    """The classifier that a workspace has."""
    return AnswerClassifier(lambda: DomainLists().email, read_rules_version)


def hub_id(number: int) -> str:
    """An id as the Hub makes them."""
    return f"{0x65000000 + number:08x}{number:016x}"


def record(
    number: int,
    status: str = "pending",
    *,
    day: int = 1,
    name: str | None = None,
    fullname: str = "",
    email: str | None = "",
    answers: dict[str, Any] | None = None,
    is_hidden: bool = False,
    request: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One record of the person with a number; `email` "" is one made of the name."""
    called = name or f"user{number}"
    user = {
        "_id": hub_id(number),
        "user": called,
        "fullname": fullname,
        "email": f"{called}@example.org" if email == "" else email,
    }
    return {
        "requestId": hub_id(request or 1000 + number),
        **({} if is_hidden else {"user": user}),
        "timestamp": f"2026-{1 + day // 28 % 12:02}-{1 + day % 28:02}T10:00:00.{number % 1000:03}Z",
        "status": status,
        **({} if answers is None else {"fields": answers}),
        **more,
    }


def parse_records(repo: Repo, records: Sequence[dict[str, Any]], at: float = 0.0) -> Sequence[AccessRequest]:
    """The requests of one page."""
    page = read_request_page(json.dumps(records).encode(), repo, at)
    assert not page.quarantined
    return page.rows


def list_updates(store: Store, repo: Repo, requests: Sequence[AccessRequest]) -> list[RecordUpdate]:
    """What these requests tell that the store does not know. Earlier attempts say nothing, as in a sync."""
    return [
        RecordUpdate(request=one, known=had, events=events, raw=raw_digest(one), content=content_digest(one))
        for had, one in store.match_records(repo, requests)
        if (events := detect_events(had, one)) or had is None or is_same_attempt(had, one)
    ]


def store_records(store: Store, repo: Repo, records: Sequence[dict[str, Any]], at: int = 1_000) -> list[int]:
    """Reads records into a store, as a sync does."""
    seen = list_updates(store, repo, parse_records(repo, records))
    with store.writing() as write:
        return list(write.observe(repo, seen, at))


def read_links(store: Store, *, with_desk: bool = True, repos: Sequence[Repo] | None = None) -> list[LedgerLink]:
    """The entries of the audit log, newest first; by default of all chains, with `repos=()` of the workspace's."""
    return [row.link for row in iterate_entries(store, TimelineFilter(repos, with_desk))]
