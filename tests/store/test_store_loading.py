"""The first load of a store: its indexes are made afterwards, also when the process that loads it is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.rows.initial_load import DEFERRED_INDEXES, defer_indexes
from hf_gate.store.database.schema import create_schema
from hf_gate.store.leases import LEASE_S
from hf_gate.store.sql import Sqlite
from hf_gate.store.store import Store
from hf_gate.store.store_path import parse_path
from hf_gate.store.write_lock import Holder
from hf_gate.workspace.rows.backups import Restore, restore, write_backup
from hf_gate.workspace.rows.opening import open_store
from tests.kits.paths import ROOT
from tests.kits.stores import EEG, ENDPOINT, list_updates, parse_records, place, record, store, store_records

__all__ = ["place", "store"]


def _indexes(store: Store) -> set[str]:
    db = store.reads
    sql = (
        "SELECT name FROM sqlite_master WHERE type = 'index'"
        if db.is_sqlite
        else "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
    )
    return {name for (name,) in db.rows(sql)} & set(DEFERRED_INDEXES)


def test_the_indexes_are_absent_while_an_empty_store_is_loaded_and_there_afterwards(store: Store) -> None:
    before = _indexes(store)
    assert len(before) >= 11
    with defer_indexes(store):
        store_records(store, EEG, [record(n) for n in range(5)])
        assert _indexes(store) == set()
        assert len(list(store.iterate_requests(EEG, "pending"))) == 5
    assert _indexes(store) == before
    assert store.setting("loading") is None


def test_postgresql_knows_the_sizes_of_its_tables_after_a_load(store: Store) -> None:
    with defer_indexes(store):
        store_records(store, EEG, [record(n) for n in range(5)])
    if not store.reads.is_sqlite:
        sizes: dict[str, float] = dict(
            store.reads.rows("SELECT relname, reltuples FROM pg_class WHERE relname IN ('people', 'requests')")
        )
        assert sizes == {"people": 5, "requests": 5}


def test_postgresql_does_not_compute_the_trigrams_of_texts_again_to_count_them(store: Store) -> None:
    with defer_indexes(store):
        store_records(store, EEG, [record(n) for n in range(5)])
    if not store.reads.is_sqlite:
        counted = {name for (name,) in store.reads.rows("SELECT DISTINCT tablename FROM pg_stats")}
        assert {"people", "requests", "ledger"} <= counted
        assert "texts_grams" not in counted


def test_a_store_with_requests_keeps_its_indexes(store: Store) -> None:
    store_records(store, EEG, [record(1)])
    before = _indexes(store)
    with defer_indexes(store):
        assert _indexes(store) == before


def test_an_error_while_loading_leaves_the_indexes_made(store: Store) -> None:
    before = _indexes(store)
    with pytest.raises(ZeroDivisionError), defer_indexes(store):
        raise ZeroDivisionError
    assert _indexes(store) == before


_LOAD = """
    import sys
    sys.path.insert(0, {root!r})
    from hf_gate.requests.rows.initial_load import defer_indexes
    from hf_gate.workspace.rows.opening import open_store
    from tests.kits.stores import EEG, ENDPOINT, record, store_records
    store = open_store({place!r}, endpoint=ENDPOINT)
    with defer_indexes(store):
        store_records(store, EEG, [record(n) for n in range(5)])
        print("loading", flush=True)
        sys.stdin.read()
"""


def _killed_while_loading(place: str) -> None:
    code = textwrap.dedent(_LOAD).format(root=str(ROOT), place=place)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"loading\n"
        child.send_signal(signal.SIGKILL)
        child.wait(30)


def test_the_next_opening_makes_the_indexes_that_a_killed_process_left_out(place: str) -> None:
    _killed_while_loading(place)
    with open_store(place, endpoint=ENDPOINT, read_only=True) as reader:
        assert _indexes(reader) == set()
        assert len(list(reader.iterate_requests(EEG, "pending"))) == 5
    with open_store(place, endpoint=ENDPOINT, wait=LEASE_S + 5) as store:
        assert len(_indexes(store)) >= 11
        assert store.setting("loading") is None
    if place.startswith("sqlite"):
        names = "SELECT type, name FROM sqlite_master ORDER BY name"
        fresh, db = Sqlite(Path(":memory:"), writes=True), Sqlite(parse_path(place), writes=False)
        create_schema(fresh, {})
        assert db.rows(names) == fresh.rows(names)
        fresh.close()
        db.close()


def test_a_backup_of_a_store_that_is_being_loaded_is_restored_whole(tmp_path: Path) -> None:
    path, backup, new = tmp_path / "desk.db", tmp_path / "copy.db", tmp_path / "new.db"
    _killed_while_loading(f"sqlite:///{path}")
    write_backup(path, backup)
    restore(Restore(backup, new, ENDPOINT, None, {}, lambda _: None, "lena", 1), Holder(1), wait=0)
    with open_store(new, endpoint=ENDPOINT) as store:
        assert len(_indexes(store)) >= 11


# ---- the text index of a large load ------------------------------------------------------------------------------------

_LARGE = 4_300  # requests in one transaction: four parts that are written early, and a rest


def _found(store: Store, text: str) -> list[str | None]:
    rows = store.query(parse_query(text), now=0, limit=10).rows
    return [row.person.identity.username for row in rows]


def test_every_text_of_a_large_load_is_found_also_when_it_changed_within_the_load(store: Store) -> None:
    again = record(7, day=2, email="new@address.example", answers={"Use": "robot-7"})
    records = [record(n, day=2, answers={"Use": f"robot-{n}"}) for n in range(_LARGE)]
    store_records(store, EEG, [*records, again])
    for number in (0, 1_999, 2_000, _LARGE - 1):
        assert _found(store, f"user{number}@example.org") == [f"user{number}"]
        assert _found(store, f'form."Use":robot-{number}') == [f"user{number}"]
    assert (_found(store, "new@address"), _found(store, "user7@example.org")) == (["user7"], [])
    if store.reads.is_sqlite:
        assert store.reads.row("SELECT count(*) FROM grams WHERE grams MATCH '\"7@e\"'") == (429,)  # not the old one


def test_a_large_load_that_fails_half_way_leaves_nothing_in_the_index(store: Store) -> None:
    requests = parse_records(EEG, [record(n, day=2) for n in range(_LARGE)])
    seen = list_updates(store, EEG, requests)
    broken = msgspec.structs.replace(seen[4_000], events=())  # a record without events must be known

    def fail() -> None:
        with store.writing() as write:
            write.observe(EEG, [*seen[:4_000], broken], 5)

    with pytest.raises(AssertionError):
        fail()
    assert _found(store, "user2000") == []
    store_records(store, EEG, [record(n, day=2) for n in range(5)])
    assert _found(store, "user2000") == []
    if store.reads.is_sqlite:
        assert store.reads.row("SELECT count(*) FROM grams WHERE grams MATCH '\"ser\"'") == (5,)
