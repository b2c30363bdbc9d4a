"""Connections of an open store: those that the server ended are made again, and those of ended threads are closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from hf_gate.errors import StoreUnavailable
from hf_gate.store.store import Store
from hf_gate.store.write_lock import Work
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, count_connections, end_connections, new_store, record, store_records


@pytest.fixture
def place(postgres_uri: str) -> str:
    return new_store(postgres_uri)


@pytest.fixture
def desk(place: str) -> Iterator[Store]:
    with open_store(place, endpoint=ENDPOINT, lends=True) as opened:
        store_records(opened, EEG, [record(1)])
        assert len(opened.repos()) == 1
        yield opened


def test_what_was_idle_connects_again_at_its_next_use(place: str, desk: Store) -> None:
    assert end_connections(place) >= 3, "to read, to write and for the leases"
    assert [row.repo for row in desk.repos()] == [EEG]
    with desk.hold_write_lock():
        store_records(desk, EEG, [record(2)])
    end_connections(place)
    with desk.maintaining() as db:
        assert db.count("SELECT count(*) FROM requests") == 2
    end_connections(place)
    with desk.hold_work_lock(Work.MESSAGES):
        pass


def _lose_transaction(place: str, desk: Store) -> None:
    with desk.writing() as write:
        write.find_or_create_repo(EEG)
        end_connections(place)
        write.update_repo(EEG, {"problem": "lost"})


def test_a_transaction_that_loses_its_connection_fails_and_the_next_one_is_whole(place: str, desk: Store) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        _lose_transaction(place, desk)
    store_records(desk, EEG, [record(2), record(3)])
    row = desk.repo(EEG)
    assert row is not None
    assert row.problem is None
    assert desk.reads.count("SELECT count(*) FROM requests") == 3


def test_a_snapshot_that_loses_its_connection_is_not_continued_by_another_one(place: str, desk: Store) -> None:
    desk.reads.begin_snapshot()
    assert len(desk.repos()) == 1
    end_connections(place)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        desk.repos()
    assert len(desk.repos()) == 1


def test_a_closed_store_does_not_connect_again(place: str, desk: Store) -> None:
    end_connections(place)
    desk.close()
    for work in (desk.repos, desk.writing().__enter__, desk.maintaining().__enter__):
        with pytest.raises(StoreUnavailable, match="closed"):
            work()
    assert end_connections(place) == 0


def test_the_connections_of_threads_that_ended_are_closed(place: str, desk: Store) -> None:
    before = count_connections(place)
    for _ in range(10):
        thread = threading.Thread(target=desk.repos)
        thread.start()
        thread.join()
    assert count_connections(place) <= before + 1
    assert len(desk.repos()) == 1
