"""Leases on PostgreSQL: one holder at a time, nothing is written after another took over, and nothing needs a session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from hf_gate.errors import StoreBusy, StoreDamaged, StoreTooNew, StoreUnavailable
from hf_gate.store.database.schema import find_oldest_program, list_revisions
from hf_gate.store.leases import LEASE_S, MIN_CALL_S, LeaseKeeper, read_lease
from hf_gate.store.sql import Postgres
from hf_gate.store.store import Store
from hf_gate.store.write_lock import Holder, Work
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, add_migration, new_store, record, store_records


@pytest.fixture
def place(postgres_uri: str) -> str:
    return new_store(postgres_uri)


@pytest.fixture
def desk(place: str) -> Iterator[Store]:
    with open_store(place, endpoint=ENDPOINT, lends=True, pid=7, host="box", wait=0.0) as opened:
        yield opened


def _run(place: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(place, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def _lapse(place: str) -> None:
    """Its holder stood still: nothing was renewed."""
    _run(place, "UPDATE leases SET expires_at = 0 WHERE name <> 'transaction'")


def test_one_process_holds_a_lease_and_its_epoch_grows_with_each_holder(place: str) -> None:
    with (
        closing(LeaseKeeper(place, Holder(1))) as one,
        closing(LeaseKeeper(place, Holder(2, "box", "hf-gate run"))) as two,
    ):
        for keeper, other in ((one, two), (two, one)):
            assert keeper.try_acquire(Work.LOOP)
            assert not other.try_acquire(Work.LOOP)
            assert other.try_acquire(Work.MESSAGES), "another kind of work"
            other.release(Work.MESSAGES)
            with closing(Postgres(place, writes=False, name="test")) as db:
                state = read_lease(db, Work.LOOP)
            assert state is not None
            assert (state.holder, state.about, state.is_lapsed) == (keeper.id, str(keeper.who), False)
            keeper.release(Work.LOOP)
        assert _run(place, "SELECT epoch FROM leases WHERE name = 'loop'") == [(2,)]


def test_the_name_of_a_machine_is_a_value_in_every_statement(place: str) -> None:
    host = "o'brien?%s; DROP TABLE leases--"
    with open_store(place, endpoint=ENDPOINT, lends=True, pid=7, host=host, wait=0.0) as store:
        with store.hold_write_lock():
            store_records(store, EEG, [record(1)])
            state = read_lease(store, Work.STORE)
            assert state is not None
            assert (host in state.holder, host in state.about) == (True, True)
        assert store.reads.count("SELECT count(*) FROM requests") == 1


def test_whoever_took_a_lapsed_lease_keeps_the_other_from_writing(place: str, desk: Store) -> None:
    with desk.hold_write_lock():
        store_records(desk, EEG, [record(1)])
        _lapse(place)
        with open_store(place, endpoint=ENDPOINT, pid=4711, wait=0.0) as other:
            with (
                pytest.raises(StoreBusy, match="did not answer for 10 s, so pid 4711 took over"),
                desk.writing(),
            ):
                pytest.fail("a transaction began")
            assert desk.seconds_to_call() == 0.0
            store_records(other, EEG, [record(2)])
    store_records(desk, EEG, [record(3)])  # the next piece of work is whole again
    assert next(iter(desk.chains().values()))[0] == 3


def test_a_lease_changes_hands_between_two_transactions(place: str, desk: Store) -> None:
    with desk.hold_write_lock(), closing(LeaseKeeper(place, Holder(2))) as other:
        with desk.writing() as write:
            _lapse(place)
            assert not other.try_acquire(Work.STORE), "while the holder writes"
            write.write_setting("a", "1")
        assert other.try_acquire(Work.STORE)
        with pytest.raises(StoreBusy), desk.writing():
            pytest.fail("a transaction began")
    assert desk.setting("a") == "1"


def test_a_lease_that_lapsed_and_that_nobody_took_is_renewed(place: str) -> None:
    with closing(LeaseKeeper(place, Holder(1))) as keeper:
        assert keeper.try_acquire(Work.STORE)
        assert LEASE_S - 1 < keeper.seconds_to_call() <= LEASE_S
        _lapse(place)
        keeper.renew()
        assert keeper.seconds_to_call() > MIN_CALL_S
        _run(place, "UPDATE leases SET epoch = epoch + 1, holder = 'other' WHERE name = 'store'")
        keeper.renew()
        assert keeper.seconds_to_call() == 0.0
        keeper.release(Work.STORE)
        assert _run(place, "SELECT holder FROM leases WHERE name = 'store'") == [("other",)], "it is not ours to return"


def test_no_call_starts_while_the_database_cannot_be_reached(place: str) -> None:
    with closing(LeaseKeeper(place, Holder(1))) as keeper:
        assert keeper.seconds_to_call() == 0.0, "without the lease of the store"
        assert keeper.try_acquire(Work.STORE)
        name = urlsplit(place).path[1:]
        server = urlsplit(place)._replace(path="/postgres").geturl()
        _run(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        _run(
            server,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " JOIN pg_database USING (datname) WHERE NOT datallowconn",
        )
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            keeper.renew()
        _run(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        keeper.renew()  # on a new connection
        assert keeper.seconds_to_call() > MIN_CALL_S


def test_short_transactions_pass_beside_the_work_of_another_process(place: str, desk: Store) -> None:
    with open_store(place, endpoint=ENDPOINT, pid=4711, wait=0.0) as other:
        store_records(other, EEG, [record(1)])
        with desk.writing(is_short=True) as write:
            write.write_setting("short", "1")
        with pytest.raises(StoreBusy, match="pid 4711"), desk.writing():
            pytest.fail("a transaction began")
        store_records(other, EEG, [record(2)])
        assert other.setting("short") == "1"


def test_nothing_needs_a_session_of_the_database(place: str, desk: Store) -> None:
    """So a pooler in transaction mode may stand between."""
    with desk.hold_write_lock():
        store_records(desk, EEG, [record(1)])
        assert _run(place, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
        settings = "SELECT name FROM pg_settings WHERE source = 'session'"
        assert desk.reads.rows(settings) == []
        with desk.maintaining() as db:
            assert db.rows(settings) == []


def test_two_processes_make_one_store(postgres_uri: str) -> None:
    place = new_store(postgres_uri)
    with (
        open_store(place, endpoint=ENDPOINT, lends=True) as one,
        open_store(place, endpoint=ENDPOINT, lends=True) as two,
    ):
        store_records(one, EEG, [record(1)])
        store_records(two, EEG, [record(2)])
        assert next(iter(one.chains().values()))[0] == 2


def test_a_lease_that_could_not_be_given_back_is_not_renewed_and_can_be_taken_again_at_once(place: str) -> None:
    with closing(LeaseKeeper(place, Holder(1))) as keeper:
        keeper.acquire(Work.LOOP, 0.0, "")
        keeper.acquire(Work.STORE, 0.0, "")
        _run(place, "ALTER TABLE leases RENAME TO unreadable")
        keeper.release(Work.STORE)
        _run(place, "ALTER TABLE unreadable RENAME TO leases")
        left = "SELECT expires_at FROM leases WHERE name = 'store' AND holder <> ''"
        before = _run(place, left)
        keeper.renew()
        assert _run(place, left) == before != []
        assert keeper.try_acquire(Work.STORE)


def test_a_lost_lease_can_be_taken_again_although_the_answer_that_gave_it_did_not_arrive(place: str) -> None:
    with closing(LeaseKeeper(place, Holder(1))) as keeper, closing(LeaseKeeper(place, Holder(2))) as other:
        assert keeper.try_acquire(Work.LOOP)
        _lapse(place)
        assert other.try_acquire(Work.LOOP)
        keeper.renew()
        other.release(Work.LOOP)
        with psycopg.connect(place, autocommit=True) as connection:
            given = "UPDATE leases SET holder = %s, epoch = epoch + 1 WHERE name = 'loop'"
            connection.execute(given, (keeper.id,))
        keeper.renew()
        assert not keeper.holds(Work.LOOP)
        assert keeper.try_acquire(Work.LOOP), "or it would be renewed for ever, and nobody would hold it"


def _wait_in_transaction(desk: Store, place: str) -> None:
    """A write transaction that does nothing until the database ends it."""
    with desk.writing() as write:
        write.db.run("SET LOCAL idle_in_transaction_session_timeout = 1")
        while _run(place, "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'"):
            pass
        write.db.run("SELECT 1")


def test_a_transaction_that_the_database_ended_gives_an_error_of_the_store(desk: Store, place: str) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        _wait_in_transaction(desk, place)


@pytest.mark.slow
def test_a_client_that_vanished_within_a_statement_keeps_nobody_from_writing(desk: Store, place: str) -> None:
    """The server has no limit for it: it waits for the rest, and keeps the locks."""
    with closing(psycopg.connect(place, autocommit=True)) as connection:
        raw = connection.pgconn
        raw.enter_pipeline_mode()
        for sql in (b"BEGIN", b"SELECT 1 FROM leases WHERE name = 'transaction' FOR UPDATE"):
            raw.send_query_params(sql, None)
        raw.send_flush_request()
        raw.flush()
        end = time.monotonic() + 60
        while True:
            try:
                store_records(desk, EEG, [record(1)])
                break
            except StoreBusy:
                assert time.monotonic() < end
    assert next(iter(desk.chains().values()))[0] == 1


# ---- programs of several versions, and restored copies ---------------------------------------------------------------------


def _upgrade(place: str, folder: Path, *, oldest: str) -> None:
    """A newer program upgrades the store; its migration names the oldest program that may go on."""
    later = add_migration(folder, f"-- oldest: {oldest}\nSELECT 1;\n" if oldest else "")
    open_store(place, endpoint=ENDPOINT, lends=True, migrations=later).close()


def test_a_program_goes_on_beside_a_newer_one_that_only_added_something(
    place: str, desk: Store, tmp_path: Path
) -> None:
    store_records(desk, EEG, [record(1)])
    _upgrade(place, tmp_path / "m", oldest=list_revisions()[-1])
    store_records(desk, EEG, [record(2)])
    with open_store(place, endpoint=ENDPOINT, wait=0.0) as started_later:
        store_records(started_later, EEG, [record(3)])
    assert _run(place, "SELECT value FROM about WHERE key = 'schema'") == [("0002",)]


def test_a_program_ends_beside_a_newer_one_that_changed_something(place: str, desk: Store, tmp_path: Path) -> None:
    store_records(desk, EEG, [record(1)])
    _upgrade(place, tmp_path / "m", oldest="")
    with (
        pytest.raises(
            StoreTooNew, match=r"made by a newer hf-gate \(version \S+, schema 0002; this is version \S+, schema 0001\)"
        ),
        desk.writing(),
    ):
        pytest.fail("a transaction began")
    with pytest.raises(StoreTooNew):
        open_store(place, endpoint=ENDPOINT)


def test_a_process_that_runs_while_an_older_copy_is_restored_writes_nothing_more(place: str, desk: Store) -> None:
    store_records(desk, EEG, [record(1)])
    _run(place, "CREATE TABLE backup AS SELECT * FROM leases")
    for number in (2, 3):
        store_records(desk, EEG, [record(number)])
    _run(place, "DELETE FROM leases")
    _run(place, "INSERT INTO leases SELECT * FROM backup")
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="holds an older copy of the store than before"), desk.writing():
            pytest.fail("a transaction began")
        with pytest.raises(StoreDamaged), desk.writing(is_short=True):
            pytest.fail("a transaction began")
    with open_store(place, endpoint=ENDPOINT, lends=True) as started_again:
        store_records(started_again, EEG, [record(4)])


def test_the_oldest_program_is_that_of_the_last_migration_that_changed_something(tmp_path: Path) -> None:
    for number, more in (("0002", ""), ("0003", "-- oldest: 0002\n"), ("0004", "-- oldest: 0003\n")):
        (tmp_path / f"{number}_x.sql").write_text(f"{more}SELECT 1;\n")
        assert find_oldest_program.__wrapped__(tmp_path) == ("0003" if number == "0004" else "0002")
